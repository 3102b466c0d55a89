//! What makes a workload one of its kind in its mesh: its name, its address and its file of objects. All of them are free
//! again when it is dropped. It must not know what runs.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::control_plane::MEMBER_PREFIX;
use super::lock::{self, LockError, MeshLock};
use super::paths::MeshPaths;
use super::spec::WorkloadSpec;
use super::state::{self, MeshState};
use super::subnet::{self, AddressClaim, Subnet};

/// Why a workload cannot be a member.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrationError {
    #[error("`{name}` is a member of this mesh already{by}; choose another name or namespace")]
    Taken { name: String, by: String },
    #[error(transparent)]
    Lock(LockError),
    #[error("this mesh has no address left for another member")]
    NoAddress,
    #[error("cannot write `{path}`")]
    Write { path: PathBuf, source: std::io::Error },
}

/// A workload's place in its mesh.
#[derive(Debug)]
pub(crate) struct Registration {
    _name: MeshLock,
    address: AddressClaim,
    file: PathBuf,
    objects: PathBuf,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.withdraw();
        std::fs::remove_file(&self.file).ok();
    }
}

impl Registration {
    /// Takes the name and an address from `first_host` on, and tells the controller what it needs before the sidecar comes.
    pub(crate) fn take(
        spec: &WorkloadSpec,
        mesh: &MeshState,
        paths: &MeshPaths,
        first_host: u8,
    ) -> Result<Self, RegistrationError> {
        let name = spec.full_name();
        let taken = |by| RegistrationError::Taken { name: name.clone(), by };
        if mesh.members.iter().any(|other| other.name == spec.name && other.namespace == spec.namespace) {
            return Err(taken(String::new()));
        }
        let file = paths.members().join(&name);
        let lock = lock::take(&file).map_err(|error| match error {
            LockError::Held { pid } => taken(format!(", run by process {pid}")),
            error @ LockError::Io { .. } => RegistrationError::Lock(error),
        })?;
        let address =
            subnet::claim_address(Subnet::of(mesh.subnet), first_host).ok_or(RegistrationError::NoAddress)?;
        let objects = mesh.objects.join(format!("{MEMBER_PREFIX}{name}.yaml"));
        let this = Self { _name: lock, address, file, objects };
        this.write(spec.early_objects(this.address()).as_deref())?;
        Ok(this)
    }

    /// The workload's address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address.address()
    }

    /// Lets others find it, by these objects.
    pub(crate) fn publish(&self, objects: &str) -> Result<(), RegistrationError> {
        self.write(Some(objects))
    }

    fn write(&self, text: Option<&str>) -> Result<(), RegistrationError> {
        let Some(text) = text else { return Ok(()) };
        state::replace(&self.objects, text)
            .map_err(|source| RegistrationError::Write { path: self.objects.clone(), source })
    }

    /// Others find it no longer, once they have heard of it.
    pub(crate) fn withdraw(&self) {
        // None where it was not published.
        std::fs::remove_file(&self.objects).ok();
    }
}
