//! What a CA is told: plain data. It must not know command lines or files; `cli` fills it in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mesh_model::spiffe::TrustDomain;

pub use crate::federation::{BundleEndpoint, Loopback};
pub use crate::kubernetes::{Cluster, IssuerRef};

/// Shortest lifetime that is signed.
pub const MIN_TTL: Duration = Duration::from_secs(10);
/// Longest lifetime that can be configured.
pub const MAX_TTL: Duration = Duration::from_hours(24);
/// Lifetime of a certificate unless configured.
pub const DEFAULT_TTL: Duration = Duration::from_hours(1);

/// Lifetime of a root unless configured: about ten years.
pub const DEFAULT_ROOT_LIFE: Duration = Duration::from_hours(3652 * 24);
/// Lifetime of an issuer unless configured: a year.
pub const DEFAULT_ISSUER_LIFE: Duration = Duration::from_hours(365 * 24);
/// An issuer lives as many certificates one after the other at least: what it signs in its last third ends before it does.
pub const ISSUER_PER_SVID: u32 = 4;

/// Everything that a CA is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where members ask for certificates.
    pub listen: SocketAddr,
    /// Where `/metrics`, `/readyz` and `/livez` are served.
    pub metrics: SocketAddr,
    /// The Unix socket of the administrator; without it nobody makes join tokens.
    pub admin_socket: Option<PathBuf>,
    /// Where root, issuer and join tokens live.
    pub state: State,
    /// The trust domain of every identity.
    pub trust_domain: TrustDomain,
    /// Lifetime of certificates, and the most that a member may ask for.
    pub svid_ttl: Duration,
    /// Attestation by OIDC, if any.
    pub oidc: Option<Oidc>,
    /// Most join tokens that may wait for their use.
    pub max_join_tokens: usize,
    /// Most connections at once.
    pub max_connections: usize,
    /// Where our bundle is served for other trust domains, if anywhere.
    pub bundle_endpoint: Option<BundleEndpoint>,
    /// The controller's folder, of which the `FederatedTrustDomain`s are followed; in a cluster its objects are.
    pub objects: Option<PathBuf>,
    /// PEM file of the roots for bundle endpoints of profile `HttpsWeb`; the system's without.
    pub federation_web_roots: Option<PathBuf>,
    /// Whether bundles are fetched from this machine.
    pub federation_loopback: Loopback,
    /// Also write the roots to this file, for members that pin them.
    pub root_file: Option<PathBuf>,
    /// How long a root of this CA's own lives. It is replaced after four fifths of it.
    pub root_life: Duration,
    /// How long an issuer lives. It is replaced after two thirds of it.
    pub issuer_life: Duration,
    /// Keys are made in this token instead of the state.
    #[cfg(feature = "pkcs11")]
    pub token: Option<TokenConfig>,
    /// Who signs issuers.
    pub issuers: Issuers,
    /// Where each decision is written down.
    pub audit: AuditTo,
    /// Sign although the clock is behind a certificate that was signed before: the clock is right now.
    pub accepts_clock: bool,
}

/// A token that speaks PKCS #11.
#[cfg(feature = "pkcs11")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// The shared library of its maker.
    pub module: PathBuf,
    /// Its label.
    pub label: String,
    /// A file with the user's PIN.
    pub pin_file: PathBuf,
}

/// Who signs issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuers {
    /// A root of this CA's own.
    Own,
    /// Somebody puts them, with key and roots, into this folder.
    Folder(PathBuf),
    /// A program behind this Unix socket passes requests on (`mesh.ca.upstream.v1`).
    Program(PathBuf),
    /// An issuer of cert-manager, in the cluster that keeps the state.
    CertManager(IssuerRef),
}

/// Where the audit log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTo {
    /// `audit.log` in the state directory; for a CA without one, nowhere.
    State,
    /// This file.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// Where the CA keeps what must survive it.
#[derive(Debug, Clone)]
pub enum State {
    /// In a directory of mode 0700.
    Dir(PathBuf),
    /// Nowhere: the next start is a new root.
    InMemory,
    /// In a Secret that replicas share. Whoever asks is proven by the same API server.
    Cluster(Cluster),
}

/// Whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// The only accepted `iss`.
    pub issuer: String,
    /// The `aud` that a token must have.
    pub audience: String,
    /// The issuer's keys: a file, or an `http://` or `https://` URL.
    pub jwks: String,
    /// PEM file with the roots for an `https://` URL; the system's without.
    pub jwks_roots: Option<PathBuf>,
}

impl Config {
    /// With free ports on loopback and the defaults for all the rest.
    pub fn new(trust_domain: TrustDomain, state: State, admin_socket: impl Into<Option<PathBuf>>) -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            metrics: (Ipv4Addr::LOCALHOST, 0).into(),
            admin_socket: admin_socket.into(),
            state,
            trust_domain,
            svid_ttl: DEFAULT_TTL,
            oidc: None,
            max_join_tokens: 1000,
            max_connections: 4096,
            root_file: None,
            root_life: DEFAULT_ROOT_LIFE,
            issuer_life: DEFAULT_ISSUER_LIFE,
            #[cfg(feature = "pkcs11")]
            token: None,
            issuers: Issuers::Own,
            audit: AuditTo::State,
            accepts_clock: false,
            bundle_endpoint: None,
            objects: None,
            federation_web_roots: None,
            federation_loopback: Loopback::Refused,
        }
    }
}
