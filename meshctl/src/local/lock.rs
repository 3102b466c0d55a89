//! Who runs a mesh: one process at a time holds the lock of its folder, and the kernel releases it when that process
//! ends, however it ends. It must not know what running means.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock; dropping it releases it.
#[derive(Debug)]
pub(crate) struct MeshLock {
    _file: File,
}

/// Why the lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("it is held by process {pid}")]
    Held { pid: String },
    #[error("cannot lock `{path}`")]
    Io { path: PathBuf, source: io::Error },
}

/// Takes the lock and writes our process id into it.
pub(crate) fn take(path: &Path) -> Result<MeshLock, LockError> {
    let failed = |source| LockError::Io { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(failed)?;
            return Err(LockError::Held { pid: pid.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    file.write_all(std::process::id().to_string().as_bytes()).map_err(failed)?;
    Ok(MeshLock { _file: file })
}

/// Whether somebody holds the lock.
pub(crate) fn is_held(path: &Path) -> bool {
    // Opening for reading does not create it; a lock that cannot be opened is held by nobody we could talk to.
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_second_one_learns_who_holds_it_and_a_drop_releases_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_held(&path));
        let held = take(&path).unwrap();
        assert!(is_held(&path));
        let LockError::Held { pid } = take(&path).unwrap_err() else { panic!("not held") };
        assert_eq!(pid, std::process::id().to_string());
        drop(held);
        // A process that another test starts has a copy of the descriptor until its `exec`.
        let until = Instant::now() + Duration::from_mins(1);
        while is_held(&path) && Instant::now() < until {
            std::thread::yield_now();
        }
        take(&path).unwrap();
    }
}
