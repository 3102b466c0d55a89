//! Root and issuer as text, for a store that is shared: making them, reading them back, replacing the issuer. It must not know where
//! they are kept.

use std::sync::{Arc, PoisonError, RwLock};

use mesh_identity::TrustBundle;
use mesh_model::spiffe::TrustDomain;
use tokio::sync::watch;

use super::{Authority, AuthorityError, Signer, issuer_is_due, new_issuer_pem, new_root, validate};

/// What a store keeps. It has no `Debug`: two of the three are secret (INV-8).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    /// PEM of the root's certificate: what members pin.
    pub(crate) root_cert: String,
    /// PEM of the root's key.
    pub(crate) root_key: String,
    /// PEM of the issuer's key and certificate.
    pub(crate) issuer: String,
}

impl Keys {
    /// A new root and an issuer of it.
    pub(crate) fn generate(trust_domain: &TrustDomain, now: u64) -> Result<Self, AuthorityError> {
        let (root, root_key) = new_root(trust_domain, now)?;
        let issuer = new_issuer_pem(trust_domain, &root, now)?;
        Ok(Self { root_cert: root.pem, root_key, issuer })
    }
}

/// Why keys of a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// No root.
    #[error("the root cannot be used: {0}")]
    Root(String),
    /// No issuer, or not of this root.
    #[error("the issuer cannot be used: {0}")]
    Issuer(String),
    /// They belong to another mesh.
    #[error("the root is of trust domain `{found}`, but this CA is of `{wanted}`")]
    TrustDomain {
        /// What the root says.
        found: TrustDomain,
        /// What was configured.
        wanted: TrustDomain,
    },
    /// Too late.
    #[error("the root expired at Unix second {0}")]
    Expired(u64),
}

impl Authority {
    /// With keys that several replicas share. Nothing is made up for what is broken: whoever finds it must repair it.
    pub(crate) fn shared(trust_domain: TrustDomain, keys: &Keys, now: u64) -> Result<Self, BadKeys> {
        let root = Signer::from_pem(&keys.root_cert, &keys.root_key).map_err(BadKeys::Root)?;
        let bad = |error: mesh_identity::InvalidBundle| BadKeys::Root(error.to_string());
        let found = TrustBundle::from_pem(keys.root_cert.as_bytes(), None).map_err(bad)?;
        if *found.trust_domain() != trust_domain {
            return Err(BadKeys::TrustDomain { found: found.trust_domain().clone(), wanted: trust_domain });
        }
        if root.not_after <= now {
            return Err(BadKeys::Expired(root.not_after));
        }
        let issuer = issuer_of(&keys.issuer, &root)?;
        // Generation 1 for the first root; rotation will count on.
        let bundle = TrustBundle::new(trust_domain.clone(), 1, vec![root.cert.clone()]).map_err(bad)?;
        Ok(Self {
            trust_domain,
            root,
            issuer: RwLock::new(Arc::new(issuer)),
            dir: None,
            is_shared: true,
            bundle: watch::Sender::new(Arc::new(bundle)),
        })
    }

    /// The keys of now, as text: for a store that has lost them.
    pub(crate) fn keys(&self) -> Keys {
        Keys {
            root_cert: self.root.pem.clone(),
            root_key: self.root.issuer.key().serialize_pem(),
            issuer: self.issuer().pem.clone(),
        }
    }

    /// Whether it is time for another issuer.
    pub(crate) fn issuer_is_due(&self, now: u64) -> bool {
        issuer_is_due(self.issuer().not_after, now)
    }

    /// A new issuer as text, not in use yet: it must be in the store first.
    pub(crate) fn next_issuer(&self, now: u64) -> Result<String, AuthorityError> {
        new_issuer_pem(&self.trust_domain, &self.root, now)
    }

    /// Signs with this issuer from now on; says whether it is another one than before.
    pub(crate) fn adopt_issuer(&self, pem: &str) -> Result<bool, BadKeys> {
        if self.issuer().pem == pem {
            return Ok(false);
        }
        let issuer = issuer_of(pem, &self.root)?;
        *self.issuer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(issuer);
        Ok(true)
    }
}

fn issuer_of(pem: &str, root: &Signer) -> Result<Signer, BadKeys> {
    let issuer = Signer::from_pem(pem, pem).map_err(BadKeys::Issuer)?;
    if !validate::issued_by(&issuer.cert, &root.cert) {
        return Err(BadKeys::Issuer("it is not signed by the root".to_owned()));
    }
    Ok(issuer)
}
