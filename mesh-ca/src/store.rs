//! Where the vault is kept, and what replicas tell each other: in memory, in a directory, or in the cluster. Every write says what it
//! replaces. It must not know what is in a vault.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::authority::AuthorityError;
use crate::kubernetes::{ApiFailure, Shared};
use crate::members::View;
use crate::state::{Secrecy, StateDir, StateError, write_whole};
use crate::vault::{BadKeys, Vault};

/// Everything that is kept, in one file, so that it is replaced together.
const KEYS: &str = "keys.json";
/// What members pin: all roots that are trusted now.
pub(crate) const ROOTS: &str = "root.pem";
/// Who had certificates when this authority last wrote it down.
const MEMBERS: &str = "members.json";
/// Where a version without rotation kept its keys.
const EARLIER: [&str; 2] = ["root.key", "issuer.pem"];

pub(crate) enum Store {
    Local(Local),
    Cluster(Box<Shared>),
}

/// A vault, and the version that it has in the store.
pub(crate) struct Held {
    pub(crate) vault: Vault,
    pub(crate) version: Version,
}

/// What a write must find.
pub(crate) enum Version {
    /// Counted here.
    Local(u64),
    /// The object of the API server.
    Object(Option<Box<k8s_openapi::api::core::v1::Secret>>),
}

pub(crate) enum Found {
    Nothing(Version),
    Held(Held),
}

/// Why the authority has no keys, or cannot keep them.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is kept.
    #[error("{place} cannot be used; restore it from a backup. Only if it is lost: {otherwise}")]
    Broken {
        /// Which object or file.
        place: String,
        /// What to do if there is no backup.
        otherwise: &'static str,
        /// What is wrong.
        #[source]
        why: BadKeys,
    },
    /// No keys could be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// What is told of members cannot be written down.
    #[error("what members trust cannot be written down: {0}")]
    Views(String),
}

impl Store {
    /// What there is now.
    pub(crate) async fn read(&self, leaf_life: u64, now: u64) -> Result<Found, StoreError> {
        match self {
            Self::Local(local) => local.read(leaf_life, now),
            Self::Cluster(shared) => shared.read(leaf_life, now).await,
        }
    }

    /// Puts a vault in the place of what was read. False: it is not as it was read.
    pub(crate) async fn write(&self, version: &Version, vault: &Vault) -> Result<bool, StoreError> {
        match (self, version) {
            (Self::Local(local), Version::Local(version)) => local.write(*version, vault),
            (Self::Cluster(shared), Version::Object(object)) => shared.write(object.as_deref(), vault).await,
            _ => Ok(false),
        }
    }

    /// Tells members what to pin. Nothing is written that is there already.
    pub(crate) async fn publish(&self, bundle: &str) -> Result<(), StoreError> {
        match self {
            Self::Local(local) => local.publish(bundle),
            Self::Cluster(shared) => shared.publish(bundle).await,
        }
    }

    /// What replicas, this one too, wrote last.
    pub(crate) async fn views(&self) -> Result<Vec<View>, StoreError> {
        match self {
            Self::Local(local) => Ok(local.memory().views.clone()),
            Self::Cluster(shared) => shared.views().await,
        }
    }

    /// Writes down what this replica knows, forgets what is over, and says what all know.
    pub(crate) async fn share(&self, view: &View, leaf_life: u64, now: u64) -> Result<Vec<View>, StoreError> {
        match self {
            Self::Local(local) => local.share(view),
            Self::Cluster(shared) => shared.share(view, leaf_life, now).await,
        }
    }

    /// The same for something that is wrong with what is kept.
    pub(crate) fn broken(&self, why: BadKeys) -> StoreError {
        match self {
            Self::Local(local) => local.broken(why),
            Self::Cluster(shared) => shared.broken(why),
        }
    }

    /// For people.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Local(local) => local.place(),
            Self::Cluster(shared) => shared.place().to_owned(),
        }
    }
}

/// In memory, or in a directory that is ours alone.
pub(crate) struct Local {
    dir: Option<Arc<StateDir>>,
    /// Members elsewhere on this machine pin this file too.
    root_file: Option<PathBuf>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    entries: Option<BTreeMap<String, String>>,
    version: u64,
    views: Vec<View>,
}

impl Local {
    /// Reads what the directory has. Keys of an earlier version are taken over.
    pub(crate) fn open(dir: Option<Arc<StateDir>>, root_file: Option<PathBuf>) -> Result<Self, StoreError> {
        let mut memory = Memory::default();
        let mut earlier = None;
        if let Some(dir) = dir.as_deref() {
            memory.views = match dir.read(MEMBERS)? {
                // Knowing nothing of members is safe: then it waits until every certificate has ended.
                Some(text) => serde_json::from_str(&text).unwrap_or_default(),
                None => Vec::new(),
            };
            match dir.read(KEYS)? {
                Some(text) => {
                    let entries =
                        serde_json::from_str(&text).map_err(|error| broken(dir, &error.to_string()))?;
                    memory.entries = Some(entries);
                }
                None => earlier = earlier_keys(dir)?,
            }
        }
        memory.entries = memory.entries.or_else(|| earlier.clone());
        let local = Self { dir, root_file, memory: Mutex::new(memory) };
        if let (Some(entries), Some(dir)) = (earlier, local.dir.as_deref()) {
            write_entries(dir, &entries)?;
            for name in EARLIER {
                dir.remove(name)?;
            }
        }
        Ok(local)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, leaf_life: u64, now: u64) -> Result<Found, StoreError> {
        let memory = self.memory();
        let version = Version::Local(memory.version);
        let Some(entries) = &memory.entries else { return Ok(Found::Nothing(version)) };
        match Vault::from_entries(entries, leaf_life, now).map_err(|why| self.broken(why))? {
            Some(vault) => Ok(Found::Held(Held { vault, version })),
            None => Ok(Found::Nothing(version)),
        }
    }

    fn write(&self, version: u64, vault: &Vault) -> Result<bool, StoreError> {
        let mut memory = self.memory();
        if memory.version != version {
            return Ok(false);
        }
        let entries = vault.entries();
        if let Some(dir) = self.dir.as_deref() {
            write_entries(dir, &entries)?;
        }
        memory.entries = Some(entries);
        memory.version += 1;
        Ok(true)
    }

    fn publish(&self, bundle: &str) -> Result<(), StoreError> {
        if let Some(dir) = self.dir.as_deref()
            && dir.read(ROOTS)?.as_deref() != Some(bundle)
        {
            dir.write(ROOTS, bundle, Secrecy::Public)?;
        }
        if let Some(path) = &self.root_file
            && std::fs::read_to_string(path).ok().as_deref() != Some(bundle)
        {
            let written = write_whole(path, bundle.as_bytes(), Secrecy::Public);
            written.map_err(|source| StateError::Io { what: "write", path: path.clone(), source })?;
        }
        Ok(())
    }

    fn share(&self, view: &View) -> Result<Vec<View>, StoreError> {
        let views = vec![view.clone()];
        if let Some(dir) = self.dir.as_deref() {
            let text = serde_json::to_string(&views).map_err(|error| StoreError::Views(error.to_string()))?;
            dir.write(MEMBERS, &text, Secrecy::Secret)?;
        }
        self.memory().views.clone_from(&views);
        Ok(views)
    }

    fn broken(&self, why: BadKeys) -> StoreError {
        StoreError::Broken { place: self.place(), otherwise: OTHERWISE, why }
    }

    fn place(&self) -> String {
        match self.dir.as_deref() {
            Some(dir) => format!("`{}`", dir.path().join(KEYS).display()),
            None => "memory".to_owned(),
        }
    }
}

const OTHERWISE: &str = "remove the state directory to begin with a new root, and start every workload again";

fn broken(dir: &StateDir, why: &str) -> StoreError {
    let place = format!("`{}`", dir.path().join(KEYS).display());
    StoreError::Broken { place, otherwise: OTHERWISE, why: BadKeys::Root(why.to_owned()) }
}

fn write_entries(dir: &StateDir, entries: &BTreeMap<String, String>) -> Result<(), StoreError> {
    let text = serde_json::to_string_pretty(entries).map_err(|error| StoreError::Views(error.to_string()))?;
    Ok(dir.write(KEYS, &text, Secrecy::Secret)?)
}

/// Root and issuer as a version without rotation kept them. A root that was published and whose keys are gone is an error: another one
/// would be trusted by nobody.
fn earlier_keys(dir: &StateDir) -> Result<Option<BTreeMap<String, String>>, StoreError> {
    let Some(root) = dir.read(ROOTS)? else { return Ok(None) };
    let [key, issuer] = EARLIER.map(|name| dir.read(name));
    let entries = match (key?, issuer?) {
        (Some(key), Some(issuer)) => [(ROOTS, root), ("root.key", key), ("issuer.pem", issuer)],
        _ => return Err(broken(dir, "there is a root.pem, but its keys are missing")),
    };
    Ok(Some(entries.map(|(name, text)| (name.to_owned(), text)).into()))
}
