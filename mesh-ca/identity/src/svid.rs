//! An SVID: the certificate that says who this process is. It must not know how it was obtained.

use std::time::Duration;

use mesh_model::spiffe::SpiffeId;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::bundle::hex;
use crate::clock::ClockOff;
use crate::peer::{PeerIdentityError, only_uri};

/// What is in the certificate that the CA signed, and the chain to show to peers.
#[derive(Debug, Clone)]
pub struct Svid {
    /// Who this is.
    pub spiffe_id: SpiffeId,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// Unix seconds.
    pub not_before: u64,
    /// Unix seconds.
    pub not_after: u64,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// Leaf first, then intermediates.
    pub chain: Vec<CertificateDer<'static>>,
}

impl Svid {
    /// Reads the leaf; the chain is not verified.
    pub fn from_chain(chain: Vec<CertificateDer<'static>>) -> Result<Self, InvalidSvid> {
        let leaf = chain.first().ok_or(InvalidSvid::Empty)?;
        let (_, cert) = X509Certificate::from_der(leaf).map_err(|_| InvalidSvid::NotACertificate)?;
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        Ok(Self {
            spiffe_id: only_uri(&cert)?,
            serial: hex(cert.raw_serial()),
            not_before: seconds(cert.validity().not_before.timestamp()),
            not_after: seconds(cert.validity().not_after.timestamp()),
            issuer: cert.issuer().to_string(),
            chain,
        })
    }

    /// How long it is valid after `now` (Unix seconds); zero once it has expired.
    pub fn remaining(&self, now: u64) -> Duration {
        Duration::from_secs(self.not_after.saturating_sub(now))
    }

    /// The key in the leaf, as SubjectPublicKeyInfo in DER.
    pub(crate) fn public_key(&self) -> Option<Vec<u8>> {
        let (_, cert) = X509Certificate::from_der(self.chain.first()?).ok()?;
        Some(cert.public_key().raw.to_vec())
    }
}

/// Why a chain is no SVID for this process.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSvid {
    /// Nothing came.
    #[error("the chain is empty")]
    Empty,
    /// Not X.509.
    #[error("the leaf of the chain cannot be read")]
    NotACertificate,
    /// It does not say who.
    #[error("the leaf of the chain is not an SVID")]
    Identity(#[from] PeerIdentityError),
    /// For another key.
    #[error("the certificate of `{0}` is for another key than the one that was asked for")]
    OtherKey(SpiffeId),
    /// Peers would refuse it.
    #[error("the certificate of `{id}` does not lead to the trust bundle")]
    Untrusted {
        /// Whose.
        id: SpiffeId,
        /// What webpki says.
        source: webpki::Error,
    },
    /// rustls cannot sign with the key.
    #[error("the key of `{0}` cannot be used")]
    Key(SpiffeId, #[source] rustls::Error),
    /// It was signed this moment and does not hold.
    #[error("the certificate of `{id}` cannot be used")]
    Clock {
        /// Whose.
        id: SpiffeId,
        /// What is wrong with the clock.
        source: ClockOff,
    },
    /// Of another mesh.
    #[error("`{id}` is not of trust domain `{expected}`")]
    TrustDomain {
        /// Whose.
        id: SpiffeId,
        /// The bundle's.
        expected: String,
    },
}
