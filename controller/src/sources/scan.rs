//! Lists and reads the YAML files of a folder, bounded: 4 MiB a file, 10,000 files, 8 folders deep. Blocking. It must not know
//! what is in the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::state::Contents;
use super::{Problem, Reason, Stage};
use crate::api::Fault;

/// Most bytes of a file.
pub const MAX_FILE: u64 = 4 << 20;
/// Most files of a folder with all that is below it.
pub const MAX_FILES: usize = 10_000;
/// How many folders deep.
pub const MAX_DEPTH: usize = 8;

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: i128,
    /// When the file or its name, owner, mode was last changed, by the kernel's clock: nanoseconds since 1970.
    pub changed: i128,
}

/// Whether a folder has symbolic links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Links {
    /// It has.
    Some,
    /// It has not.
    #[default]
    None,
}

/// Whether a file or folder of that name is left out: hidden ones and the droppings of editors.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '#'])
}

/// Whether a file of that name is read.
pub fn is_yaml(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"))
}

/// What a folder has.
#[derive(Debug, Default, PartialEq)]
pub struct Listing {
    /// By path within the folder, with `/` between parts.
    pub files: BTreeMap<Arc<str>, Stamp>,
    /// What could not be listed.
    pub problems: Vec<(Arc<str>, Problem)>,
    /// Folders (path with `/` at its end, empty for the whole) of which nothing is known now: what is below may well be there.
    pub hidden: Vec<String>,
    /// Folders that were listed, the whole one not among them.
    pub folders: BTreeSet<Arc<str>>,
    /// Whether there are links among what was listed, whatever their names.
    pub links: Links,
    visited: BTreeSet<(u64, u64)>,
}

/// Lists the YAML files below `root`. Hidden files and the droppings of editors are left out.
pub fn list(root: &Path) -> Listing {
    let mut listing = Listing::default();
    walk(root, "", 0, &mut listing);
    listing
}

fn problem(listing: &mut Listing, path: &str, reason: Reason, message: String) {
    let path: Arc<str> = if path.is_empty() { ".".into() } else { path.trim_end_matches('/').into() };
    let problem =
        Problem { object: None, stage: Stage::Readable, reason, line: 0, fault: Fault::new("", message) };
    listing.problems.push((path, problem));
}

fn walk(folder: &Path, prefix: &str, depth: usize, listing: &mut Listing) {
    let entries = fs::metadata(folder).and_then(|metadata| {
        // A link that leads back to a folder above would be walked for ever.
        let new = listing.visited.insert((metadata.dev(), metadata.ino()));
        if !new {
            return Ok(Vec::new());
        }
        let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        Ok(entries)
    });
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            problem(listing, prefix, Reason::Unreadable, format!("the folder cannot be listed: {error}"));
            listing.hidden.push(prefix.to_owned());
            return;
        }
    };
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            listing.links = Links::Some;
        }
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !is_hidden(name)) else { continue };
        let path = format!("{prefix}{name}");
        let yaml = is_yaml(name);
        // A link to nowhere, or a file that went between listing and looking, is not there.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if metadata.is_dir() {
            if depth + 1 > MAX_DEPTH {
                problem(
                    listing,
                    &path,
                    Reason::TooMany,
                    format!("deeper than {MAX_DEPTH} folders; not read"),
                );
            } else {
                listing.folders.insert(path.as_str().into());
                walk(&entry.path(), &format!("{path}/"), depth + 1, listing);
            }
        } else if metadata.is_file() && yaml {
            if listing.files.len() >= MAX_FILES {
                if !listing.problems.iter().any(|(at, _)| &**at == ".") {
                    problem(
                        listing,
                        "",
                        Reason::TooMany,
                        format!("more than {MAX_FILES} files; {path} and what follows is not read"),
                    );
                }
                return;
            }
            listing.files.insert(path.into(), stamp(&metadata));
        }
    }
}

/// The stamp of one file; `None` if there is none, or a link.
pub fn stamp_of(path: &Path) -> Option<Stamp> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| stamp(&metadata))
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
        changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Reads a file, at most [`MAX_FILE`] bytes whatever its size was said to be.
pub fn read(path: &Path) -> Contents {
    let read = || -> io::Result<Contents> {
        let file = fs::File::open(path)?;
        let size = file.metadata()?.size();
        if size > MAX_FILE {
            return Ok(Contents::TooLarge(size));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        let size = bytes.len() as u64;
        Ok(if size > MAX_FILE { Contents::TooLarge(size) } else { Contents::Bytes(bytes) })
    };
    match read() {
        Ok(contents) => contents,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Contents::Gone,
        Err(error) => Contents::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
