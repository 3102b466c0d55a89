//! Who gets in without mutual TLS: by workload and port, and what becomes of open connections when that changes.

use std::collections::BTreeMap;

use mesh_model::authentication::{Authentication, MtlsRule};
use mesh_model::endpoint::{Endpoint, Transport};
use mesh_model::settings::MtlsMode::{self, Disabled, Permissive, Strict};
use mesh_proto::convert::ModelResource;
use mesh_proxy::config::InboundListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n";
const GET_ONCE: &[u8] = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";

fn said(mode: MtlsMode, ports: &[(u16, MtlsMode)]) -> ModelResource {
    let rule = |mode| MtlsRule { mode, source: "AuthenticationPolicy shop/p".to_owned() };
    let ports: BTreeMap<_, _> = ports.iter().map(|(port, mode)| (*port, rule(*mode))).collect();
    ModelResource::Authentication(Authentication { mtls: rule(mode), ports, jwt: None })
}

/// The sidecar's configuration becomes the mesh's with this.
fn tell(mesh: &Mesh, server: &mut Sidecar, said: ModelResource) {
    let mut all = mesh.resources();
    all.push(said);
    server.control.replace(all);
}

/// Whether plaintext gets an answer there.
async fn open(address: std::net::SocketAddr) -> bool {
    ask(address, GET_ONCE).await.ends_with(b"hello")
}

#[tokio::test]
async fn the_mode_of_a_port_counts_before_the_workloads_and_that_before_the_meshs() {
    let mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let mut server = mesh.server_with(mesh.ca.identity("shop", "cart"), "cart", app, |config| {
        config.inbound.push(InboundListener { listen: any_port(), app });
    });
    let [one, other] = [server.running.addrs.inbound[0], server.running.addrs.inbound[1]];
    assert_eq!((open(one).await, open(other).await), (false, false), "the mesh is strict");
    for (said, expected) in [
        (said(Permissive, &[]), (true, true)),
        (said(Permissive, &[(one.port(), Strict)]), (false, true)),
        (said(Strict, &[(one.port(), Disabled)]), (true, false)),
        (said(Strict, &[]), (false, false)),
    ] {
        tell(&mesh, &mut server, said);
        until(|| async { (open(one).await, open(other).await) == expected }).await;
    }
}

#[tokio::test]
async fn where_mutual_tls_is_disabled_who_comes_with_it_is_let_in_as_who_it_is_and_a_caller_that_is_told_uses_none()
 {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let mut server = mesh.server("cart", app);
    tell(&mesh, &mut server, said(Disabled, &[]));
    let not_told = mesh.member(server.inbound(), "cart");
    let told = Endpoint { transport: Transport::Plain, ..not_told.clone() };
    mesh.service("cart", 80, None, vec![not_told]);
    mesh.service("told", 80, None, vec![told]);
    let client = mesh.client(&[("cart", 80), ("told", 80)]);
    let [cart, told] = [client.running.addrs.outbound[0], client.running.addrs.outbound[1]];
    assert_eq!(fetch(&mesh.tasks, cart, get("cart", "/")).await.0, 200);
    server.counts(&["mesh_requests_total", "inbound", "mtls", "200"], 1.0).await;
    assert_eq!(fetch(&mesh.tasks, told, get("told", "/")).await.0, 200);
    server.counts(&["mesh_requests_total", "inbound", "plaintext", "200"], 1.0).await;
}

#[tokio::test]
async fn a_caller_that_expects_an_identity_never_falls_back_to_plaintext() {
    let mut mesh = Mesh::new();
    let (sender, mut seen) = tokio::sync::mpsc::channel(64);
    let plain = peer(&mesh.tasks, move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut bytes = vec![0; 1024];
            let n = stream.read(&mut bytes).await.unwrap_or(0);
            let _ = sender.try_send(bytes[..n].to_vec());
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let endpoint = mesh.member(plain, "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client(&[("cart", 80)]);
    let (status, failure, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure.as_str()), (503, "tls_failed"), "{body}");
    let first = seen.recv().await.unwrap();
    let mut all = vec![first];
    while let Ok(more) = seen.try_recv() {
        all.push(more);
    }
    assert!(
        all.iter().all(|bytes| bytes.first() == Some(&0x16)),
        "something else than a TLS handshake: {all:?}"
    );
}

/// An application of which `/bytes` changes the protocol, and that answers everything else at once.
async fn switching(mesh: &Mesh) -> std::net::SocketAddr {
    peer(&mesh.tasks, |mut stream| async move {
        let mut head = vec![];
        while let Ok(byte) = stream.read_u8().await {
            head.push(byte);
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            let switch = head.starts_with(b"GET /bytes");
            head.clear();
            let answer: &[u8] = if switch {
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
            };
            if stream.write_all(answer).await.is_err() {
                return;
            }
            if switch {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                return;
            }
        }
    })
    .await
}

async fn asks(stream: &mut TcpStream, request: &[u8], end: &[u8]) {
    stream.write_all(request).await.unwrap();
    let mut got = vec![];
    soon(async {
        while !got.ends_with(end) {
            got.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
}

/// Waits for the end of a connection.
async fn ended(mut stream: TcpStream) {
    let mut rest = vec![];
    // A reset is an end like another.
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn when_a_port_becomes_strict_open_plaintext_ends_and_mutual_tls_goes_on() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = Permissive;
    let http = switching(&mesh).await;
    let greeter = peer(&mesh.tasks, |mut stream| async move {
        let _ = stream.write_all(b"220 ready\r\n").await;
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let mut server = mesh.server_with(mesh.ca.identity("shop", "cart"), "cart", http, |config| {
        config.inbound.push(InboundListener { listen: any_port(), app: greeter });
    });
    let [at_http, at_greeter] = [server.running.addrs.inbound[0], server.running.addrs.inbound[1]];
    let endpoint = mesh.member(at_http, "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client(&[("cart", 80)]);
    let mut mtls = http1(&mesh.tasks, client.outbound()).await;
    assert_eq!(text(soon(mtls.send_request(get("cart", "/"))).await.unwrap()).await, "hello");

    let mut idle = TcpStream::connect(at_http).await.unwrap();
    asks(&mut idle, GET, b"hello").await;
    let mut switched = TcpStream::connect(at_http).await.unwrap();
    let upgrade = b"GET /bytes HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    asks(&mut switched, upgrade, b"\r\n\r\n").await;
    asks(&mut switched, b"ping", b"ping").await;
    let mut greeted = TcpStream::connect(at_greeter).await.unwrap();
    asks(&mut greeted, b"", b"ready\r\n").await;

    let kept = said(Permissive, &[(at_http.port(), Disabled)]);
    tell(&mesh, &mut server, kept);
    asks(&mut idle, GET, b"hello").await;
    asks(&mut switched, b"pong", b"pong").await;
    server.counts(&["plaintext_cut"], 0.0).await;

    tell(&mesh, &mut server, said(Permissive, &[(at_http.port(), Strict)]));
    ended(idle).await;
    ended(switched).await;
    server.counts(&["plaintext_cut"], 2.0).await;
    asks(&mut greeted, b"still", b"still").await;
    tell(&mesh, &mut server, said(Strict, &[]));
    ended(greeted).await;
    server.counts(&["plaintext_cut"], 3.0).await;
    mtls.ready().await.unwrap();
    assert_eq!(text(soon(mtls.send_request(get("cart", "/"))).await.unwrap()).await, "hello");
    server.counts(&["mesh_connections_total", "inbound"], 4.0).await;
}
