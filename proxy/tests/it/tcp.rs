//! What the mesh does with bytes that it does not read: ends and resets as they are, whoever speaks first, names only for metrics.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_model::service::Protocol;
use mesh_model::settings::OutboundMode;
use mesh_proxy::config::Original;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::harness::*;

/// Ends with a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

async fn end(stream: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut all = vec![];
    soon(stream.read_to_end(&mut all)).await.map(|_| all).map_err(|error| error.kind())
}

#[tokio::test]
async fn a_reset_of_the_client_is_a_reset_at_the_server() {
    let mut mesh = Mesh::new();
    let (ends, mut ended) = mpsc::channel(1);
    let app = peer(&mesh.tasks, move |mut stream| {
        let ends = ends.clone();
        async move {
            stream.write_all(b"here").await.unwrap();
            ends.send(end(&mut stream).await).await.unwrap();
        }
    })
    .await;
    let (client, _server) = mesh.pair(app, Some(Protocol::Tcp));
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    let mut here = [0; 4];
    soon(stream.read_exact(&mut here)).await.unwrap();
    reset(stream);
    assert_eq!(soon(ended.recv()).await.unwrap(), Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_reset_of_the_server_is_a_reset_at_the_client_and_a_failure_on_record() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        reset(stream);
    })
    .await;
    let (client, server) = mesh.pair(app, Some(Protocol::Tcp));
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"quit").await.unwrap();
    assert_eq!(end(&mut stream).await, Err(ErrorKind::ConnectionReset));
    for sidecar in [client, server] {
        sidecar.counts(&["mesh_requests_total", "tcp", "upstream_reset"], 1.0).await;
    }
}

#[tokio::test]
async fn where_nobody_listens_the_client_is_reset_before_any_byte() {
    for protocol in [None, Some(Protocol::Tcp)] {
        let mut mesh = Mesh::new();
        let nobody = TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap();
        let (client, server) = mesh.pair(nobody, protocol);
        let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
        assert_eq!(end(&mut stream).await, Err(ErrorKind::ConnectionReset));
        server.counts(&["mesh_requests_total", "tcp", "connect_failed"], 1.0).await;
    }
}

#[tokio::test]
async fn who_spoke_first_is_remembered_and_never_decides_what_the_bytes_are() {
    let mut mesh = Mesh::new();
    // Greets those who say nothing, and answers those who ask.
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut first = [0; 64];
        match tokio::time::timeout(Duration::from_millis(100), stream.read(&mut first)).await {
            Err(_) => stream.write_all(b"220 ready\r\n").await.unwrap(),
            Ok(_) => stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await.unwrap(),
        }
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    for _ in 0..3 {
        let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
        assert_eq!(end(&mut stream).await.unwrap(), b"220 ready\r\n");
        drop(stream);
        let (status, _, _) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
        assert_eq!(status, 204);
    }
    client.counts(&["mesh_requests_total", "\"tcp\"", "outbound"], 3.0).await;
    client.counts(&["mesh_requests_total", "\"http\"", "outbound", "204"], 3.0).await;
}

#[tokio::test]
async fn bytes_that_are_not_http_are_refused_where_routes_are_attached() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    mesh.route("cart", vec![rule("/", vec![], vec![backend("cart", 1)])]);
    let (client, _server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"\x00\x01\x02").await.unwrap();
    assert_eq!(end(&mut stream).await, Err(ErrorKind::ConnectionReset));
    client.counts(&["not_http"], 1.0).await;
    let (status, _, _) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!(status, 200);
}

fn client_hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut hello = vec![];
    rustls::ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn tls_of_the_application_passes_untouched_and_is_counted_by_its_name() {
    let mut mesh = Mesh::new();
    mesh.settings.outbound_mode = OutboundMode::AllowAny;
    let there = peer(&mesh.tasks, |mut stream| async move {
        let mut all = vec![];
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
    })
    .await;
    let client = captured(&mesh, there);
    let address = client.running.addrs.captured_outbound[0];
    let hello = client_hello("API.example.com");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in &hello {
        stream.write_all(std::slice::from_ref(byte)).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.shutdown().await.unwrap();
    assert!(end(&mut stream).await.unwrap() == hello);
    client.counts(&["mesh_outside_connections_total", "\"sni\"", "\"api.example.com\""], 1.0).await;
    #[expect(clippy::cast_precision_loss, reason = "a ClientHello has some thousand bytes")]
    client.counts(&["mesh_outside_sent_bytes_total", "\"api.example.com\""], hello.len() as f64).await;
}

fn captured(mesh: &Mesh, original: SocketAddr) -> Sidecar {
    mesh.client_with(&[], |config| {
        config.capture.outbound.push(any_port());
        config.capture.how = Original::Always(original);
    })
}

#[tokio::test]
async fn eight_megabytes_pass_each_way_at_once_through_two_sidecars() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let (client, server) = mesh.pair(app, Some(Protocol::Tcp));
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    let sent: Vec<u8> = (0u32..8 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (mut read, mut write) = stream.split();
    let mut got = vec![];
    let send = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    soon(async { tokio::join!(send, async { read.read_to_end(&mut got).await.unwrap() }) }).await;
    assert!(got == sent);
    for sidecar in [client, server] {
        sidecar.counts(&["mesh_request_bytes_total", "tcp"], 8_388_608.0).await;
    }
}
