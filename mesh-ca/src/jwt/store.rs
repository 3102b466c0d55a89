//! Where the keys of tokens are kept: nowhere, in the state directory, or in a Secret that replicas share. New keys are in the store before
//! anybody hears of them. It must not know what keys are good for.

use std::sync::Arc;

use super::keys::{JwtKeys, KeyTrouble};
use crate::kubernetes::{ApiFailure, JwtSecret};
use crate::state::{Secrecy, StateDir, StateError};

/// In the state directory, and in the Secret.
pub(crate) const FILE: &str = "jwt-keys.json";

/// A place for keys.
pub(crate) enum JwtStore {
    /// The process: its end is theirs.
    Memory(tokio::sync::Mutex<Option<String>>),
    Dir(Arc<StateDir>),
    Cluster(Box<JwtSecret>),
}

/// Why the keys of tokens cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JwtStoreError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// What is in the store.
    #[error(
        "`{place}`: {why}; restore it from a backup, or remove it to begin with a new key: tokens of the old one are refused then"
    )]
    Broken {
        /// Which file or Secret.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// No key could be made.
    #[error("{0}")]
    Key(String),
}

impl JwtStore {
    pub(crate) fn in_memory() -> Self {
        Self::Memory(tokio::sync::Mutex::default())
    }

    /// The keys that there should be at `now`, after they are in the store.
    pub(super) async fn turn(&self, now: u64) -> Result<JwtKeys, JwtStoreError> {
        let made = |error: KeyTrouble| JwtStoreError::Key(error.to_string());
        loop {
            let (text, version) = self.read().await?;
            let (keys, is_new) = match text {
                None => (JwtKeys::begin(now).map_err(made)?, true),
                Some(text) => {
                    let keys = JwtKeys::read(&text).map_err(|why| self.broken(&why))?;
                    match keys.turned(now).map_err(made)? {
                        Some(turned) => (turned, true),
                        None => (keys, false),
                    }
                }
            };
            // Another replica may be faster: its keys count then.
            if !is_new || self.write(&keys.kept(), version).await? {
                return Ok(keys);
            }
        }
    }

    async fn read(&self) -> Result<(Option<String>, Option<Version>), JwtStoreError> {
        Ok(match self {
            Self::Memory(text) => (text.lock().await.clone(), None),
            Self::Dir(dir) => (dir.read(FILE)?, None),
            Self::Cluster(secret) => {
                let (text, version) = secret.read(FILE).await?;
                (text, Some(version))
            }
        })
    }

    /// False: it is not any more as it was read.
    async fn write(&self, text: &str, version: Option<Version>) -> Result<bool, JwtStoreError> {
        match self {
            Self::Memory(kept) => *kept.lock().await = Some(text.to_owned()),
            Self::Dir(dir) => dir.write(FILE, text, Secrecy::Secret)?,
            Self::Cluster(secret) => {
                return Ok(secret.write(FILE, text, version.unwrap_or_default()).await?);
            }
        }
        Ok(true)
    }

    fn broken(&self, why: &KeyTrouble) -> JwtStoreError {
        let place = match self {
            Self::Memory(_) => "memory".to_owned(),
            Self::Dir(dir) => dir.path().join(FILE).display().to_string(),
            Self::Cluster(secret) => secret.name().to_owned(),
        };
        JwtStoreError::Broken { place, why: why.to_string() }
    }
}

/// The object as it was read.
pub(crate) type Version = crate::kubernetes::SecretVersion;
