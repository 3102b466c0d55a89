//! Root and issuer, and what they sign. It must not know who asks or why: it gets a key, an identity and a lifetime.

mod keys;
mod template;
mod validate;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use mesh_identity::{InvalidBundle, InvalidSvid, Svid, TrustBundle};
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::watch;

use crate::csr::Csr;
use crate::state::{Secrecy, StateDir, StateError};
use template::{DAY, Serial};

pub use keys::BadKeys;
pub(crate) use keys::Keys;

const ROOT_KEY: &str = "root.key";
/// The file that members pin.
pub(crate) const ROOT_CERT: &str = "root.pem";
/// Key and certificate in one file, so that they are replaced together.
const ISSUER: &str = "issuer.pem";

/// A certificate that was signed and validated.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) svid: Svid,
}

/// The keys of the mesh.
pub(crate) struct Authority {
    trust_domain: TrustDomain,
    root: Signer,
    issuer: RwLock<Arc<Signer>>,
    /// `None`: in memory, or in a store that somebody else keeps.
    dir: Option<Arc<StateDir>>,
    /// Whether other replicas sign with the same keys: then an issuer is not made here alone.
    is_shared: bool,
    /// Watched by every member; a rotation will send to it.
    bundle: watch::Sender<Arc<TrustBundle>>,
}

/// A key with its certificate.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    cert: CertificateDer<'static>,
    pem: String,
    not_after: u64,
}

impl Authority {
    /// Reads root and issuer from `dir`, or makes them. An issuer that is past two thirds of its life is replaced.
    pub(crate) fn open(
        trust_domain: TrustDomain,
        dir: Option<Arc<StateDir>>,
        now: u64,
    ) -> Result<Self, AuthorityError> {
        let root = match dir.as_deref() {
            Some(dir) => match load_root(dir, &trust_domain)? {
                Some(root) => root,
                None => store_root(dir, &trust_domain, now)?,
            },
            None => new_root(&trust_domain, now)?.0,
        };
        if root.not_after <= now {
            return Err(AuthorityError::RootExpired(root.not_after));
        }
        let loaded = dir.as_deref().map(|dir| load_issuer(dir, &root, now)).transpose()?.flatten();
        let issuer = match loaded {
            Some(issuer) => issuer,
            None => new_issuer(&trust_domain, &root, dir.as_deref(), now)?,
        };
        // Generation 1 for the first root; rotation will count on.
        let bundle = TrustBundle::new(trust_domain.clone(), 1, vec![root.cert.clone()])?;
        let bundle = watch::Sender::new(Arc::new(bundle));
        let issuer = RwLock::new(Arc::new(issuer));
        Ok(Self { trust_domain, root, issuer, dir, is_shared: false, bundle })
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

    pub(crate) fn root_pem(&self) -> &str {
        &self.root.pem
    }

    /// Unix seconds.
    pub(crate) fn root_not_after(&self) -> u64 {
        self.root.not_after
    }

    /// Unix seconds.
    pub(crate) fn issuer_not_after(&self) -> u64 {
        self.issuer().not_after
    }

    /// Replaces the issuer when it is time. Members need not be told: each chain brings its issuer.
    pub(crate) fn renew_issuer(&self, now: u64) -> Result<(), AuthorityError> {
        if self.is_shared || !self.issuer_is_due(now) {
            return Ok(());
        }
        let issuer = new_issuer(&self.trust_domain, &self.root, self.dir.as_deref(), now)?;
        tracing::info!(not_after = issuer.not_after, "new issuer");
        *self.issuer.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(issuer);
        Ok(())
    }

    /// Signs a certificate for the key of `csr`, reads it back, and hands it out only if it is what was meant (INV-9).
    pub(crate) fn sign(
        &self,
        csr: &Csr,
        id: &SpiffeId,
        ttl: Duration,
        now: u64,
    ) -> Result<Signed, AuthorityError> {
        let issuer = self.issuer();
        let serial = Serial::random().ok_or(AuthorityError::Randomness)?;
        let wanted =
            template::Leaf { id, serial, now, not_after: (now + ttl.as_secs()).min(issuer.not_after) };
        let params = wanted.params()?;
        let cert = params.signed_by(&csr.key, &issuer.issuer)?;
        let svid = Svid::from_chain(vec![cert.der().clone(), issuer.cert.clone()])?;
        validate::leaf(&svid, &wanted, &csr.key_der, &self.bundle())?;
        Ok(Signed { svid })
    }

    fn issuer(&self) -> Arc<Signer> {
        Arc::clone(&self.issuer.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the keys (INV-8).
        f.debug_struct("Authority").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

fn issuer_is_due(not_after: u64, now: u64) -> bool {
    now + template::ISSUER_LIFE / 3 >= not_after
}

/// The root's key is P-384: it lives for ten years and signs once a year.
fn new_root(trust_domain: &TrustDomain, now: u64) -> Result<(Signer, String), AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let (key_pem, params) = (key.serialize_pem(), template::root(trust_domain, now)?);
    let cert = params.self_signed(&key)?;
    Ok((Signer::new(params, key, cert.der().clone(), cert.pem()), key_pem))
}

fn store_root(dir: &StateDir, trust_domain: &TrustDomain, now: u64) -> Result<Signer, AuthorityError> {
    let (root, key) = new_root(trust_domain, now)?;
    // The key first: a root without its certificate was never published and may be replaced.
    dir.write(ROOT_KEY, &key, Secrecy::Secret)?;
    dir.write(ROOT_CERT, &root.pem, Secrecy::Public)?;
    tracing::info!(%trust_domain, state = %dir.path().display(), "new root");
    Ok(root)
}

fn load_root(dir: &StateDir, trust_domain: &TrustDomain) -> Result<Option<Signer>, AuthorityError> {
    let Some(pem) = dir.read(ROOT_CERT)? else { return Ok(None) };
    let broken =
        |why: String| AuthorityError::Broken { file: dir.path().join(ROOT_CERT).display().to_string(), why };
    let key = dir.read(ROOT_KEY)?.ok_or_else(|| broken(format!("its key {ROOT_KEY} is missing")))?;
    let root = Signer::from_pem(&pem, &key).map_err(broken)?;
    let bundle = TrustBundle::from_pem(pem.as_bytes(), None)?;
    if bundle.trust_domain() != trust_domain {
        let (found, wanted) = (bundle.trust_domain().clone(), trust_domain.clone());
        return Err(AuthorityError::TrustDomain { found, wanted });
    }
    Ok(Some(root))
}

fn new_issuer(
    trust_domain: &TrustDomain,
    root: &Signer,
    dir: Option<&StateDir>,
    now: u64,
) -> Result<Signer, AuthorityError> {
    let pem = new_issuer_pem(trust_domain, root, now)?;
    if let Some(dir) = dir {
        dir.write(ISSUER, &pem, Secrecy::Secret)?;
    }
    Signer::from_pem(&pem, &pem).map_err(|_| AuthorityError::Validation("a new issuer cannot be read back"))
}

/// Key and certificate of a new issuer, in one text.
fn new_issuer_pem(trust_domain: &TrustDomain, root: &Signer, now: u64) -> Result<String, AuthorityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = template::issuer(trust_domain, now, root.not_after)?.signed_by(&key, &root.issuer)?;
    Ok(format!("{}{}", key.serialize_pem(), cert.pem()))
}

/// `None` when there is none that can still be used: then a new one does no harm.
fn load_issuer(dir: &StateDir, root: &Signer, now: u64) -> Result<Option<Signer>, AuthorityError> {
    let Some(pem) = dir.read(ISSUER)? else { return Ok(None) };
    let issuer = match Signer::from_pem(&pem, &pem) {
        Ok(issuer) => issuer,
        Err(why) => {
            tracing::warn!(why, "{ISSUER} cannot be used, making a new issuer");
            return Ok(None);
        }
    };
    let of_root = validate::issued_by(&issuer.cert, &root.cert);
    Ok(Some(issuer).filter(|issuer| of_root && !issuer_is_due(issuer.not_after, now)))
}

impl Signer {
    fn new(params: CertificateParams, key: KeyPair, cert: CertificateDer<'static>, pem: String) -> Self {
        let not_after = u64::try_from(params.not_after.unix_timestamp()).unwrap_or(0);
        Self { issuer: Issuer::new(params, key), cert, pem, not_after }
    }

    fn from_pem(pem: &str, key: &str) -> Result<Self, String> {
        let cert =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| "there is no certificate in it")?;
        let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| "there is no key for it")?;
        let key = KeyPair::try_from(&key).map_err(|_| "its key cannot be used")?;
        let (public, not_after) = validate::key_and_end(&cert).ok_or("it cannot be read")?;
        if public != rcgen::PublicKeyData::subject_public_key_info(&key) {
            return Err("its key is another one's".to_owned());
        }
        let issuer = Issuer::from_ca_cert_der(&cert, key).map_err(|_| "it cannot sign")?;
        Ok(Self { issuer, cert, pem: pem.to_owned(), not_after })
    }
}

/// Why the authority cannot be opened or cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file in it.
    #[error(
        "`{file}` cannot be used: {why}; restore it from a backup, or remove the state directory to begin with a new root"
    )]
    Broken {
        /// Its path.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// It belongs to another mesh.
    #[error(
        "the state directory is of trust domain `{found}`, not `{wanted}`; choose another with --state-dir"
    )]
    TrustDomain {
        /// What the root says.
        found: TrustDomain,
        /// What was configured.
        wanted: TrustDomain,
    },
    /// Too late.
    #[error("the root expired at Unix second {0}; remove the state directory to begin with a new root")]
    RootExpired(u64),
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
    /// The root cannot be an anchor.
    #[error("the root cannot be trusted by anybody")]
    Bundle(#[from] InvalidBundle),
}

const _: () = assert!(template::ISSUER_LIFE > DAY, "an issuer outlives every certificate it signs");

#[cfg(test)]
mod tests;
