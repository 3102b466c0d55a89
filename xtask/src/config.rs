//! Where things are: the checkout, the cache outside it, the target folder. The only reader of the environment here.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The checkout and the folders that belong to it.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// `$XDG_CACHE_HOME/amime`: may be deleted at any time.
    pub(crate) cache: PathBuf,
    /// Where cargo builds what CI builds.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the folders from this package's place and the user's environment.
    pub(crate) fn discover() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
        let cache = match absolute("XDG_CACHE_HOME") {
            Some(dir) => dir,
            None => absolute("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?.join(".cache"),
        }
        .join("amime");
        let target = absolute("CARGO_TARGET_DIR").unwrap_or_else(|| cache.join("target"));
        Ok(Self { root: root.to_path_buf(), cache, target })
    }

    /// Tools that CI installs for itself.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }

    /// The Python environment of the real-software test.
    pub(crate) fn python(&self) -> PathBuf {
        self.cache.join("python")
    }

    /// A path below the root as it is printed to people.
    pub(crate) fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_path_buf()
    }
}

fn absolute(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// `cargo` as it was called, so that the same toolchain serves throughout.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// `PATH` with `first` before everything else.
pub(crate) fn path_with(first: &[PathBuf]) -> Result<std::ffi::OsString> {
    let old = env::var_os("PATH").unwrap_or_default();
    env::join_paths(first.iter().cloned().chain(env::split_paths(&old)))
        .context("a folder in PATH has a colon")
}

/// The first program of that name in `PATH`, or in the folders where Debian keeps servers.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Where cargo and rustup keep their things, for a child whose `HOME` is another one.
pub(crate) fn toolchain_homes() -> Vec<(&'static str, PathBuf)> {
    let home = absolute("HOME").unwrap_or_default();
    [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")]
        .into_iter()
        .map(|(name, folder)| (name, absolute(name).unwrap_or_else(|| home.join(folder))))
        .collect()
}
