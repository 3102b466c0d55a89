//! Whom to trust: the roots and token keys of our trust domain, and of those that it federates with. It must not know where they came
//! from.

use std::fmt::{self, Write};
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use mesh_model::spiffe::{InvalidSpiffeId, TrustDomain};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The most roots a bundle may have: a rotation needs two, a federation a few.
const MAX_ROOTS: usize = 16;
/// The most trust domains that ours may federate with.
pub const MAX_FEDERATED: usize = 64;

/// The roots of one trust domain, at one generation. Each root vouches for its own trust domain alone: who is verified says first
/// which one that is, and only then which roots count.
#[derive(Clone)]
pub struct TrustBundle {
    trust_domain: TrustDomain,
    generation: u64,
    roots: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    jwt_keys: Arc<str>,
    federated: Arc<[Self]>,
}

impl TrustBundle {
    /// Checks that every root can be an anchor, and that there is one.
    pub fn new(
        trust_domain: TrustDomain,
        generation: u64,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, InvalidBundle> {
        if roots.is_empty() {
            return Err(InvalidBundle::Empty(trust_domain));
        }
        if roots.len() > MAX_ROOTS {
            return Err(InvalidBundle::TooMany(roots.len()));
        }
        let anchors = roots
            .iter()
            .enumerate()
            .map(|(index, root)| {
                let anchor = webpki::anchor_from_trusted_cert(root);
                anchor.map(|anchor| anchor.to_owned()).map_err(|source| InvalidBundle::Root { index, source })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { trust_domain, generation, roots, anchors, jwt_keys: "".into(), federated: Arc::default() })
    }

    /// The same with the keys of JWT-SVIDs, a JWKS (RFC 7517).
    #[must_use]
    pub fn with_jwt_keys(self, jwks: &str) -> Self {
        Self { jwt_keys: jwks.into(), ..self }
    }

    /// The same with the bundles of other trust domains, each of which counts for its own members alone.
    pub fn with_federated(self, bundles: Vec<Self>) -> Result<Self, InvalidBundle> {
        if bundles.len() > MAX_FEDERATED {
            return Err(InvalidBundle::TooManyFederated(bundles.len()));
        }
        let mut seen = std::collections::HashSet::from([&self.trust_domain]);
        if let Some(twice) = bundles.iter().find(|bundle| !seen.insert(&bundle.trust_domain)) {
            return Err(InvalidBundle::Twice(twice.trust_domain.clone()));
        }
        Ok(Self { federated: bundles.into(), ..self })
    }

    /// From certificates in PEM; the trust domain is the one that the first root names in its URI SAN (X.509-SVID
    /// standard, section 2), unless `trust_domain` or a line before the first certificate says it.
    pub fn from_pem(pem: &[u8], trust_domain: Option<TrustDomain>) -> Result<Self, InvalidBundle> {
        let roots: Vec<_> =
            CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(InvalidBundle::Pem)?;
        let first = roots.first().ok_or(InvalidBundle::NoCertificate)?;
        let trust_domain = match (trust_domain, trust_domain_line_of(pem)) {
            (Some(given), _) => given,
            (None, Some(said)) => TrustDomain::new(&said).map_err(InvalidBundle::TrustDomain)?,
            (None, None) => trust_domain_of(first)?,
        };
        Self::new(trust_domain, 0, roots)
    }

    /// These roots and those of another bundle of the same trust domain; `None` if it is of another, or they are too many.
    pub(crate) fn with(&self, other: &Self) -> Option<Self> {
        if self.trust_domain != other.trust_domain {
            return None;
        }
        let mut roots = self.roots.clone();
        roots.extend(other.roots.iter().filter(|root| !self.roots.contains(root)).cloned());
        Self::new(self.trust_domain.clone(), self.generation, roots).ok()
    }

    /// The trust domain that the roots speak for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Grows with every change that the CA publishes; 0 before the CA was asked.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The roots, DER.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The keys of JWT-SVIDs of this trust domain, a JWKS; empty when there are none.
    pub fn jwt_keys(&self) -> &str {
        &self.jwt_keys
    }

    /// The other trust domains.
    pub fn federated(&self) -> &[Self] {
        &self.federated
    }

    /// The bundle that counts for members of `trust_domain`: this one, one of the federated, or none.
    pub fn of(&self, trust_domain: &TrustDomain) -> Option<&Self> {
        if self.trust_domain == *trust_domain {
            return Some(self);
        }
        self.federated.iter().find(|bundle| bundle.trust_domain == *trust_domain)
    }

    /// Whether the other says nothing else.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self { trust_domain, generation, roots, anchors: _, jwt_keys, federated } = self;
        *trust_domain == other.trust_domain
            && *generation == other.generation
            && *roots == other.roots
            && *jwt_keys == other.jwt_keys
            && federated.len() == other.federated.len()
            && federated.iter().zip(other.federated.iter()).all(|(one, other)| one.says_the_same(other))
    }

    /// The roots, PEM.
    pub fn to_pem(&self) -> String {
        let named = self.roots.first().is_some_and(|root| trust_domain_of(root).is_ok());
        let line = if named { String::new() } else { trust_domain_line(&self.trust_domain) };
        std::iter::once(line).chain(self.roots.iter().map(|root| pem_of(root))).collect()
    }

    /// SHA-256 of each root in hexadecimal.
    pub fn fingerprints(&self) -> Vec<String> {
        self.roots.iter().map(|root| hex(digest::digest(&digest::SHA256, root).as_ref())).collect()
    }

    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

/// Before the first certificate of roots that do not name their trust domain: text before the encapsulation boundary (RFC 7468, section 2),
/// which parsers of PEM pass over.
const SAYS: &str = "Trust-Domain: ";

/// The line that says the trust domain of the roots that follow.
pub fn trust_domain_line(trust_domain: &TrustDomain) -> String {
    format!("{SAYS}{trust_domain}\n")
}

fn trust_domain_line_of(pem: &[u8]) -> Option<String> {
    let before = pem.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"-----BEGIN"));
    let line =
        before.filter_map(|line| std::str::from_utf8(line).ok()).find_map(|line| line.strip_prefix(SAYS))?;
    Some(line.trim().to_owned())
}

/// A certificate in PEM.
pub fn pem_of(cert: &CertificateDer<'_>) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64::engine::general_purpose::STANDARD.encode(cert).as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("trust_domain", &self.trust_domain)
            .field("generation", &self.generation)
            .field("roots", &self.fingerprints())
            .field("federated", &self.federated)
            .finish_non_exhaustive()
    }
}

/// The trust domain in the URI SAN `spiffe://TRUST-DOMAIN` of a root.
fn trust_domain_of(root: &CertificateDer<'_>) -> Result<TrustDomain, InvalidBundle> {
    let (_, root) = X509Certificate::from_der(root).map_err(|_| InvalidBundle::NoTrustDomain)?;
    let san = root.subject_alternative_name().ok().flatten().ok_or(InvalidBundle::NoTrustDomain)?;
    let domain = san.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
        _ => None,
    });
    TrustDomain::new(domain.ok_or(InvalidBundle::NoTrustDomain)?).map_err(InvalidBundle::TrustDomain)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why roots are no trust bundle.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBundle {
    /// Nothing could be trusted, so nothing could work.
    #[error("the trust bundle of `{0}` has no root")]
    Empty(TrustDomain),
    /// More than a rotation can explain.
    #[error("the trust bundle has {0} roots, at most {MAX_ROOTS} are allowed")]
    TooMany(usize),
    /// More than can be meant.
    #[error("the trust bundle has {0} federated trust domains, at most {MAX_FEDERATED} are allowed")]
    TooManyFederated(usize),
    /// Two bundles for one trust domain, or one for our own: which one counts must not depend on the order.
    #[error("trust domain `{0}` has two bundles")]
    Twice(TrustDomain),
    /// Not a certificate that can be an anchor.
    #[error("root {index} of the trust bundle is not a usable certificate")]
    Root {
        /// Its position, from 0.
        index: usize,
        /// What webpki says.
        source: webpki::Error,
    },
    /// Not PEM.
    #[error("the trust bundle is not PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// PEM without a certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// A root without a SPIFFE URI SAN.
    #[error("the first root does not name its trust domain (a URI SAN `spiffe://TRUST-DOMAIN`)")]
    NoTrustDomain,
    /// A root with one that is malformed.
    #[error("the first root names a trust domain that is none")]
    TrustDomain(#[source] InvalidSpiffeId),
}
