//! Where a cluster's things are: all below the user's cache, none in the checkout.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{FlockOperation, flock};

/// A cluster's name: part of the names of network namespaces and control groups, so it is short and plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Refuses what is no short label of DNS.
    pub fn new(text: &str) -> Result<Self> {
        let plain =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let edges = !text.starts_with('-') && !text.ends_with('-');
        ensure!(
            plain && edges && (1..=20).contains(&text.len()),
            "`{text}` is no name for a cluster: 1 to 20 letters a-z, digits and `-`, which is not at its ends"
        );
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The folders of a cluster.
#[derive(Debug, Clone)]
pub struct Folders {
    cache: PathBuf,
    name: Name,
}

impl Folders {
    /// `cache` is the folder of ours in the user's cache.
    pub fn new(cache: &Path, name: Name) -> Self {
        Self { cache: cache.join("cluster"), name }
    }

    /// The folder of ours in the user's cache.
    pub(crate) fn cache(&self) -> &Path {
        self.cache.parent().unwrap_or(&self.cache)
    }

    /// The cluster's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What is built once and kept.
    pub(crate) fn built(&self) -> PathBuf {
        self.cache.join("built")
    }

    /// What a running cluster keeps; gone after it.
    pub(crate) fn state(&self) -> PathBuf {
        self.cache.join("state").join(self.name.as_str())
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.state().join("kubeconfig")
    }

    /// Holds the cluster against others who would change it; waits for them.
    pub(crate) fn lock(&self) -> Result<File> {
        lock(&self.cache.join("state").join(format!("{}.lock", self.name.as_str())))
    }

    /// Holds what is built once against others who would build it too; waits for them.
    pub(crate) fn lock_built(&self) -> Result<File> {
        lock(&self.cache.join("built.lock"))
    }
}

fn lock(path: &Path) -> Result<File> {
    write(path, "")?;
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    flock(&file, FlockOperation::LockExclusive)
        .with_context(|| format!("wait for another command that holds {}", path.display()))?;
    Ok(file)
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["a", "amime", "ca-2"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a/b", "a.b", "abcdefghijklmnopqrstu"] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }
}
