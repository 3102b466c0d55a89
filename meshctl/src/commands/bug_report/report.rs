//! What a report is written into: an archive, or a folder. Everything is written here, and nothing without being redacted; files and the
//! whole are bounded, and what was left out is remembered with the reason.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::redact::Redactor;

const MOST_OF_A_FILE: usize = 8 << 20;
const MOST_OF_ALL: usize = 256 << 20;

/// What a report is written into.
pub(super) struct Report {
    place: Place,
    redactor: Redactor,
    room: usize,
    left_out: Vec<String>,
}

enum Place {
    Folder(PathBuf),
    Archive(Box<Archive>),
}

/// Beside its place until it is whole.
struct Archive {
    builder: tar::Builder<GzEncoder<NamedTempFile>>,
    /// The folder that it unpacks to.
    name: String,
    path: PathBuf,
}

impl Report {
    /// In a folder that is made for nobody else to read; one that is there already is not touched.
    pub(super) fn folder(root: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new().mode(0o700).create(root);
        made.with_context(|| format!("cannot make the folder {} for the report", root.display()))?;
        Self::at(Place::Folder(root.to_owned()))
    }

    /// In an archive that unpacks to a folder of that name, for nobody else to read; one that is there already is not touched.
    pub(super) fn archive(path: &Path, name: &str) -> anyhow::Result<Self> {
        let cannot = || format!("cannot make the archive {} for the report", path.display());
        anyhow::ensure!(!path.exists(), "{}: it is there already", cannot());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder).with_context(cannot)?;
        let builder = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        let (name, path) = (name.to_owned(), path.to_owned());
        Self::at(Place::Archive(Box::new(Archive { builder, name, path })))
    }

    fn at(place: Place) -> anyhow::Result<Self> {
        Ok(Self { place, redactor: Redactor::new()?, room: MOST_OF_ALL, left_out: Vec::new() })
    }

    /// What is not in the report, and why.
    pub(super) fn leave_out(&mut self, what: &str, why: impl std::fmt::Display) {
        self.left_out.push(self.redactor.text(&format!("{what}: {why}")));
    }

    pub(super) fn text(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let text = self.redactor.text(text);
        self.write(name, &text)
    }

    pub(super) fn json(&mut self, name: &str, mut value: Value) -> anyhow::Result<()> {
        self.redactor.value(&mut value);
        let text = serde_json::to_string_pretty(&value)?;
        self.write(name, &text)
    }

    /// Objects as a stream of documents; none is no file.
    pub(super) fn yaml(&mut self, name: &str, objects: Vec<Value>) -> anyhow::Result<()> {
        let mut text = String::new();
        let (mut shown, all) = (0, objects.len());
        for mut object in objects {
            if text.len() > MOST_OF_A_FILE {
                break;
            }
            self.redactor.value(&mut object);
            text.push_str("---\n");
            text.push_str(&serde_saphyr::to_string(&object)?);
            shown += 1;
        }
        if shown < all {
            self.leave_out(name, format_args!("{} of {all} objects, for their size", all - shown));
        }
        if all == 0 { Ok(()) } else { self.write(name, &text) }
    }

    /// What is to be written has been redacted.
    fn write(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let most = self.room.min(2 * MOST_OF_A_FILE);
        let kept = text.get(..text.floor_char_boundary(most)).unwrap_or_default();
        if kept.len() < text.len() {
            self.leave_out(name, format_args!("{} bytes at its end, for its size", text.len() - kept.len()));
        }
        self.room -= kept.len();
        let put = match &mut self.place {
            Place::Folder(root) => put(root, name, kept),
            Place::Archive(archive) => archive.put(name, kept),
        };
        put.with_context(|| format!("cannot write {name} of the report"))
    }

    /// Writes the page for whoever gets the report; what was left out.
    pub(super) fn close(mut self) -> anyhow::Result<Vec<String>> {
        let mut page = String::from(
            "A report of `meshctl bug-report`. Keys, tokens, passwords, values of the environment and contents of Secrets were removed.\n\
             Look through it before you give it to others: names of services, addresses and paths of requests are in it.\n",
        );
        if !self.left_out.is_empty() {
            page.push_str("\nLeft out:\n");
            page.extend(self.left_out.iter().flat_map(|line| ["  ", line, "\n"]));
        }
        self.write("README.txt", &page)?;
        if let Place::Archive(archive) = self.place {
            archive.finish()?;
        }
        Ok(self.left_out)
    }
}

fn put(root: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = root.join(name);
    if let Some(parent) = path.parent().filter(|parent| *parent != root) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

impl Archive {
    fn put(&mut self, name: &str, text: &str) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        let path = format!("{}/{name}", self.name);
        self.builder.append_data(&mut header, path, text.as_bytes())
    }

    fn finish(self) -> anyhow::Result<()> {
        let cannot = || format!("cannot finish the archive {}", self.path.display());
        let file = self.builder.into_inner().and_then(GzEncoder::finish).with_context(cannot)?;
        file.as_file().sync_all().with_context(cannot)?;
        file.persist_noclobber(&self.path).with_context(cannot).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_is_written_as_it_came_and_for_nobody_else() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("report");
        let mut report = Report::folder(&root).unwrap();
        report.text("logs/a.log", "password=x\n").unwrap();
        report.json("a.json", json!({"token": "x"})).unwrap();
        report.yaml("objects/a.yaml", vec![json!({"kind": "Secret", "data": {"a": "x"}})]).unwrap();
        report.yaml("objects/none.yaml", Vec::new()).unwrap();
        report.leave_out("b", "Bearer abcdefghijkl was refused");
        assert_eq!(report.close().unwrap(), ["b: Bearer <removed> was refused"]);
        let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
        assert_eq!(read("logs/a.log"), "password=<removed>\n");
        assert!(!read("a.json").contains("\"x\"") && !read("objects/a.yaml").contains("a: x"));
        assert!(read("README.txt").contains("Left out:\n  b: Bearer <removed> was refused\n"));
        assert!(!root.join("objects/none.yaml").exists());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&root), mode(&root.join("a.json"))), (0o700, 0o600));
        assert!(Report::folder(&root).is_err(), "a folder that is there is not touched");
    }

    #[test]
    fn an_archive_unpacks_to_one_folder_and_appears_when_it_is_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("report.tar.gz");
        let mut report = Report::archive(&path, "amime-1").unwrap();
        let long = format!("sidecars/{}/pod.yaml", "n".repeat(150));
        report.text("logs/a.log", "password=x\n").unwrap();
        report.text(&long, "b").unwrap();
        assert!(!path.exists());
        report.close().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing else stays");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            io::Read::read_to_string(&mut entry, &mut text).unwrap();
            found.push((entry.path().unwrap().display().to_string(), text));
        }
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["amime-1/logs/a.log", &format!("amime-1/{long}"), "amime-1/README.txt"]);
        assert_eq!(found[0].1, "password=<removed>\n");
        assert!(Report::archive(&path, "amime-1").is_err(), "an archive that is there is not touched");
    }
}
