//! Who the peer is: the SPIFFE id in a certificate that the handshake has verified. It must not know which ids are
//! welcome; the verifiers and the policies of the callers do.

use std::error::Error as StdError;
use std::time::{SystemTime, UNIX_EPOCH};

use mesh_model::spiffe::{InvalidSpiffeId, SpiffeId, TrustDomain};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The SPIFFE id in the first certificate of `certs`, which must have exactly one URI SAN and be in date: a resumed
/// session brings the certificate of the first handshake, and that may have expired since. Ask once a connection,
/// right after the handshake.
///
/// The chain is not verified here; the configurations of [`crate::Identity`] did that.
pub fn peer_spiffe_id(certs: &[CertificateDer<'_>]) -> Result<SpiffeId, PeerIdentityError> {
    let leaf = certs.first().ok_or(PeerIdentityError::NoCertificate)?;
    let leaf = read(leaf)?;
    let now = unix_now();
    if now > leaf.not_after {
        return Err(PeerIdentityError::Expired { id: leaf.id, ago: now - leaf.not_after });
    }
    Ok(leaf.id)
}

/// What the mesh reads from a peer's certificate.
pub(crate) struct Leaf {
    pub(crate) id: SpiffeId,
    /// Unix seconds.
    pub(crate) not_after: u64,
}

pub(crate) fn read(leaf: &CertificateDer<'_>) -> Result<Leaf, PeerIdentityError> {
    let (_, cert) = X509Certificate::from_der(leaf).map_err(|_| PeerIdentityError::NotACertificate)?;
    let id = only_uri(&cert)?;
    signs_nothing_but_handshakes(&cert)?;
    let not_after = u64::try_from(cert.validity().not_after.timestamp()).unwrap_or(0);
    Ok(Leaf { id, not_after })
}

/// X.509-SVID standard, sections 4.1, 4.3 and 5.2: a leaf is no authority, and its key usage is there, has `digitalSignature`, and has
/// neither `keyCertSign` nor `cRLSign`. Beyond section 4.4 an extended key usage must be there: a certificate made for something else must
/// not open the mesh (CVE-2022-21657).
fn signs_nothing_but_handshakes(cert: &X509Certificate<'_>) -> Result<(), PeerIdentityError> {
    let unreadable = |_| PeerIdentityError::NotACertificate;
    let basic = cert.basic_constraints().map_err(unreadable)?;
    let usage = cert.key_usage().map_err(unreadable)?;
    let is_authority = basic.is_some_and(|basic| basic.value.ca);
    // For which purposes is asked when the chain is verified; that there are some is asked here.
    let has_purpose = cert.extended_key_usage().map_err(unreadable)?.is_some();
    let good = usage.is_some_and(|usage| {
        let usage = usage.value;
        usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign()
    });
    if is_authority || !good || !has_purpose { Err(PeerIdentityError::NotALeaf) } else { Ok(()) }
}

/// X.509-SVID standard, section 2: exactly one URI SAN, and that is the identity.
pub(crate) fn only_uri(cert: &X509Certificate<'_>) -> Result<SpiffeId, PeerIdentityError> {
    let san = cert.subject_alternative_name().map_err(|_| PeerIdentityError::NotACertificate)?;
    let names = san.map(|san| san.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(SpiffeId::parse(uri)?),
        (None, _) => Err(PeerIdentityError::NoUri),
        (Some(_), Some(_)) => Err(PeerIdentityError::ManyUris),
    }
}

/// Now, in Unix seconds.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Why a certificate does not say who the peer is, or says the wrong one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerIdentityError {
    /// The peer showed none.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// Not X.509.
    #[error("the peer's certificate cannot be read")]
    NotACertificate,
    /// No SPIFFE id in it.
    #[error("the peer's certificate has no URI SAN, so no SPIFFE id")]
    NoUri,
    /// More than one, so it is not an SVID.
    #[error("the peer's certificate has more than one URI SAN, an SVID has one")]
    ManyUris,
    /// It could sign other certificates, or nothing at all.
    #[error(
        "the peer's certificate is no leaf of an SVID: it is an authority, or its key usages are not those of a signer of handshakes"
    )]
    NotALeaf,
    /// Not an id of the mesh.
    #[error("the peer's certificate names no identity of the mesh: {0}")]
    Invalid(#[from] InvalidSpiffeId),
    /// Of somebody else's mesh.
    #[error("the peer is `{id}`, which is not of trust domain `{expected}`")]
    TrustDomain {
        /// Who the peer is.
        id: SpiffeId,
        /// Ours.
        expected: TrustDomain,
    },
    /// Not the one that was dialled.
    #[error("the server is `{id}`, expected {expected}")]
    Unexpected {
        /// Who the server is.
        id: SpiffeId,
        /// Who it should have been, for people.
        expected: String,
    },
    /// Out of date.
    #[error("the certificate of `{id}` expired {ago} s ago")]
    Expired {
        /// Whose.
        id: SpiffeId,
        /// Seconds.
        ago: u64,
    },
}

/// Finds the reason of a failed handshake in an error of rustls, or in one that wraps it, when the reason was that
/// the peer's identity is not the right one.
pub fn peer_identity_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a PeerIdentityError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<PeerIdentityError>() {
            return Some(found);
        }
        if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) =
            error.downcast_ref()
        {
            let inner: &'a (dyn StdError + 'static) = &*other.0;
            return peer_identity_error(inner);
        }
        // `io::Error` shows the source of what it wraps, not what it wraps.
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}
