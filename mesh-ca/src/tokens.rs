//! One-time join tokens. Only their SHA-256 is kept: who reads the state cannot join. They must not know
//! certificates.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::state::{Secrecy, sync_parent, write_whole};

/// Files of this kind that a crash left behind are tokens whose use was begun: they are used up.
const CLAIMED: &str = "claimed";

/// Whom a token is for, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    /// Unix seconds.
    pub(crate) expires: u64,
}

/// The tokens that wait for their use, at most `limit`.
#[derive(Debug)]
pub(crate) struct JoinTokens {
    /// One caller at a time; no await happens under it.
    store: Mutex<Store>,
    limit: usize,
}

#[derive(Debug)]
enum Store {
    /// One file a token, named by its hash.
    Dir(PathBuf),
    Memory(HashMap<String, Grant>),
}

/// A token that nobody else can use any more. It is used up unless it is given back.
#[derive(Debug)]
pub(crate) struct Claim {
    hash: String,
    pub(crate) grant: Grant,
}

impl JoinTokens {
    pub(crate) fn in_memory(limit: usize) -> Self {
        Self { store: Mutex::new(Store::Memory(HashMap::new())), limit }
    }

    /// Keeps them in `dir`, which is ours alone, and removes what a crash left behind.
    pub(crate) fn in_dir(dir: PathBuf, limit: usize) -> io::Result<Self> {
        for entry in fs::read_dir(&dir)?.flatten() {
            if !is_hash(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { store: Mutex::new(Store::Dir(dir)), limit })
    }

    /// Makes a token of 256 random bits. Expired ones make room first.
    pub(crate) fn create(&self, grant: &Grant, now: u64) -> Result<String, Refusal> {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|_| Refusal::Internal("no randomness".to_owned()))?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outstanding = store.outstanding().map_err(|error| internal(&error))?;
        if outstanding >= self.limit {
            outstanding = store.drop_expired(now).map_err(|error| internal(&error))?;
        }
        if outstanding >= self.limit {
            return Err(Refusal::TooManyTokens(self.limit));
        }
        store.put(&hash(&token), grant).map_err(|error| internal(&error))?;
        Ok(token)
    }

    /// Takes a token out of use, for this caller alone.
    pub(crate) fn claim(&self, token: &str, now: u64) -> Result<Claim, Refusal> {
        let hash = hash(token);
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = store.take(&hash).map_err(|error| internal(&error))?.ok_or(Refusal::JoinToken)?;
        if grant.expires <= now {
            store.finish(&hash);
            return Err(Refusal::JoinToken);
        }
        Ok(Claim { hash, grant })
    }

    /// The token has had its use.
    pub(crate) fn used(&self, claim: &Claim) {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).finish(&claim.hash);
    }

    /// The request came to nothing: the token may be used again.
    pub(crate) fn give_back(&self, claim: &Claim) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = store.give_back(claim) {
            tracing::error!(%error, "a join token of a refused request is lost");
        }
    }

    /// How many wait for their use, expired ones included.
    pub(crate) fn outstanding(&self) -> usize {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).outstanding().unwrap_or(0)
    }
}

impl Store {
    fn outstanding(&self) -> io::Result<usize> {
        match self {
            Self::Memory(grants) => Ok(grants.len()),
            Self::Dir(dir) => Ok(hashes(dir)?.count()),
        }
    }

    fn drop_expired(&mut self, now: u64) -> io::Result<usize> {
        match self {
            Self::Memory(grants) => grants.retain(|_, grant| grant.expires > now),
            Self::Dir(dir) => {
                for name in hashes(dir)? {
                    let path = dir.join(name);
                    if read_grant(&path)?.is_none_or(|grant| grant.expires <= now) {
                        fs::remove_file(path)?;
                    }
                }
            }
        }
        self.outstanding()
    }

    fn put(&mut self, hash: &str, grant: &Grant) -> io::Result<()> {
        match self {
            Self::Memory(grants) => {
                grants.insert(hash.to_owned(), grant.clone());
                Ok(())
            }
            Self::Dir(dir) => {
                let text = serde_json::to_string(grant)?;
                write_whole(&dir.join(hash), text.as_bytes(), Secrecy::Secret)
            }
        }
    }

    fn take(&mut self, hash: &str) -> io::Result<Option<Grant>> {
        match self {
            Self::Memory(grants) => Ok(grants.remove(hash)),
            Self::Dir(dir) => {
                let (path, claimed) = (dir.join(hash), dir.join(hash).with_extension(CLAIMED));
                // The rename decides who has it, and holds across a crash.
                match fs::rename(&path, &claimed) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    renamed => renamed?,
                }
                sync_parent(&claimed)?;
                read_grant(&claimed)
            }
        }
    }

    fn finish(&mut self, hash: &str) {
        if let Self::Dir(dir) = self {
            // If this fails the token is out of use all the same, and the next start removes it.
            if let Err(error) = fs::remove_file(dir.join(hash).with_extension(CLAIMED)) {
                tracing::warn!(%error, "the file of a used join token cannot be removed yet");
            }
        }
    }

    fn give_back(&mut self, claim: &Claim) -> io::Result<()> {
        match self {
            Self::Memory(grants) => {
                grants.insert(claim.hash.clone(), claim.grant.clone());
                Ok(())
            }
            Self::Dir(dir) => {
                let path = dir.join(&claim.hash);
                fs::rename(path.with_extension(CLAIMED), &path)
            }
        }
    }
}

/// The names of the tokens' files.
fn hashes(dir: &Path) -> io::Result<impl Iterator<Item = String>> {
    let names = fs::read_dir(dir)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| is_hash(name)))
}

fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `None` for a file that is no grant: it lets nobody in.
fn read_grant(path: &Path) -> io::Result<Option<Grant>> {
    Ok(serde_json::from_slice(&fs::read(path)?).ok())
}

fn hash(token: &str) -> String {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn internal(error: &io::Error) -> Refusal {
    Refusal::Internal(format!("join tokens: {error}"))
}

#[cfg(test)]
mod tests;
