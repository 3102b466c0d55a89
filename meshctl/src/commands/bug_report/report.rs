//! The folder of a report. Everything is written here, and nothing without being redacted; files and the whole are bounded, and what
//! was left out is remembered with the reason.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::redact::Redactor;

const MOST_OF_A_FILE: usize = 8 << 20;
const MOST_OF_ALL: usize = 256 << 20;

/// What a report is written into.
pub(super) struct Folder {
    root: PathBuf,
    redactor: Redactor,
    room: usize,
    left_out: Vec<String>,
}

impl Folder {
    /// Makes it, for nobody else to read; one that is there already is not touched.
    pub(super) fn create(root: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new().mode(0o700).create(root);
        made.with_context(|| format!("cannot make the folder {} for the report", root.display()))?;
        let redactor = Redactor::new()?;
        Ok(Self { root: root.to_owned(), redactor, room: MOST_OF_ALL, left_out: Vec::new() })
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
        let path = self.root.join(name);
        self.put(&path, kept).with_context(|| format!("cannot write {}", path.display()))
    }

    fn put(&self, path: &Path, text: &str) -> io::Result<()> {
        if let Some(parent) = path.parent().filter(|parent| *parent != self.root) {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
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
        Ok(self.left_out)
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
        let mut folder = Folder::create(&root).unwrap();
        folder.text("logs/a.log", "password=x\n").unwrap();
        folder.json("a.json", json!({"token": "x"})).unwrap();
        folder.yaml("objects/a.yaml", vec![json!({"kind": "Secret", "data": {"a": "x"}})]).unwrap();
        folder.yaml("objects/none.yaml", Vec::new()).unwrap();
        folder.leave_out("b", "Bearer abcdefghijkl was refused");
        assert_eq!(folder.close().unwrap(), ["b: Bearer <removed> was refused"]);
        let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
        assert_eq!(read("logs/a.log"), "password=<removed>\n");
        assert!(!read("a.json").contains("\"x\"") && !read("objects/a.yaml").contains("a: x"));
        assert!(read("README.txt").contains("Left out:\n  b: Bearer <removed> was refused\n"));
        assert!(!root.join("objects/none.yaml").exists());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&root), mode(&root.join("a.json"))), (0o700, 0o600));
        assert!(Folder::create(&root).is_err(), "a folder that is there is not touched");
    }
}
