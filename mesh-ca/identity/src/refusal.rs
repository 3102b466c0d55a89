//! Why a peer's certificate was refused, in few words for metrics. It must not know what is done about it.

use rustls::{CertificateError, Error};

use crate::peer::{PeerIdentityError, peer_identity_error};

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It does not lead to a root of the trust bundle.
    Untrusted,
    /// It is not valid at this time.
    Time,
    /// It does not name exactly one identity of a mesh.
    Identity,
    /// It is of a trust domain that is not ours, nor federated.
    TrustDomain,
    /// It is of another member than the one that was dialled.
    Unexpected,
    /// It is no certificate for a handshake: an authority's, or for another purpose.
    Usage,
}

/// What is wrong with the peer's certificate; `None`: the handshake failed for another reason.
pub fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Refusal> {
    if let Some(identity) = peer_identity_error(error) {
        return Some(match identity {
            PeerIdentityError::NoCertificate => return None,
            PeerIdentityError::NotACertificate
            | PeerIdentityError::NoUri
            | PeerIdentityError::ManyUris
            | PeerIdentityError::Invalid(_) => Refusal::Identity,
            PeerIdentityError::NotALeaf => Refusal::Usage,
            PeerIdentityError::TrustDomain { .. } => Refusal::TrustDomain,
            PeerIdentityError::Unexpected { .. } => Refusal::Unexpected,
            PeerIdentityError::Expired { .. } => Refusal::Time,
        });
    }
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let error = inner.map_or(error, |inner| inner as &(dyn std::error::Error + 'static));
    let Some(Error::InvalidCertificate(why)) = error.downcast_ref() else { return None };
    Some(match why {
        CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. } => {
            Refusal::Time
        }
        CertificateError::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity | webpki::Error::RequiredEkuNotFoundContext(_)) => {
                Refusal::Usage
            }
            _ => Refusal::Untrusted,
        },
        _ => Refusal::Untrusted,
    })
}
