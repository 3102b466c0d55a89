//! Who may talk to whom.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::settings::MtlsMode;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::*;

/// Takes any server: what is tested is whether the server takes the client.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A certificate that names `uri`, of an authority of its own.
fn stranger(uri: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    let cert = leaf.signed_by(&key, &issuer).unwrap();
    (vec![cert.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// Speaks TLS as a proxy of the mesh would and asks for something; gives what the server sent, empty if it refused.
async fn intrude(
    address: SocketAddr,
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Vec<u8> {
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer));
    let mut config = match certificate {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"amime/h1".to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let Ok(mut stream) = soon(connector.connect(ServerName::from(address.ip()), tcp)).await else {
        return vec![];
    };
    let mut got = vec![];
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n").await;
    let _ = soon(stream.read_to_end(&mut got)).await;
    got
}

#[tokio::test]
async fn clients_without_a_certificate_of_the_trust_domain_are_refused() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "secret").await;
    let (_client, server) = mesh.pair(app, None);
    assert_eq!(intrude(server.inbound(), None).await, b"");
    server.counts(&["handshake_no_certificate"], 1.0).await;
    for uri in ["spiffe://other.mesh/ns/shop/sa/web", "spiffe://test.mesh/ns/shop/sa/web"] {
        assert_eq!(intrude(server.inbound(), Some(stranger(uri))).await, b"");
    }
    server.counts(&["handshake_untrusted"], 2.0).await;
    server.counts(&["mesh_requests_total"], 0.0).await;
}

#[tokio::test]
async fn a_server_with_another_identity_is_refused() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "secret").await;
    let server = mesh.server("stock", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client(&[("cart", 80)]);
    let (status, failure, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure.as_str()), (503, "tls_failed"), "{body}");
    client.counts(&["peer_identity_mismatch"], 1.0).await;
}

#[tokio::test]
async fn a_server_of_another_trust_domain_is_refused() {
    let mut mesh = Mesh::new();
    let other = mesh_identity::testing::TestCa::new("other.mesh");
    let app = says(&mesh.tasks, "secret").await;
    let server = mesh.server_with(other.identity("shop", "cart"), "cart", app, |_| {});
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client(&[("cart", 80)]);
    let (status, failure, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure.as_str()), (503, "tls_failed"), "{body}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "secret").await;
    let server = mesh.server_with(mesh.ca.expired_identity("shop", "cart"), "cart", app, |_| {});
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client(&[("cart", 80)]);
    let (status, failure, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure.as_str()), (503, "tls_failed"), "{body}");
}

#[tokio::test]
async fn plaintext_on_the_mesh_port_is_refused_in_strict_and_served_in_permissive_mode() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let request = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";
    let strict = mesh.server("cart", app);
    assert_eq!(ask(strict.inbound(), request).await, b"");
    strict.counts(&["mesh_requests_total", "plaintext_refused"], 1.0).await;

    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let permissive = mesh.server("cart", app);
    assert!(ask(permissive.inbound(), request).await.ends_with(b"hello"));
    permissive.counts(&["mesh_requests_total", "inbound", "plaintext", "200"], 1.0).await;
    let endpoint = mesh.member(permissive.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client(&[("cart", 80)]);
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.0, 200);
    permissive.counts(&["mesh_requests_total", "inbound", "mtls", "200"], 1.0).await;
}

#[tokio::test]
async fn without_configuration_the_mesh_port_is_strict() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let app = says(&mesh.tasks, "hello").await;
    mesh.configured = false;
    let server = mesh.server("cart", app);
    assert_eq!(
        ask(server.inbound(), b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n").await,
        b""
    );
}

#[tokio::test]
async fn the_applications_own_tls_and_greetings_pass_in_permissive_mode() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let app = peer(&mesh.tasks, |mut stream| async move {
        let _ = stream.write_all(b"220 ready\r\n").await;
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let server = mesh.server("cart", app);
    let mut silent = TcpStream::connect(server.inbound()).await.unwrap();
    let mut greeting = vec![0; 11];
    soon(silent.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(greeting, b"220 ready\r\n");
    // A handshake record that is no ClientHello of ours.
    let mut tls = TcpStream::connect(server.inbound()).await.unwrap();
    let record = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00";
    tls.write_all(record).await.unwrap();
    tls.shutdown().await.unwrap();
    let mut got = vec![];
    soon(tls.read_to_end(&mut got)).await.unwrap();
    assert!(got.ends_with(record), "{got:?}");
}

#[tokio::test]
async fn a_renewed_certificate_drops_no_connection() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let identity = mesh.ca.identity("shop", "cart");
    let server = mesh.server_with(identity.clone(), "cart", app, |_| {});
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client(&[("cart", 80)]);
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    let before = identity.svid().serial.clone();
    for round in 0..20 {
        if round == 10 {
            mesh.ca.renew(&identity);
            assert_ne!(identity.svid().serial, before);
        }
        sender.ready().await.unwrap();
        assert_eq!(text(soon(sender.send_request(get("cart", "/"))).await.unwrap()).await, "hello");
    }
    server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
    // A client of its own dials anew and meets the new certificate.
    let other = mesh.client(&[("cart", 80)]);
    assert_eq!(fetch(&mesh.tasks, other.outbound(), get("cart", "/")).await.0, 200);
}
