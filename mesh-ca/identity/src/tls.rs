//! The one shape of TLS in the mesh: 1.3 alone, hybrid post-quantum key exchange first, no early data. It must not
//! know whose certificates these are.

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use mesh_model::spiffe::SpiffeId;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use rustls_pki_types::ServerName;

use crate::bundle::TrustBundle;
use crate::client_sessions::ClientSessions;
use crate::identity::Shared;
use crate::server_sessions::ServerSessions;
use crate::sessions::Limits;
use crate::verify::{ClientVerifier, ServerVerifier};

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// The handshake fails without one.
    Required,
    /// It may come without; one that is shown must be valid.
    Optional,
    /// The handshake fails without one, and members of federated trust domains are taken, too: what they may do is for policies.
    Federated,
}

/// The provider with `X25519MLKEM768` first (feature `prefer-post-quantum`). With feature `fips` it is the validated one, or nothing
/// works: every process makes its first configuration at its start.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        assert!(
            provider.fips() || !cfg!(feature = "fips"),
            "this program was built for FIPS 140-3, and its cryptography is not validated"
        );
        Arc::new(provider)
    });
    &PROVIDER
}

/// What to hand to rustls where it wants the name of the server: no name is sent or checked between members, the
/// SPIFFE id is. Tickets are kept by this name, so dialling by address (`ServerName::IpAddress`) resumes more often.
#[expect(clippy::missing_panics_doc, reason = "a literal cannot fail")]
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("member.mesh.invalid").expect("a literal DNS name")
}

pub(crate) fn server_config(shared: &Arc<Shared>, auth: ClientAuth, alpn: &[&[u8]]) -> ServerConfig {
    let limits = Arc::new(Limits::default());
    let verifier = ClientVerifier::new(Arc::clone(shared.bundle()), auth, Arc::clone(&limits));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 suites")
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(Resolver(Arc::clone(shared))));
    config.session_storage = Arc::new(ServerSessions::new(Arc::clone(shared), limits));
    config.send_tls13_tickets = 1;
    // Early data can be replayed, and a mesh carries requests that must not be.
    config.max_early_data_size = 0;
    config.alpn_protocols = owned(alpn);
    config
}

pub(crate) fn client_config(shared: &Arc<Shared>, expected: Vec<SpiffeId>, alpn: &[&[u8]]) -> ClientConfig {
    let limits = Arc::new(Limits::default());
    let verifier = ServerVerifier::new(Arc::clone(shared.bundle()), expected, Arc::clone(&limits));
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(Resolver(Arc::clone(shared))));
    config.resumption = Resumption::store(Arc::new(ClientSessions::new(Arc::clone(shared), limits)));
    config.enable_early_data = false;
    config.enable_sni = false;
    config.alpn_protocols = owned(alpn);
    config
}

/// For a client that shows no certificate, to a server that `bundle` verifies: as for a bundle endpoint of profile `https_spiffe`.
pub fn anonymous_client(bundle: TrustBundle, server: SpiffeId, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    Arc::new(bootstrap_config(bundle, server, alpn))
}

/// For the first call to the CA: no certificate of our own yet.
pub(crate) fn bootstrap_config(bundle: TrustBundle, ca: SpiffeId, alpn: &[&[u8]]) -> ClientConfig {
    let verifier = ServerVerifier::new(Arc::new(ArcSwap::from_pointee(bundle)), vec![ca], Arc::default());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = owned(alpn);
    config
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

/// Shows the certificate of the moment: a renewal is in force with the next handshake.
#[derive(Debug)]
struct Resolver(Arc<Shared>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified_key())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.certified_key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
