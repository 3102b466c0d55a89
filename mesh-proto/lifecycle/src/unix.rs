//! Unix sockets of this machine's other processes. It must not know what is served on them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Who may connect, as far as the file system decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// This user (mode 0600); the directory must be one that others cannot write to, since they could put another socket there.
    Owner,
    /// Whoever gets as far as the directory (mode 0666): a volume of one pod.
    Everybody,
}

/// Binds in a directory that is made with mode 0700 if there is none. A socket that a killed process left behind is replaced, one that
/// answers is not. `option` is the flag that says where, for people.
pub fn bind(path: &Path, access: Access, option: &'static str) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Io { option, path: path.to_owned(), source };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    let meta = fs::metadata(parent).map_err(failed)?;
    if access == Access::Owner && meta.mode() & 0o022 != 0 {
        return Err(SocketError::Shared { option, parent: parent.to_owned() });
    }
    match UnixStream::connect(path) {
        Ok(_) => return Err(SocketError::InUse { option, path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let mode = match access {
        Access::Owner => 0o600,
        Access::Everybody => 0o666,
    };
    // Between bind and this, who serves must look at the user of each peer.
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok(listener)
}

/// Why nobody can be served on a Unix socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The file system says no.
    #[error("cannot listen on the socket `{}`; choose another with {option} (at most 107 bytes)", path.display())]
    Io {
        /// The flag that says where.
        option: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could replace it.
    #[error("others can write to `{}`, the directory of the socket; run `chmod go-w` on it or choose another with {option}", parent.display())]
    Shared {
        /// The flag that says where.
        option: &'static str,
        /// The directory.
        parent: PathBuf,
    },
    /// Somebody is there.
    #[error("another process serves the socket `{}`; stop it or choose another with {option}", path.display())]
    InUse {
        /// The flag that says where.
        option: &'static str,
        /// Where.
        path: PathBuf,
    },
}
