//! Where issuers come from: a root of our own, or somebody else's. It must not know when a new one is wanted.

use crate::authority::{AuthorityError, Mint};
use crate::rotation::Due;
use crate::vault::Slot;

/// Who signs issuers.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// A root that this authority made, and rotates by age.
    Own,
}

/// Why there is no issuer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// It cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Upstream {
    /// What signs next: with another root if there is to be one.
    pub(crate) async fn root(&self, mint: &Mint, now: u64) -> Result<Slot, UpstreamError> {
        match self {
            Self::Own => Ok(mint.root(now)?),
        }
    }

    /// Another issuer for what signs now. It may come back with other roots: then this is the beginning of a rotation.
    pub(crate) async fn issuer(&self, mint: &Mint, current: &Slot, now: u64) -> Result<Slot, UpstreamError> {
        match self {
            // Keys of somebody else's root were kept here before: then a root of our own comes in its place.
            Self::Own if current.root_key.is_none() => Ok(mint.root(now)?),
            Self::Own => Ok(mint.issuer(current, now)?),
        }
    }

    /// When what is there is to be replaced; somebody else's root is replaced by somebody else.
    pub(crate) fn due(&self, due: Due) -> Due {
        match self {
            Self::Own => due,
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Own => "a root of its own".to_owned(),
        }
    }
}
