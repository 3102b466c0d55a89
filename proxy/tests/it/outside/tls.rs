//! TLS that the sidecar begins towards a host outside, which is scripted here: who it is asked to be, what is offered, and that
//! nothing leaves when it does not prove to be that host.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_model::external::{ExternalPort, ExternalService, HostEntry, HostMeaning, Origination, Resolution};
use mesh_model::host::{Host, HostPattern};
use mesh_model::name::Name;
use mesh_model::service::Protocol;
use mesh_proto::convert::ModelResource;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::harness::{Mesh, any_port, fetch, get, http2, soon, text};

/// An authority of the outer world, and a server's certificate from it.
struct World {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl World {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn pem(&self) -> String {
        self.ca.pem()
    }

    fn server(&self, name: &str, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

/// What the server was asked: its name, the protocol that was chosen, and each request.
type Heard = Arc<Mutex<Vec<String>>>;

/// A host that speaks TLS and HTTP inside, of whatever version was chosen.
async fn serve(mesh: &Mesh, config: Arc<ServerConfig>) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let (address, heard) = (listener.local_addr().unwrap(), Heard::default());
    let all = Arc::clone(&heard);
    let tasks = mesh.tasks.clone();
    mesh.tasks.spawn("outside", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, all) = (Arc::clone(&config), Arc::clone(&all));
            tasks.spawn("outside connection", async move {
                let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                let session = stream.get_ref().1;
                let name = session.server_name().unwrap_or("-").to_owned();
                let chosen =
                    session.alpn_protocol().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
                let is_http2 = chosen == "h2";
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let scheme = request.uri().scheme_str().unwrap_or("-");
                    all.lock().unwrap().push(format!("{name} {chosen} {:?} {scheme}", request.version()));
                    async { Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("outside")))) }
                });
                let stream = TokioIo::new(stream);
                let served = if is_http2 {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(stream, answer)
                        .await
                } else {
                    hyper::server::conn::http1::Builder::new().serve_connection(stream, answer).await
                };
                served.ok();
            });
        }
    });
    (address, heard)
}

/// `HOST`, whose port 80 is at that address, over TLS.
fn external(mesh: &mut Mesh, host: &str, at: SocketAddr, protocol: Option<Protocol>, tls: Origination) {
    let name = Name::new("shop", host.split('.').next().unwrap()).unwrap();
    let host = Host::parse(host).unwrap();
    let meaning = HostMeaning::External(name.clone());
    mesh.services.push(ModelResource::Host(HostEntry { host: host.clone(), meaning }));
    mesh.services.push(ModelResource::External(ExternalService {
        name,
        hosts: vec![HostPattern::parse(host.as_str()).unwrap()],
        ports: vec![ExternalPort { port: 80, target: at.port(), protocol, tls: Some(tls) }],
        resolution: Resolution::Static(vec![at.ip()]),
        origin: String::new(),
    }));
}

fn by(ca: String) -> Origination {
    Origination { sni: None, ca: Some(ca) }
}

#[tokio::test]
async fn tls_is_begun_with_the_hosts_name_and_requests_go_inside_it() {
    let (mut mesh, world) = (Mesh::new(), World::new());
    let (at, heard) = serve(&mesh, world.server("api.example", &[b"h2", b"http/1.1"])).await;
    external(&mut mesh, "api.example", at, None, by(world.pem()));
    let client = mesh.client(&[]);
    for _ in 0..2 {
        let (status, failure, body) = fetch(&mesh.tasks, client.proxy(), get("api.example", "/")).await;
        assert_eq!((status, failure.as_str(), body.as_str()), (200, "", "outside"));
    }
    let mut asks = http2(&mesh.tasks, client.proxy()).await;
    let response = soon(asks.send_request(get("api.example", "/"))).await.unwrap();
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "outside"));
    let http1 = "api.example http/1.1 HTTP/1.1 -";
    assert_eq!(*heard.lock().unwrap(), [http1, http1, "api.example h2 HTTP/2.0 https"]);
    client.counts(&["mesh_requests_total", "security=\"tls\""], 3.0).await;
}

#[tokio::test]
async fn a_host_without_http2_gets_http1_and_one_that_is_declared_to_have_it_gets_that() {
    let (mut mesh, world) = (Mesh::new(), World::new());
    let (old, of_old) = serve(&mesh, world.server("old.example", &[b"http/1.1"])).await;
    let (new, of_new) = serve(&mesh, world.server("other.example", &[b"h2"])).await;
    external(&mut mesh, "old.example", old, None, by(world.pem()));
    let tls = Origination { sni: Host::parse("other.example"), ca: Some(world.pem()) };
    external(&mut mesh, "new.example", new, Some(Protocol::Http2), tls);
    let client = mesh.client(&[]);
    let mut asks = http2(&mesh.tasks, client.proxy()).await;
    for _ in 0..2 {
        let response = soon(asks.send_request(get("old.example", "/"))).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
    }
    assert_eq!(*of_old.lock().unwrap(), ["old.example http/1.1 HTTP/1.1 -"; 2]);
    let got = fetch(&mesh.tasks, client.proxy(), get("new.example", "/")).await;
    assert_eq!((got.0, got.2.as_str()), (200, "outside"));
    assert_eq!(*of_new.lock().unwrap(), ["other.example h2 HTTP/2.0 https"]);
}

#[tokio::test]
async fn who_does_not_prove_to_be_the_host_gets_nothing() {
    let (mut mesh, world) = (Mesh::new(), World::new());
    let good = world.server("good.example", &[b"http/1.1"]);
    let (at, heard) = serve(&mesh, good).await;
    let plain = crate::harness::says(&mesh.tasks, "plaintext").await;
    external(&mut mesh, "wrong.example", at, None, by(world.pem()));
    external(&mut mesh, "stranger.example", at, None, by(World::new().pem()));
    let nobody = Origination { sni: Host::parse("good.example"), ca: None };
    external(&mut mesh, "public.example", at, None, nobody);
    external(&mut mesh, "plain.example", plain, None, by(world.pem()));
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    external(&mut mesh, "empty.example", at, None, by(empty));
    let client = mesh.client_with(&[], |config| config.outside_roots = Some("/nonexistent".into()));
    let rows = [
        ("wrong.example", "did not prove to be wrong.example"),
        ("stranger.example", "did not prove to be stranger.example"),
        ("public.example", "/nonexistent (--outside-roots) cannot be read"),
        ("plain.example", "TLS handshake"),
        ("empty.example", "caCertificates holds no certificate that can be read"),
    ];
    for (host, reason) in rows {
        let (status, failure, body) = fetch(&mesh.tasks, client.proxy(), get(host, "/")).await;
        assert_eq!((status, failure.as_str()), (503, "tls_failed"), "{host}: {body}");
        assert!(body.contains(reason), "{host}: {body}");
    }
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bytes_go_inside_tls_too_whoever_speaks_first() {
    let (mut mesh, world) = (Mesh::new(), World::new());
    let config = world.server("mail.example", &[]);
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let at = listener.local_addr().unwrap();
    mesh.tasks.spawn("mail", async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(config).accept(stream).await.unwrap();
        stream.write_all(b"220 ready\r\n").await.unwrap();
        let mut quit = [0; 4];
        stream.read_exact(&mut quit).await.unwrap();
        stream.write_all(&quit).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    external(&mut mesh, "mail.example", at, Some(Protocol::Tcp), by(world.pem()));
    let client = mesh.client(&[("mail.example", 80)]);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    let mut greeting = [0; 11];
    soon(stream.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
    stream.write_all(b"QUIT").await.unwrap();
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"QUIT");
    drop(stream);
    client.counts(&["mesh_requests_total", "security=\"tls\"", "protocol=\"tcp\""], 1.0).await;
}
