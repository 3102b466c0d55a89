//! Where a mesh keeps its files. It reads three environment variables and must not know what is in the files.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// A Unix socket's path has at most this many bytes (`sockaddr_un`, unix(7)).
const SOCKET_PATH_LIMIT: usize = 107;

/// Why the folder of a mesh cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathError {
    #[error("no folder for the mesh's state: set MESH_HOME, XDG_STATE_HOME or HOME")]
    NoHome,
    #[error("`{0}` is too long for the socket of the certificate authority; set MESH_HOME to a shorter path")]
    TooLong(PathBuf),
    #[error("cannot create `{path}`")]
    Create { path: PathBuf, source: io::Error },
}

/// The files of one mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MeshPaths {
    dir: PathBuf,
}

impl MeshPaths {
    /// The folder of the mesh `mesh`, whether or not it exists.
    pub(crate) fn find(mesh: &str) -> Result<Self, PathError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = choose_home(variable("MESH_HOME"), variable("XDG_STATE_HOME"), variable("HOME"));
        let paths = Self { dir: home.ok_or(PathError::NoHome)?.join(mesh) };
        if paths.ca_socket().as_os_str().len() > SOCKET_PATH_LIMIT {
            return Err(PathError::TooLong(paths.ca_socket()));
        }
        Ok(paths)
    }

    /// In that folder, for tests of what is derived from the paths.
    #[cfg(test)]
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Makes the folders, readable by their owner alone: they hold the CA's keys and its admin socket.
    pub(crate) fn create(&self) -> Result<(), PathError> {
        for dir in
            [self.dir.clone(), self.objects(), self.ca_state(), self.logs(), self.members(), self.tokens()]
        {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|source| PathError::Create { path: dir.clone(), source })?;
        }
        let private = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
        fs::set_permissions(&self.dir, private)
            .map_err(|source| PathError::Create { path: self.dir.clone(), source })
    }

    /// What the mesh consists of: addresses and processes.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("mesh.json")
    }

    /// The programs of `meshctl local up`.
    pub(crate) fn roster(&self) -> PathBuf {
        self.dir.join("local.json")
    }

    /// What `meshctl local up --detach` has to say. Not among the logs, which go when a mesh starts.
    pub(crate) fn keeper_log(&self) -> PathBuf {
        self.dir.join("local.log")
    }

    /// Held by the process that runs the mesh.
    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// The YAML objects that the controller watches.
    pub(crate) fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    /// States of releases, so that a controller that begins anew goes on with them.
    pub(crate) fn releases(&self) -> PathBuf {
        self.dir.join("releases.json")
    }

    /// The keys of the certificate authority.
    pub(crate) fn ca_state(&self) -> PathBuf {
        self.dir.join("ca")
    }

    /// The root certificate that members pin.
    pub(crate) fn root_pem(&self) -> PathBuf {
        self.ca_state().join("root.pem")
    }

    /// Where join tokens are made.
    pub(crate) fn ca_socket(&self) -> PathBuf {
        self.dir.join("ca.sock")
    }

    /// One file a process.
    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// One file a member that `meshctl run` added.
    pub(crate) fn members(&self) -> PathBuf {
        self.dir.join("members")
    }

    /// One folder a sidecar, with what it knew last.
    pub(crate) fn sidecars(&self) -> PathBuf {
        self.dir.join("sidecars")
    }

    /// One-time join tokens on their way to a process.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.dir.join("tokens")
    }
}

/// How the user calls this program: by its name when a shell would find it, else by its path.
pub(crate) fn how_to_call_us() -> String {
    let name = "meshctl".to_owned();
    let Ok(program) = std::env::current_exe() else { return name };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file());
    let ours = |file: PathBuf| file.canonicalize().is_ok_and(|file| file == program);
    if found.is_some_and(ours) {
        return name;
    }
    let here = std::env::current_dir().unwrap_or_default();
    program.strip_prefix(here).unwrap_or(&program).display().to_string()
}

/// `MESH_HOME` itself, or a folder of ours below the others (XDG Base Directory specification, "state").
fn choose_home(mesh: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    mesh.or_else(|| xdg.filter(|path| path.is_absolute()).map(|path| path.join("amime")))
        .or_else(|| home.map(|path| path.join(".local/state/amime")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mesh_home_beats_xdg_beats_home() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(choose_home(path("/m"), path("/x"), path("/h")), path("/m"));
        assert_eq!(choose_home(None, path("/x"), path("/h")), path("/x/amime"));
        assert_eq!(choose_home(None, path("relative"), path("/h")), path("/h/.local/state/amime"));
        assert_eq!(choose_home(None, None, None), None);
    }
}
