//! The administrator's Unix socket: for this user alone. It must not know what is served on it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Binds with mode 0600 in a directory that is made with mode 0700 if there is none. A socket that a killed CA left
/// behind is replaced, one that answers is not.
pub(super) fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    let meta = fs::metadata(parent).map_err(failed)?;
    // Who can write there can put another socket in its place.
    if meta.mode() & 0o022 != 0 {
        return Err(SocketError::Shared(parent.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => return Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Between bind and this the uid check of every call keeps others out.
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Why the administrator cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The file system says no.
    #[error("cannot listen on the admin socket `{}`; choose another with --admin-socket (at most 107 bytes)", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could replace it.
    #[error("others can write to `{}`, the directory of the admin socket; run `chmod go-w` on it or choose another with --admin-socket", .0.display())]
    Shared(PathBuf),
    /// Somebody is there.
    #[error("another process serves the admin socket `{}`; stop it or choose another with --admin-socket", .0.display())]
    InUse(PathBuf),
}
