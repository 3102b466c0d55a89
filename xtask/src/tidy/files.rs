//! The tree that the rules look at: every text file of the repository, read once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];
const TEXT_ENDINGS: [&str; 18] = [
    "rs", "toml", "md", "yaml", "yml", "json", "proto", "sh", "py", "conf", "tpl", "txt", "css", "html",
    "lock", "js", "mjs", "",
];

/// A file with its path relative to the root, `/` between the parts.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// Every text file of the repository.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) texts: Vec<Text>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
                let entry = entry?;
                let (path, name) = (entry.path(), entry.file_name());
                // In a worktree of git `.git` is a file.
                if SKIPPED.iter().any(|skipped| name == *skipped) {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if is_text(&path)
                    && let Ok(text) = fs::read_to_string(&path)
                {
                    tree.texts.push(Text { path: path.strip_prefix(root)?.to_path_buf(), text });
                }
            }
        }
        tree.texts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    pub(super) fn get(&self, path: impl AsRef<Path>) -> Option<&Text> {
        self.texts.iter().find(|text| text.path == path.as_ref())
    }
}

fn is_text(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    TEXT_ENDINGS.contains(&ending)
}

impl Text {
    pub(super) fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "rs")
    }

    /// A module of JavaScript.
    pub(super) fn is_script(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "js" || ending == "mjs")
    }

    pub(super) fn is_page(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "md")
    }

    pub(super) fn is_generated(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "generated")
    }

    /// Tests and what only tests use: files named `tests.rs` or `testing.rs`, and folders `tests` and `testing`.
    pub(super) fn is_test(&self) -> bool {
        self.path.with_extension("").components().any(|part| {
            let part = part.as_os_str();
            part == "tests" || part == "testing"
        })
    }

    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }
}
