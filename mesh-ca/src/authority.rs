//! What signs now, and whom members trust now. It must not know who asks or why: it gets a key, an identity and a lifetime; nor where keys
//! are kept, or when they change: it is given a vault and takes it over whole.

mod key;
mod mint;
mod template;
mod validate;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use mesh_identity::{InvalidBundle, InvalidSvid, Svid, TrustBundle};
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use rcgen::Issuer;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::watch;

use crate::csr::Csr;
use crate::rotation::{Due, Point};
use crate::vault::{BadKeys, Slot, Vault};
use template::Serial;

#[cfg(feature = "pkcs11")]
pub(crate) use key::Token;
pub(crate) use key::{Key, KeyStore};
pub(crate) use mint::{Lives, Mint};
pub(crate) use validate::{Span, roots_of};

/// A certificate that was signed and validated.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) svid: Svid,
}

/// What is in force.
pub(crate) struct Authority {
    trust_domain: TrustDomain,
    keys: KeyStore,
    force: RwLock<Arc<Force>>,
    /// Watched by every member.
    bundle: watch::Sender<Arc<TrustBundle>>,
}

/// One vault, ready to sign.
struct Force {
    issuer: Signer,
    /// Of the root that signed the issuer.
    root: Span,
    signing_roots: Vec<CertificateDer<'static>>,
    bundle_pem: String,
    point: Point,
}

/// A key with its certificate.
struct Signer {
    issuer: Issuer<'static, Key>,
    /// Its certificate, then those between it and the root.
    chain: Vec<CertificateDer<'static>>,
    pem: String,
    span: Span,
}

impl Authority {
    /// With keys that are kept. Nothing is made up for what is broken: whoever finds it must repair it.
    pub(crate) fn new(
        trust_domain: TrustDomain,
        keys: KeyStore,
        vault: &Vault,
        now: u64,
    ) -> Result<Self, BadKeys> {
        let (force, bundle) = Force::of(&trust_domain, &keys, vault)?;
        if force.root.end <= now {
            return Err(BadKeys::Expired(force.root.end));
        }
        let bundle = watch::Sender::new(Arc::new(bundle));
        Ok(Self { trust_domain, keys, force: RwLock::new(Arc::new(force)), bundle })
    }

    pub(crate) fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    pub(crate) fn bundle(&self) -> Arc<TrustBundle> {
        Arc::clone(&self.bundle.borrow())
    }

    /// The bundle now and after every change.
    pub(crate) fn watch_bundle(&self) -> watch::Receiver<Arc<TrustBundle>> {
        self.bundle.subscribe()
    }

    /// What members pin.
    pub(crate) fn bundle_pem(&self) -> String {
        self.force().bundle_pem.clone()
    }

    /// How far what is in force is.
    pub(crate) fn point(&self) -> Point {
        self.force().point
    }

    pub(crate) fn root_span(&self) -> Span {
        self.force().root
    }

    pub(crate) fn issuer_span(&self) -> Span {
        self.force().issuer.span
    }

    /// When both are old enough to be replaced.
    pub(crate) fn due(&self) -> Due {
        let force = self.force();
        Due { root: force.root.part(4, 5), issuer: force.issuer.span.part(2, 3) }
    }

    /// The roots that sign now, among those of the bundle.
    pub(crate) fn signing_roots(&self) -> Vec<CertificateDer<'static>> {
        self.force().signing_roots.clone()
    }

    /// Whether a vault is of this mesh and not behind what is in force: it shares a root with it.
    pub(crate) fn can_follow(&self, vault: &Vault) -> bool {
        let held = self.bundle();
        let shares = |root: &CertificateDer<'_>| held.roots().iter().any(|known| known == root);
        vault.rotation.point() >= self.point()
            && roots_of(&vault.bundle()).is_ok_and(|roots| roots.iter().any(shares))
    }

    /// Takes a vault over. Says whether anything changed. The bundle is in force before the issuer is.
    pub(crate) fn adopt(&self, vault: &Vault) -> Result<bool, BadKeys> {
        let held = self.force();
        let is_same = held.point == vault.rotation.point()
            && held.issuer.pem == vault.current.issuer
            && held.bundle_pem.ends_with(&vault.bundle());
        if is_same {
            return Ok(false);
        }
        let (force, bundle) = Force::of(&self.trust_domain, &self.keys, vault)?;
        self.bundle.send_if_modified(|held| {
            let is_new = held.generation() != bundle.generation() || held.roots() != bundle.roots();
            if is_new {
                *held = Arc::new(bundle);
            }
            is_new
        });
        *self.force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(force);
        Ok(true)
    }

    /// Signs a certificate for the key of `csr`, reads it back, and hands it out only if it is what was meant (INV-9). It never
    /// outlives its issuer.
    pub(crate) fn sign(
        &self,
        csr: &Csr,
        id: &SpiffeId,
        ttl: Duration,
        now: u64,
    ) -> Result<Signed, AuthorityError> {
        let force = self.force();
        let serial = Serial::random().ok_or(AuthorityError::Randomness)?;
        let end = force.issuer.span.end.min(force.root.end);
        let wanted = template::Leaf { id, serial, now, not_after: (now + ttl.as_secs()).min(end) };
        let params = wanted.params()?;
        let cert = params.signed_by(&csr.key, &force.issuer.issuer)?;
        let chain = std::iter::once(cert.der().clone()).chain(force.issuer.chain.iter().cloned()).collect();
        let svid = Svid::from_chain(chain)?;
        validate::leaf(&svid, &wanted, &csr.key_der, &self.bundle())?;
        Ok(Signed { svid })
    }

    fn force(&self) -> Arc<Force> {
        Arc::clone(&self.force.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the keys (INV-8).
        f.debug_struct("Authority").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

impl Force {
    fn of(
        trust_domain: &TrustDomain,
        keys: &KeyStore,
        vault: &Vault,
    ) -> Result<(Self, TrustBundle), BadKeys> {
        let bad = |error: InvalidBundle| BadKeys::Root(error.to_string());
        let (issuer, root) = checked(trust_domain, keys, &vault.current)?;
        if let Some(next) = &vault.next {
            // What cannot be used must not be published.
            checked(trust_domain, keys, next)?;
        }
        let bundle_pem = vault.bundle();
        // Members learn their trust domain from the first root they pin; one of somebody else's does not say it.
        let first = roots_of(&bundle_pem).ok().and_then(|roots| validate::trust_domain_of(&roots));
        let bundle_pem = match first {
            Some(_) => bundle_pem,
            None => format!("{}{bundle_pem}", mesh_identity::trust_domain_line(trust_domain)),
        };
        let mut roots: Vec<CertificateDer<'static>> = Vec::new();
        for one in roots_of(&bundle_pem).map_err(BadKeys::Root)? {
            if !roots.contains(&one) {
                roots.push(one);
            }
        }
        let bundle = TrustBundle::new(trust_domain.clone(), vault.rotation.generation, roots).map_err(bad)?;
        let signing_roots = roots_of(&vault.current.roots).map_err(BadKeys::Root)?;
        Ok((Self { issuer, root, signing_roots, bundle_pem, point: vault.rotation.point() }, bundle))
    }
}

/// The issuer of a slot, and the span of the root that it leads to.
fn checked(trust_domain: &TrustDomain, keys: &KeyStore, slot: &Slot) -> Result<(Signer, Span), BadKeys> {
    let roots = roots_of(&slot.roots).map_err(BadKeys::Root)?;
    if let Some(found) = validate::trust_domain_of(&roots).filter(|found| found != trust_domain) {
        return Err(BadKeys::TrustDomain { found, wanted: trust_domain.clone() });
    }
    if let Some(key) = &slot.root_key {
        // Only whether it is there and the root's own: it is used when an issuer is made.
        let first = roots.first().ok_or_else(|| BadKeys::Root("there is no certificate in it".to_owned()))?;
        keys.open_for(key, first).map_err(BadKeys::Root)?;
    }
    let issuer = Signer::read(&slot.issuer, keys).map_err(BadKeys::Issuer)?;
    let not_signed = || BadKeys::Issuer("it is not signed by the root".to_owned());
    let root = validate::leads_to(&issuer.chain, &roots).ok_or_else(not_signed)?;
    Ok((issuer, root))
}

impl Signer {
    /// From one text: key, certificate, and what is between it and the root.
    fn read(pem: &str, keys: &KeyStore) -> Result<Self, String> {
        let chain = chain_of(pem)?;
        let cert = chain.first().ok_or("there is no certificate in it")?;
        let key = keys.open_for(pem, cert)?;
        let span = Span::of(cert).ok_or("it cannot be read")?;
        let issuer = Issuer::from_ca_cert_der(cert, key).map_err(|_| "it cannot sign")?;
        Ok(Self { issuer, chain, pem: pem.to_owned(), span })
    }
}

/// The certificates in the text of an issuer; its key is passed over.
pub(crate) fn chain_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<_, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    chain.map_err(|_| "it is not PEM".to_owned())
}

/// Why the authority cannot make keys or cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The operating system gives none.
    #[error("no randomness for a serial number")]
    Randomness,
    /// rcgen could not encode or sign.
    #[error("a certificate cannot be made")]
    Sign(#[from] rcgen::Error),
    /// What was signed cannot be read back.
    #[error("a certificate that was signed cannot be read back")]
    Svid(#[from] InvalidSvid),
    /// What was signed is not what was meant; it was not handed out.
    #[error("a certificate that was signed is not what was meant: {0}")]
    Validation(&'static str),
    /// A key cannot be made or used.
    #[error("a key of the authority cannot be used: {0}")]
    Key(String),
    /// What is kept cannot sign an issuer.
    #[error("the root of this mesh is not this authority's own, it cannot make an issuer of it")]
    NotOurRoot,
}

#[cfg(test)]
mod tests;
