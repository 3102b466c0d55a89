//! What only one of the two codecs refused, or neither: bytes that are no HTTP where HTTP is declared, padded values, large trailers and
//! bodies of crumbs over HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::service::Protocol;
use mesh_model::settings::MtlsMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;
use crate::policies::*;

/// First bytes that no version of HTTP begins with.
const NO_HTTP: [&[u8]; 4] = [
    b"GET / HTTP/1.2\r\nhost: cart\r\n\r\n",
    b"GET\t/ HTTP/1.1\r\nhost: cart\r\n\r\n",
    b"INVALID CONNECTION PREFACE\r\n\r\n",
    b"\x00\x01\x02\x03",
];

/// An application that counts bytes.
async fn counts_bytes(tasks: &Tasks) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::<AtomicUsize>::default();
    let tape = Arc::clone(&count);
    let app = peer(tasks, move |mut stream| {
        let tape = Arc::clone(&tape);
        async move {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                tape.fetch_add(count, Ordering::SeqCst);
            }
        }
    })
    .await;
    (app, count)
}

/// What comes back for bytes and their end.
async fn said(address: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = vec![];
    let _ = soon(stream.read_to_end(&mut answer)).await;
    answer
}

async fn is_refused(address: std::net::SocketAddr, protocol: Protocol, bytes: &[u8]) {
    let answer = said(address, bytes).await;
    let text = String::from_utf8_lossy(&answer);
    match protocol {
        Protocol::Http1 if bytes.contains(&b'\n') => {
            let is_refusal = text.starts_with("HTTP/1.1 400 ") || text.starts_with("HTTP/1.1 505 ");
            assert!(is_refusal, "{:?}: {text}", bytes.escape_ascii().to_string());
        }
        _ => assert!(!text.contains("HTTP/1.1 2"), "{text}"),
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_are_not_carried_to_a_port_that_is_declared_http() {
    for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Grpc] {
        let mut mesh = Mesh::new();
        let (app, count) = counts_bytes(&mesh.tasks).await;
        let (client, _server) = mesh.pair(app, Some(protocol));
        for bytes in NO_HTTP {
            is_refused(client.outbound(), protocol, bytes).await;
        }
        assert_eq!(count.load(Ordering::SeqCst), 0, "{protocol:?}");
    }
}

#[tokio::test]
async fn nor_are_those_that_come_in_plain_for_a_service_of_the_workload() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut mesh = Mesh::new();
        mesh.settings.mtls_mode = MtlsMode::Permissive;
        let (app, count) = counts_bytes(&mesh.tasks).await;
        let (_client, mut server) = mesh.pair(app, Some(protocol));
        tell_own(&mesh, &mut server);
        // Until the sidecar knows its services the bytes are carried to the application, which says nothing.
        until(|| async { !said(server.inbound(), b"\x01\n").await.is_empty() }).await;
        let before = count.load(Ordering::SeqCst);
        for bytes in NO_HTTP {
            is_refused(server.inbound(), protocol, bytes).await;
        }
        assert_eq!(count.load(Ordering::SeqCst), before, "{protocol:?}");
    }
}

#[tokio::test]
async fn nor_are_those_that_a_member_calls_bytes() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut mesh = Mesh::new();
        let (app, count) = counts_bytes(&mesh.tasks).await;
        let mut server = mesh.server("cart", app);
        let endpoint = mesh.member(server.inbound(), "cart");
        // The caller is of another opinion about the port than the called one.
        mesh.service("cart", 80, Some(Protocol::Tcp), vec![endpoint.clone()]);
        let client = mesh.client(&[("cart", 80)]);
        mesh.services.clear();
        mesh.service("cart", 80, Some(protocol), vec![endpoint]);
        tell_own(&mesh, &mut server);
        // Until the sidecar knows its services the bytes are carried to the application, which says nothing.
        until(|| async { !said(client.outbound(), b"\x01\n").await.is_empty() }).await;
        let before = count.load(Ordering::SeqCst);
        for bytes in NO_HTTP {
            is_refused(client.outbound(), protocol, bytes).await;
        }
        assert_eq!(count.load(Ordering::SeqCst), before, "{protocol:?}");
        until(|| async { server.count(&["mesh_events_total", "protocol_error"]).await >= 4.0 }).await;
    }
}

async fn client(tasks: &Tasks, address: std::net::SocketAddr) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tasks.spawn("client", async move { drop(connection.await) });
    sender.ready().await.unwrap()
}

fn post() -> Request<()> {
    Request::post("http://cart/").version(http::Version::HTTP_2).body(()).unwrap()
}

#[tokio::test]
async fn white_space_around_a_value_of_http2_is_refused() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (sidecar, _server) = mesh.pair(app, Some(Protocol::Http1));
    for (value, status) in [(" b", 400), ("b ", 400), ("\tb", 400), ("b\t", 400), ("a b", 200), ("", 200)] {
        let mut sender = client(&mesh.tasks, sidecar.outbound()).await;
        let mut request = post();
        request.headers_mut().insert("x-a", HeaderValue::from_bytes(value.as_bytes()).unwrap());
        let (response, _) = sender.send_request(request, true).unwrap();
        assert_eq!(soon(response).await.unwrap().status(), status, "{value:?}");
    }
}

#[tokio::test]
async fn trailers_of_http2_have_the_bound_that_those_of_http1_have() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let (sidecar, _server) = mesh.pair(app, Some(Protocol::Http1));
    for (count, passes) in [(7, true), (9, false)] {
        let mut sender = client(&mesh.tasks, sidecar.outbound()).await;
        let (response, mut send) = sender.send_request(post(), false).unwrap();
        send.send_data(Bytes::from_static(b"abcd"), false).unwrap();
        let mut trailers = HeaderMap::new();
        for _ in 0..count {
            trailers.append("x-t", HeaderValue::from_bytes(&[b't'; 1020]).unwrap());
        }
        send.send_trailers(trailers).unwrap();
        let is_fine = soon(response).await.is_ok_and(|response| response.status() == 200);
        assert_eq!(is_fine, passes, "{count} KiB");
    }
}

/// `sec-websocket-accept` for the key in a head (RFC 6455 section 4.2.2).
pub(crate) fn websocket_proof(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
    });
    let text = format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key.unwrap());
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hash)
}

#[tokio::test]
async fn a_websocket_of_http2_opens_if_the_server_proves_that_it_read_our_key() {
    for (proves, status) in [(true, 200), (false, 502)] {
        let mut mesh = Mesh::new();
        let app = peer(&mesh.tasks, move |mut stream| async move {
            let mut head = vec![];
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.to_ascii_lowercase().contains("sec-websocket-version: 13"), "{head}");
            let proof = if proves { websocket_proof(&head) } else { "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into() };
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {proof}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = stream.read_u8().await;
        })
        .await;
        let (sidecar, _server) = mesh.pair(app, None);
        let sender = client(&mesh.tasks, sidecar.outbound()).await;
        until(|| async { sender.is_extended_connect_protocol_enabled() }).await;
        let mut request = Request::connect("http://cart/ws").version(http::Version::HTTP_2).body(()).unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (response, _send) = sender.clone().send_request(request, false).unwrap();
        let response = soon(response).await.unwrap();
        assert_eq!(response.status(), status);
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        if !proves {
            assert_eq!(response.headers()["x-mesh-failure"], "upstream_protocol");
        }
    }
}
