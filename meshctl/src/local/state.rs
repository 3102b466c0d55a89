//! `mesh.json`: what other commands have to know of a running mesh: addresses, files, processes. It must not know how
//! the mesh is run.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lock;
use super::paths::{MeshPaths, PathError};
use super::supervisor::ChildState;

/// A running mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MeshState {
    pub(crate) name: String,
    /// The process that runs it.
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) trust_domain: String,
    /// Network address of its /24.
    pub(crate) subnet: Ipv4Addr,
    /// The YAML objects that the controller watches.
    pub(crate) objects: PathBuf,
    pub(crate) root_pem: PathBuf,
    pub(crate) ca: CaState,
    pub(crate) controller: ControllerState,
    /// Members that belong to the mesh's own process, such as the shop.
    pub(crate) members: Vec<MemberState>,
    /// Everything that was to be started is ready.
    pub(crate) ready: bool,
    pub(crate) children: Vec<ChildState>,
}

/// Where the certificate authority is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CaState {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) admin_socket: PathBuf,
}

/// Where the controller is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControllerState {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

/// A member: one workload with its sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberState {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    /// The HTTP proxy of its application.
    pub(crate) outbound_proxy: SocketAddr,
}

/// Why a mesh cannot be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    #[error("no mesh named `{0}` runs on this machine; start one with `meshctl demo` or `meshctl up`")]
    NotRunning(String),
    #[error("the mesh `{name}` is still starting or was damaged: cannot read `{path}`: {reason}")]
    Unreadable { name: String, path: PathBuf, reason: String },
    #[error(transparent)]
    Path(#[from] PathError),
}

/// The running mesh `mesh`.
pub(crate) fn find(mesh: &str) -> Result<MeshState, FindError> {
    let paths = MeshPaths::find(mesh)?;
    // The file outlives a process that was killed; the lock does not.
    if !lock::is_held(&paths.lock()) {
        return Err(FindError::NotRunning(mesh.to_owned()));
    }
    let unreadable = |reason| FindError::Unreadable { name: mesh.to_owned(), path: paths.state(), reason };
    let text = fs::read_to_string(paths.state()).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))
}

/// Writes a file in one step: readers see the old text or the new one, never half of it.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    // The name ends in `.tmp` so that nobody who watches the folder for YAML takes it for an object.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.tmp"));
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}

impl MeshState {
    /// Writes it for others to find.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        replace(path, &serde_json::to_string_pretty(self).map_err(io::Error::other)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_leaves_no_other_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
