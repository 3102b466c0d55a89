//! The handle of an identity: what is in force now, and the configurations that follow it. It must not know how a
//! certificate is obtained or when it is renewed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mesh_model::spiffe::SpiffeId;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;

use crate::bundle::TrustBundle;
use crate::key::MemberKey;
use crate::svid::{InvalidSvid, Svid};
use crate::tls::{self, ClientAuth};

/// Who this process is in the mesh. Clones are handles of the same identity.
#[derive(Clone)]
pub struct Identity {
    shared: Arc<Shared>,
    mark: Option<u32>,
    /// Which process of the identity this is.
    instance: Arc<str>,
}

/// Who a server has to be for a handshake with it to succeed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ExpectedServer {
    /// This one.
    Exactly(SpiffeId),
    /// One of these; with none of them every handshake fails.
    AnyOf(Vec<SpiffeId>),
}

impl ExpectedServer {
    fn ids(self) -> Vec<SpiffeId> {
        match self {
            Self::Exactly(id) => vec![id],
            Self::AnyOf(ids) => ids,
        }
    }
}

/// How often the certificate was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Renewals {
    /// With a new certificate in force.
    pub ok: u64,
    /// Attempts that failed; each is tried again.
    pub failed: u64,
}

impl Identity {
    /// Puts a certificate for `key` in force for the first time. The chain must lead to `bundle`.
    pub fn new(key: MemberKey, svid: Svid, bundle: TrustBundle) -> Result<Self, InvalidSvid> {
        let held = Held::from(key.certified(svid, &bundle)?);
        Ok(Self::hold(held, bundle))
    }

    fn hold(held: Held, bundle: TrustBundle) -> Self {
        let shared = Shared {
            held: ArcSwap::from_pointee(held),
            bundle: Arc::new(ArcSwap::from_pointee(bundle)),
            changed: watch::Sender::new(0),
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), mark: None, instance: "".into() }
    }

    /// The same, whose channels use sockets with this `SO_MARK`.
    pub(crate) fn marked(self, mark: Option<u32>) -> Self {
        Self { mark, ..self }
    }

    /// The same, as this process.
    pub(crate) fn of_instance(self, instance: &str) -> Self {
        Self { instance: instance.into(), ..self }
    }

    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    pub(crate) fn mark(&self) -> Option<u32> {
        self.mark
    }

    /// Without checking that peers would accept it.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn unchecked(key: MemberKey, svid: Svid, bundle: TrustBundle) -> Result<Self, InvalidSvid> {
        Ok(Self::hold(Held::from(key.certified_unchecked(svid)?), bundle))
    }

    /// The certificate in force.
    pub fn svid(&self) -> Arc<Svid> {
        Arc::clone(&self.shared.held.load().svid)
    }

    /// The trust bundle in force.
    pub fn bundle(&self) -> Arc<TrustBundle> {
        self.shared.bundle.load_full()
    }

    /// Counts up with every new certificate and every new bundle.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// How renewal goes.
    pub fn counters(&self) -> Renewals {
        let (ok, failed) = (&self.shared.ok, &self.shared.failed);
        Renewals { ok: ok.load(Ordering::Relaxed), failed: failed.load(Ordering::Relaxed) }
    }

    /// For a server: TLS 1.3, `alpn` in order of preference. Renewals and bundle changes are in force with the next
    /// handshake, so one configuration lasts for the life of the process.
    pub fn server_config(&self, client: ClientAuth, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        Arc::new(tls::server_config(&self.shared, client, alpn))
    }

    /// For a client: the handshake fails unless the server is one of `expected`. It keeps the tickets of these
    /// servers, so keep it for as long as they are called. It follows renewals and bundle changes.
    pub fn client_config(&self, expected: ExpectedServer, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        Arc::new(tls::client_config(&self.shared, expected.ids(), alpn))
    }

    /// Puts a renewed certificate in force, with the bundle that came with it unless a newer one is in force.
    pub fn renew(&self, key: MemberKey, svid: Svid, bundle: TrustBundle) -> Result<(), InvalidSvid> {
        let now = self.shared.bundle.load_full();
        let is_older = bundle.generation() < now.generation() && bundle.trust_domain() == now.trust_domain();
        let bundle = if is_older { TrustBundle::clone(&now) } else { bundle };
        let held = Held::from(key.certified(svid, &bundle)?);
        // The bundle first: peers that already trust a new root may show certificates of it at once.
        self.set_bundle(bundle);
        self.shared.held.store(Arc::new(held));
        self.shared.ok.fetch_add(1, Ordering::Relaxed);
        self.shared.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Counts an attempt that failed.
    pub(crate) fn renewal_failed(&self) {
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts a bundle in force, unless it is what there is, or older: of several authorities one may lag behind. One of another
    /// trust domain is refused.
    pub fn set_bundle(&self, bundle: TrustBundle) -> BundleChange {
        let now = self.shared.bundle.load_full();
        if bundle.trust_domain() != now.trust_domain() {
            return BundleChange::OtherTrustDomain;
        }
        if bundle.says_the_same(&now) {
            return BundleChange::Same;
        }
        if bundle.generation() < now.generation() {
            return BundleChange::Older;
        }
        self.shared.bundle.store(Arc::new(bundle));
        self.shared.changed.send_modify(|count| *count += 1);
        BundleChange::New
    }
}

/// What became of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleChange {
    /// It is in force.
    New,
    /// It was in force already.
    Same,
    /// It is not in force: a newer one is.
    Older,
    /// It is not in force.
    OtherTrustDomain,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.svid().spiffe_id)
    }
}

/// What is in force, shared by the handles, the verifiers, the resolvers and the session stores.
pub(crate) struct Shared {
    held: ArcSwap<Held>,
    bundle: Arc<ArcSwap<TrustBundle>>,
    changed: watch::Sender<u64>,
    ok: AtomicU64,
    failed: AtomicU64,
}

struct Held {
    svid: Arc<Svid>,
    key: Arc<CertifiedKey>,
}

impl From<(Arc<Svid>, Arc<CertifiedKey>)> for Held {
    fn from((svid, key): (Arc<Svid>, Arc<CertifiedKey>)) -> Self {
        Self { svid, key }
    }
}

/// Changes with every change of certificate or bundle.
pub(crate) type Epoch = u64;

impl Shared {
    pub(crate) fn bundle(&self) -> &Arc<ArcSwap<TrustBundle>> {
        &self.bundle
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.held.load().key)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        *self.changed.borrow()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.held.load().svid.spiffe_id)
    }
}
