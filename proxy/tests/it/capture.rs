//! A capture of the bytes between two sidecars: TLS 1.3 only, and nothing in the clear.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use mesh_lifecycle::tasks::Tasks;
use mesh_model::service::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

const MARKER: &str = "marker-that-must-not-be-seen";

/// What passed on one connection.
#[derive(Default)]
struct Tape {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
}

type Tapes = Arc<Mutex<Vec<Arc<Mutex<Tape>>>>>;

/// A relay to `server` that records.
async fn recorder(tasks: &Tasks, server: SocketAddr) -> (SocketAddr, Tapes) {
    let tapes = Tapes::default();
    let all = Arc::clone(&tapes);
    let address = peer(tasks, move |client| {
        let tape = Arc::<Mutex<Tape>>::default();
        all.lock().unwrap().push(Arc::clone(&tape));
        async move {
            let (read_client, write_client) = client.into_split();
            let (read_server, write_server) = TcpStream::connect(server).await.unwrap().into_split();
            let up = copy(read_client, write_server, |bytes| {
                tape.lock().unwrap().to_server.extend_from_slice(bytes);
            });
            let down = copy(read_server, write_client, |bytes| {
                tape.lock().unwrap().to_client.extend_from_slice(bytes);
            });
            tokio::join!(up, down);
        }
    })
    .await;
    (address, tapes)
}

async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    record: impl Fn(&[u8]),
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        record(&buffer[..count]);
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Record types with their payloads (RFC 8446 section 5.1).
fn records(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut all = vec![];
    while bytes.len() >= 5 {
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        assert_eq!(bytes[1], 3, "a record of TLS");
        let Some(payload) = bytes.get(5..5 + length) else { break };
        all.push((bytes[0], payload));
        bytes = &bytes[5 + length..];
    }
    all
}

/// The value of an extension of a ServerHello (RFC 8446 section 4.1.3).
fn server_hello_extension(handshake: &[u8], wanted: u16) -> Option<Vec<u8>> {
    assert_eq!(handshake[0], 2, "a ServerHello");
    let session = 4 + 2 + 32;
    let mut rest = &handshake[session + 1 + usize::from(handshake[session]) + 2 + 1 + 2..];
    while rest.len() >= 4 {
        let kind = u16::from_be_bytes([rest[0], rest[1]]);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if kind == wanted {
            return Some(rest[4..4 + length].to_vec());
        }
        rest = &rest[4 + length..];
    }
    None
}

fn check(tape: &Tape) {
    let marker = MARKER.as_bytes();
    for bytes in [&tape.to_server, &tape.to_client] {
        assert!(!bytes.windows(marker.len()).any(|window| window == marker), "a marker in the clear");
    }
    let (up, down) = (records(&tape.to_server), records(&tape.to_client));
    assert_eq!((up[0].0, up[0].1[0]), (22, 1), "a ClientHello first");
    assert_eq!(server_hello_extension(down[0].1, 43), Some(vec![3, 4]), "supported_versions: TLS 1.3");
    // After the hellos all is encrypted application data, but for a change_cipher_spec that means nothing.
    for (kind, _) in up[1..].iter().chain(&down[1..]) {
        assert!(matches!(kind, 20 | 23), "record type {kind}");
    }
    assert!(up.iter().chain(&down).filter(|(kind, _)| *kind == 23).count() > 4);
}

/// A pair with the recorder in the middle.
async fn recorded(mesh: &mut Mesh, app: SocketAddr, protocol: Option<Protocol>) -> (Sidecar, Sidecar, Tapes) {
    let server = mesh.server("cart", app);
    let (middle, tapes) = recorder(&mesh.tasks, server.inbound()).await;
    let endpoint = mesh.member(middle, "cart");
    mesh.service("cart", 80, protocol, vec![endpoint]);
    (mesh.client(&[("cart", 80)]), server, tapes)
}

fn check_all(tapes: &Tapes) {
    let tapes = tapes.lock().unwrap();
    assert!(!tapes.is_empty());
    for tape in tapes.iter() {
        check(&tape.lock().unwrap());
    }
}

#[tokio::test]
async fn http_between_sidecars_is_tls_1_3_only() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut mesh = Mesh::new();
        let app = peer(&mesh.tasks, |stream| async move {
            let service = hyper::service::service_fn(|request| async {
                Ok::<_, std::convert::Infallible>(echoed(request).await)
            });
            let io = hyper_util::rt::TokioIo::new(stream);
            let mut first = [0];
            // The preface of HTTP/2 begins with `PRI`, the request of the test with `POST`.
            let _ = io.inner().peek(&mut first).await;
            let mut start = [0; 3];
            let _ = io.inner().peek(&mut start).await;
            if &start == b"PRI" {
                let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
                let _ = builder.serve_connection(io, service).await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
            }
        })
        .await;
        let (client, _server, tapes) = recorded(&mut mesh, app, Some(protocol)).await;
        let request = http::Request::post(format!("/{MARKER}"))
            .header("host", "cart")
            .header("x-a", MARKER)
            .body(Full::from(MARKER));
        let (status, _, body) = fetch(&mesh.tasks, client.outbound(), request.unwrap()).await;
        assert_eq!((status, body.matches(MARKER).count()), (200, 3), "{body}");
        check_all(&tapes);
    }
}

#[tokio::test]
async fn opaque_bytes_between_sidecars_are_tls_1_3_only() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let (client, _server, tapes) = recorded(&mut mesh, app, Some(Protocol::Tcp)).await;
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(MARKER.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = String::new();
    soon(stream.read_to_string(&mut got)).await.unwrap();
    assert_eq!(got, MARKER);
    check_all(&tapes);
}
