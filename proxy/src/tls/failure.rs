//! Why a handshake failed, in the words of metrics and messages.

use std::io;
use std::net::SocketAddr;

use mesh_identity::{Refusal, refusal};
use rustls::{AlertDescription, Error};

use crate::telemetry::{Event, HandshakeFailure, Reason};

/// Why a server was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientFailure {
    /// It did not show the identity that discovery gave, or none that the mesh trusts.
    #[error("{address} did not prove to be {expected}: {reason}")]
    Identity {
        /// The server.
        address: SocketAddr,
        /// Who it should have been.
        expected: Box<str>,
        /// What is wrong.
        reason: String,
        /// What it is counted as.
        event: Event,
    },
    /// It refused us, or broke off.
    #[error("the TLS handshake with {address} failed: {reason}")]
    Handshake {
        /// The server.
        address: SocketAddr,
        /// What was said.
        reason: String,
        /// The kind of it.
        kind: HandshakeFailure,
        /// In which way, for examples.
        way: Reason,
    },
    /// It took too long.
    #[error("the TLS handshake with {address} took too long")]
    Timeout {
        /// The server.
        address: SocketAddr,
    },
    /// It speaks TLS but not the mesh's protocols.
    #[error("{address} does not speak the protocol of the mesh")]
    NotMesh {
        /// The server.
        address: SocketAddr,
    },
    /// It speaks TLS, and HTTP/1.1 alone inside.
    #[error("{address} does not speak HTTP/2")]
    NotHttp2 {
        /// The server.
        address: SocketAddr,
    },
    /// Nothing says whom to trust.
    #[error("the certificate of {host} cannot be checked: {reason}")]
    Roots {
        /// The host.
        host: Box<str>,
        /// What is missing.
        reason: Box<str>,
    },
    /// This proxy has no identity to show.
    #[error("this proxy has no identity")]
    NoIdentity,
}

impl ClientFailure {
    pub(super) fn handshake(address: SocketAddr, expected: &str, error: &io::Error) -> Self {
        let reason = error.to_string();
        match tls_error(error) {
            Some(Error::InvalidCertificate(_)) => {
                let event = match refusal(error) {
                    Some(Refusal::Unexpected) => Event::PeerIdentityMismatch,
                    _ => Event::HandshakeFailed(of(error)),
                };
                Self::Identity { address, expected: expected.into(), reason, event }
            }
            _ => Self::Handshake { address, reason, kind: of(error), way: way(error) },
        }
    }

    /// In which way it failed.
    pub fn way(&self) -> Reason {
        match self {
            Self::Identity { event, .. } => match event {
                Event::HandshakeFailed(HandshakeFailure::Expired) => Reason::CertificateExpired,
                Event::HandshakeFailed(HandshakeFailure::TrustDomain) => Reason::TrustDomain,
                Event::PeerIdentityMismatch | Event::HandshakeFailed(HandshakeFailure::Identity) => {
                    Reason::WrongIdentity
                }
                _ => Reason::Untrusted,
            },
            Self::Handshake { way, .. } => *way,
            Self::Timeout { .. } => Reason::TlsTimeout,
            Self::NotMesh { .. } | Self::NotHttp2 { .. } => Reason::NotMesh,
            Self::Roots { .. } => Reason::Untrusted,
            Self::NoIdentity => Reason::NoIdentity,
        }
    }

    /// What it is counted as.
    pub fn event(&self) -> Event {
        match self {
            Self::Identity { event, .. } => *event,
            Self::Handshake { kind, .. } => Event::HandshakeFailed(*kind),
            Self::Timeout { .. } => Event::HandshakeFailed(HandshakeFailure::Timeout),
            Self::NotMesh { .. } | Self::NotHttp2 { .. } => {
                Event::HandshakeFailed(HandshakeFailure::Protocol)
            }
            Self::Roots { .. } => Event::HandshakeFailed(HandshakeFailure::Untrusted),
            Self::NoIdentity => Event::HandshakeFailed(HandshakeFailure::NoCertificate),
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())
}

/// How a handshake went wrong that was not about the server's certificate.
fn way(error: &io::Error) -> Reason {
    match tls_error(error) {
        Some(Error::AlertReceived(_)) => Reason::TlsAlert,
        // Bytes that are no record of TLS.
        Some(Error::InvalidMessage(_) | Error::InappropriateMessage { .. }) => Reason::NotTls,
        Some(_) => Reason::NotMesh,
        None => Reason::TlsBrokenOff,
    }
}

/// The kind of a failed handshake.
pub(super) fn of(error: &io::Error) -> HandshakeFailure {
    match tls_error(error) {
        None => HandshakeFailure::Io,
        Some(
            Error::NoCertificatesPresented | Error::AlertReceived(AlertDescription::CertificateRequired),
        ) => HandshakeFailure::NoCertificate,
        Some(Error::InvalidCertificate(_)) => match refusal(error) {
            Some(Refusal::Time) => HandshakeFailure::Expired,
            Some(Refusal::Identity | Refusal::Unexpected) => HandshakeFailure::Identity,
            Some(Refusal::TrustDomain) => HandshakeFailure::TrustDomain,
            Some(Refusal::Usage) => HandshakeFailure::Usage,
            Some(Refusal::Untrusted) | None => HandshakeFailure::Untrusted,
        },
        Some(Error::AlertReceived(AlertDescription::CertificateExpired)) => HandshakeFailure::Expired,
        Some(Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown,
        )) => HandshakeFailure::Untrusted,
        Some(_) => HandshakeFailure::Protocol,
    }
}
