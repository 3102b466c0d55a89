//! The verifiers of both ends: path to the current trust bundle, one SPIFFE id, the right trust domain, the right
//! server. They must not know names or addresses: a member is who its certificate says.

use std::sync::Arc;

use arc_swap::ArcSwap;
use mesh_model::spiffe::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::bundle::TrustBundle;
use crate::peer::{self, Leaf, PeerIdentityError};
use crate::sessions::Limits;
use crate::tls::{ClientAuth, provider};

/// The most intermediates a peer may show; ours has one.
const MAX_INTERMEDIATES: usize = 4;

/// What the certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Client,
    Server,
}

/// Whether `certs` lead to a root of the bundle, and are all in date at `now` (Unix seconds).
pub(crate) fn chain(
    certs: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    usage: Usage,
    now: u64,
) -> Result<(), webpki::Error> {
    let (leaf, intermediates) = certs.split_first().ok_or(webpki::Error::BadDer)?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    path(leaf, intermediates, bundle, usage, time)
}

fn path(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    usage: Usage,
    now: UnixTime,
) -> Result<(), webpki::Error> {
    if intermediates.len() > MAX_INTERMEDIATES {
        return Err(webpki::Error::MaximumPathDepthExceeded);
    }
    let usage = match usage {
        Usage::Client => KeyUsage::client_auth(),
        Usage::Server => KeyUsage::server_auth(),
    };
    let algorithms = provider().signature_verification_algorithms.all;
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(algorithms, bundle.anchors(), intermediates, now, usage, None, None)
        .map(|_| ())
}

/// Whose members are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admits {
    /// Our own trust domain's.
    Own,
    /// Those of federated trust domains, too.
    Federated,
}

/// Path, SPIFFE id and trust domain of a peer. The trust domain that it claims chooses the roots, so that a root vouches for no other
/// (X.509-SVID standard, section 5.1).
fn member(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    (usage, admits): (Usage, Admits),
    now: UnixTime,
) -> Result<Leaf, Error> {
    let peer = peer::read(leaf);
    let foreign = match (&peer, admits) {
        (Ok(peer), Admits::Federated) => bundle.of(peer.id.trust_domain()),
        _ => None,
    };
    let bundle = foreign.unwrap_or(bundle);
    let stranger = |peer: &Leaf| {
        let expected = bundle.trust_domain().clone();
        (peer.id.trust_domain() != &expected)
            .then(|| identity_error(PeerIdentityError::TrustDomain { id: peer.id.clone(), expected }))
    };
    match (path(leaf, intermediates, bundle, usage, now), &peer) {
        (Ok(()), _) => {}
        // None of our roots vouches for it: of another mesh that says more than an issuer that is not known.
        (Err(webpki::Error::UnknownIssuer), Ok(peer)) => {
            return Err(stranger(peer).unwrap_or_else(|| pki_error(webpki::Error::UnknownIssuer)));
        }
        (Err(error), _) => return Err(pki_error(error)),
    }
    let peer = peer.map_err(identity_error)?;
    match stranger(&peer) {
        Some(error) => Err(error),
        None => Ok(peer),
    }
}

/// Verifies servers that this process calls.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    bundle: Arc<ArcSwap<TrustBundle>>,
    expected: Box<[SpiffeId]>,
    limits: Arc<Limits>,
}

impl ServerVerifier {
    pub(crate) fn new(
        bundle: Arc<ArcSwap<TrustBundle>>,
        expected: Vec<SpiffeId>,
        limits: Arc<Limits>,
    ) -> Self {
        Self { bundle, expected: expected.into(), limits }
    }

    fn expectation(&self) -> String {
        match &*self.expected {
            [] => "nobody".to_owned(),
            [one] => format!("`{one}`"),
            [first, rest @ ..] => format!("`{first}` or one of {} others", rest.len()),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Who is expected says of which trust domain.
        let wanted = (Usage::Server, Admits::Federated);
        let peer = member(end_entity, intermediates, &self.bundle.load(), wanted, now)?;
        if !self.expected.contains(&peer.id) {
            let expected = self.expectation();
            return Err(identity_error(PeerIdentityError::Unexpected { id: peer.id, expected }));
        }
        self.limits.saw(peer.not_after);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes(provider())
    }
}

/// Verifies clients that call this process.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    bundle: Arc<ArcSwap<TrustBundle>>,
    auth: ClientAuth,
    limits: Arc<Limits>,
}

impl ClientVerifier {
    pub(crate) fn new(bundle: Arc<ArcSwap<TrustBundle>>, auth: ClientAuth, limits: Arc<Limits>) -> Self {
        Self { bundle, auth, limits }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        match self.auth {
            ClientAuth::Required | ClientAuth::Federated => true,
            ClientAuth::Optional => false,
        }
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: they would go stale when the bundle changes, and a member has one certificate anyway.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let admits = match self.auth {
            ClientAuth::Federated => Admits::Federated,
            ClientAuth::Required | ClientAuth::Optional => Admits::Own,
        };
        let wanted = (Usage::Client, admits);
        let peer = member(end_entity, intermediates, &self.bundle.load(), wanted, now)?;
        self.limits.saw(peer.not_after);
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes(provider())
    }
}

fn schemes(provider: &CryptoProvider) -> Vec<SignatureScheme> {
    provider.signature_verification_algorithms.supported_schemes()
}

fn tls13_only() -> Error {
    // The configurations offer TLS 1.3 alone, so rustls never gets here.
    Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite)
}

fn identity_error(error: PeerIdentityError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// The alert that the peer gets depends on this mapping (RFC 8446, section 6.2).
fn pki_error(error: webpki::Error) -> Error {
    let kind = match error {
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
            CertificateError::BadEncoding
        }
        webpki::Error::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        webpki::Error::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    Error::InvalidCertificate(kind)
}
