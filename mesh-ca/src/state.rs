//! The state directory: private, locked, and written so that a file is there whole or not at all. It must not know
//! what is in the files.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// An open state directory; the lock is held for as long as it lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// This user alone: 0600.
    Secret,
    /// Everybody who gets as far: 0644.
    Public,
}

impl StateDir {
    /// Makes it if need be, takes every permission of others away, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |what| move |source| StateError::Io { what, path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make"))?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed("make private"))?;
        let lock = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(lock)
            .map_err(failed("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::InUse(path.to_owned())),
            Err(error) => Err(failed("lock")(error.into())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it.
    pub(crate) fn subdir(&self, name: &str) -> Result<PathBuf, StateError> {
        let path = self.path.join(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|source| StateError::Io { what: "make", path: path.clone(), source })?;
        Ok(path)
    }

    /// The content of a file, `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { what: "read", path, source }),
        }
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Io { what: "remove", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Writes a file whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str, secrecy: Secrecy) -> Result<(), StateError> {
        let path = self.path.join(name);
        write_whole(&path, text.as_bytes(), secrecy).map_err(|source| StateError::Io {
            what: "write",
            path,
            source,
        })
    }
}

/// Temporary file beside it, flush, rename, flush of the directory: a crash at any point leaves the old file or the
/// new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], secrecy: Secrecy) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_file_name(format!(".{name}.new"));
    let mode = match secrecy {
        Secrecy::Secret => 0o600,
        Secrecy::Public => 0o644,
    };
    // One that a crash left behind may have any mode and content.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// Makes renames and removals in the directory of `path` last.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system says no.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another CA runs on it.
    #[error("the state directory `{}` is in use by another mesh-ca; stop that one or choose another with --state-dir", .0.display())]
    InUse(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_private_and_locked() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("ca");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let open = StateDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let second = StateDir::open(&path).unwrap_err();
        assert!(matches!(second, StateError::InUse(_)), "{second}");
        drop(open);
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn a_file_is_replaced_whole_whatever_a_crash_left_behind() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::open(temp.path()).unwrap();
        state.write("key", "old", Secrecy::Secret).unwrap();
        fs::write(temp.path().join(".key.new"), "half-writ").unwrap();
        state.write("key", "new", Secrecy::Secret).unwrap();
        assert_eq!(state.read("key").unwrap().as_deref(), Some("new"));
        assert_eq!(fs::metadata(temp.path().join("key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!temp.path().join(".key.new").exists());
        assert_eq!(state.read("none").unwrap(), None);
    }
}
