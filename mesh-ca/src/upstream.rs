//! Where issuers come from: a root of our own, or somebody else's. It must not know when a new one is wanted, nor where it is kept.

mod given;
mod plugin;

use std::time::Duration;

use crate::authority::{AuthorityError, Mint, Span, chain_of};
use crate::kubernetes::CertManager;
use crate::rotation::Due;
use crate::vault::Slot;

pub(crate) use given::Given;
pub(crate) use plugin::Plugin;

/// Who signs issuers.
#[derive(Debug)]
pub(crate) enum Upstream {
    /// A root that this authority made, and rotates by age.
    Own,
    /// A folder with an issuer, its key, and roots; whoever writes it renews it.
    Given(Given),
    /// A program that passes a request on to another authority.
    Plugin(Plugin),
    /// An issuer of cert-manager.
    CertManager(Box<CertManager>),
}

/// A request, and what answers it.
pub(crate) struct Wanted<'a> {
    /// PKCS #10, DER.
    pub(crate) csr_der: &'a [u8],
    pub(crate) trust_domain: String,
    pub(crate) life: Duration,
}

/// What somebody else signed, as PEM.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The issuer's certificate and those between it and the root.
    pub(crate) chain: String,
    pub(crate) roots: String,
}

/// Why there is no issuer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// It cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file of the folder.
    #[error("the issuer that was given cannot be read from `{path}`")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody answers, or says no.
    #[error("{who} signed no issuer: {why}")]
    Refused {
        /// Who was asked.
        who: String,
        /// What it says.
        why: String,
    },
    /// It would end too soon.
    #[error(
        "{who} gave an issuer that lives {lives} s; it must live {least} s at least, four times as long as a certificate"
    )]
    TooShort {
        /// Who was asked.
        who: String,
        /// Seconds.
        lives: u64,
        /// Seconds.
        least: u64,
    },
}

impl Upstream {
    /// What signs next: with another root, if it is for this authority to say.
    pub(crate) async fn root(&self, mint: &Mint, now: u64) -> Result<Slot, UpstreamError> {
        match self {
            Self::Own => Ok(mint.root(now)?),
            Self::Given(given) => given.slot(),
            Self::Plugin(_) | Self::CertManager(_) => self.signed(mint, now).await,
        }
    }

    /// Another issuer for what signs now. It may come back with other roots: then this is the beginning of a rotation.
    pub(crate) async fn issuer(&self, mint: &Mint, current: &Slot, now: u64) -> Result<Slot, UpstreamError> {
        match self {
            // Somebody else's root was in use before: one of our own comes in its place.
            Self::Own if current.root_key.is_none() => Ok(mint.root(now)?),
            Self::Own => Ok(mint.issuer(current, now)?),
            Self::Given(given) => given.slot(),
            Self::Plugin(_) | Self::CertManager(_) => self.signed(mint, now).await,
        }
    }

    async fn signed(&self, mint: &Mint, now: u64) -> Result<Slot, UpstreamError> {
        let (key, csr_der) = mint.request()?;
        let life = mint.lives.issuer;
        let wanted = Wanted { csr_der: &csr_der, trust_domain: mint.trust_domain.to_string(), life };
        let signed = match self {
            Self::Plugin(plugin) => plugin.sign(&wanted).await?,
            Self::CertManager(manager) => manager.sign(&wanted).await?,
            Self::Own | Self::Given(_) => return Ok(mint.root(now)?),
        };
        let slot = Slot { roots: signed.roots, root_key: None, issuer: format!("{key}{}", signed.chain) };
        self.check_life(mint, &slot, now)?;
        Ok(slot)
    }

    fn check_life(&self, mint: &Mint, slot: &Slot, now: u64) -> Result<(), UpstreamError> {
        let end = chain_of(&slot.issuer).ok().and_then(|chain| chain.first().and_then(Span::of));
        let lives = end.map_or(0, |span| span.end.saturating_sub(now));
        let least = mint.least_issuer.as_secs();
        if lives < least {
            return Err(UpstreamError::TooShort { who: self.describe(), lives, least });
        }
        Ok(())
    }

    /// When what is there is to be replaced. Somebody else's root is replaced by somebody else.
    pub(crate) fn due(&self, current: &Slot, due: Due) -> Due {
        match self {
            Self::Own => due,
            Self::Plugin(_) | Self::CertManager(_) => Due { root: u64::MAX, ..due },
            // Whoever writes the files says when.
            Self::Given(given) => {
                let is_other = given.slot().is_ok_and(|slot| slot != *current);
                Due { root: u64::MAX, issuer: if is_other { 0 } else { u64::MAX } }
            }
        }
    }

    /// Whether roots are this authority's to make.
    pub(crate) fn makes_roots(&self) -> bool {
        matches!(self, Self::Own)
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Own => "a root of its own".to_owned(),
            Self::Given(given) => format!("the folder `{}`", given.folder().display()),
            Self::Plugin(plugin) => format!("the program behind `{}`", plugin.socket().display()),
            Self::CertManager(manager) => manager.describe(),
        }
    }
}

#[cfg(test)]
mod tests;
