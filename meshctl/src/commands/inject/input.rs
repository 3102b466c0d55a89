//! Reads what is named on a command line: files, folders with all that is below them, standard input. It must not know what is in them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The most that is read of one file.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// The most files.
const MAX_FILES: usize = 10_000;
/// How deep folders are followed.
const MAX_DEPTH: usize = 32;

/// Names and texts, in the order of the command line; within a folder by name.
pub(in crate::commands) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().lock().take(MAX_BYTES).read_to_string(&mut text).context("standard input")?;
            found.push(("standard input".to_owned(), text));
        } else {
            let before = found.len();
            follow(path, 0, &mut found)?;
            if found.len() == before {
                bail!("{}: there is no file that ends in .yaml, .yml or .json", path.display());
            }
        }
    }
    Ok(found)
}

fn follow(path: &Path, depth: usize, found: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    let what = || path.display().to_string();
    if std::fs::metadata(path).with_context(what)?.is_dir() {
        if depth == MAX_DEPTH {
            bail!("{}: folders are nested over {MAX_DEPTH} deep", path.display());
        }
        let entries = std::fs::read_dir(path).with_context(what)?;
        let mut entries: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .with_context(what)?;
        entries.sort();
        for entry in entries.into_iter().filter(|entry| entry.is_dir() || is_document(entry)) {
            follow(&entry, depth + 1, found)?;
        }
        return Ok(());
    }
    if found.len() == MAX_FILES {
        bail!("more than {MAX_FILES} files");
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(what)?;
    file.take(MAX_BYTES).read_to_string(&mut text).with_context(what)?;
    found.push((what(), text));
    Ok(())
}

fn is_document(path: &Path) -> bool {
    let known = |end: &str| ["yaml", "yml", "json"].contains(&end);
    path.extension().and_then(|end| end.to_str()).is_some_and(known)
}
