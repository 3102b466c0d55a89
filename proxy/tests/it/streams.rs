//! Routes of connections.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::host::HostPattern;
use mesh_model::name::{Name, ServiceName};
use mesh_model::route::{Backend, BackendTarget, ParentRef};
use mesh_model::stream::{StreamId, StreamKind, StreamRoute};
use mesh_proto::convert::ModelResource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

/// A route on port 5432 of `shop/db`.
fn stream_route(mesh: &mut Mesh, kind: StreamKind, name: &str, hosts: &[&str], backends: Vec<Backend>) {
    mesh.services.push(ModelResource::Stream(StreamRoute {
        id: StreamId { kind, name: Name::new("shop", name).unwrap() },
        parents: vec![ParentRef { service: ServiceName::new("shop", "db").unwrap(), port: None }],
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        rule: None,
        backends,
        created: 0,
        origin: String::new(),
    }));
}

fn to(name: &str, weight: u32) -> Backend {
    let target = BackendTarget::Service { service: ServiceName::new("shop", name).unwrap(), port: 5432 };
    Backend { target, weight, filters: vec![] }
}

/// Services `db` and `next`, each with a member that answers a first byte with the letter of its service.
async fn two(mesh: &mut Mesh) -> Vec<Sidecar> {
    let mut sidecars = Vec::new();
    for (name, letter) in [("db", b"d"), ("next", b"n")] {
        let app = peer(&mesh.tasks, move |mut stream| async move {
            if stream.read_u8().await.is_ok() {
                let _ = stream.write_all(letter).await;
                let _ = stream.shutdown().await;
                // What is left unread would make the end a reset.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        })
        .await;
        let server = mesh.server(name, app);
        let endpoint = mesh.member(server.inbound(), name);
        mesh.service(name, 5432, None, vec![endpoint]);
        sidecars.push(server);
    }
    sidecars
}

/// Sends these bytes and gives what comes back.
async fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Either may fail where the connection is refused.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _ = soon(stream.read_to_end(&mut all)).await;
    String::from_utf8(all).unwrap()
}

/// The first bytes of a TLS client that asks for that name.
fn hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_tcp_route_moves_connections_and_what_they_say_is_not_read() {
    let mut mesh = Mesh::new();
    let _servers = two(&mut mesh).await;
    stream_route(&mut mesh, StreamKind::Tcp, "r", &[], vec![to("db", 0), to("next", 1)]);
    let client = mesh.client(&[("db", 5432)]);
    for bytes in [&b"\x00\x01"[..], b"GET / HTTP/1.1\r\nhost: db\r\n\r\n"] {
        assert_eq!(answer(client.outbound(), bytes).await, "n", "{bytes:?}");
    }
    client.counts(&["mesh_requests_total", "tcp", "mtls", "outbound", "tcproute/shop/r#0"], 2.0).await;
}

#[tokio::test]
async fn shares_are_those_of_connections() {
    let mut mesh = Mesh::new();
    let _servers = two(&mut mesh).await;
    stream_route(&mut mesh, StreamKind::Tcp, "r", &[], vec![to("db", 1), to("next", 1)]);
    let client = mesh.client(&[("db", 5432)]);
    let mut all = String::new();
    for _ in 0..64 {
        all += &answer(client.outbound(), b"x").await;
    }
    let (db, next) = (all.matches('d').count(), all.matches('n').count());
    // One in 10^19 that one side gets none.
    assert!(db > 0 && next > 0 && db + next == 64, "{db} and {next}");
}

#[tokio::test]
async fn a_share_that_leads_nowhere_is_refused_and_counted() {
    for (backends, failure) in [
        (vec![to("db", 0)], "no_backend"),
        (
            vec![Backend {
                target: BackendTarget::Invalid { reference: "x".into(), reason: "y".into() },
                weight: 1,
                filters: vec![],
            }],
            "backend_invalid",
        ),
    ] {
        let mut mesh = Mesh::new();
        let _servers = two(&mut mesh).await;
        stream_route(&mut mesh, StreamKind::Tcp, "r", &[], backends);
        let client = mesh.client(&[("db", 5432)]);
        assert_eq!(answer(client.outbound(), b"x").await, "");
        client.counts(&["mesh_requests_total", "tcp", failure], 1.0).await;
    }
}

#[tokio::test]
async fn a_tls_route_goes_by_the_name_that_is_asked_for() {
    let mut mesh = Mesh::new();
    let _servers = two(&mut mesh).await;
    stream_route(&mut mesh, StreamKind::Tls, "exact", &["a.db.example"], vec![to("db", 1)]);
    stream_route(&mut mesh, StreamKind::Tls, "wild", &["*.db.example"], vec![to("next", 1)]);
    let client = mesh.client(&[("db", 5432)]);
    let rows = [
        (hello("a.db.example"), "d"),
        (hello("b.db.example"), "n"),
        (hello("db.example"), ""),
        (b"\x00 no tls".to_vec(), ""),
    ];
    for (bytes, letter) in rows {
        assert_eq!(answer(client.outbound(), &bytes).await, letter);
    }
    client.counts(&["mesh_requests_total", "tcp", "no_route"], 2.0).await;
}

#[tokio::test]
async fn a_name_that_comes_byte_by_byte_is_read_whole() {
    let mut mesh = Mesh::new();
    let _servers = two(&mut mesh).await;
    stream_route(&mut mesh, StreamKind::Tls, "wild", &["*.db.example"], vec![to("next", 1)]);
    let client = mesh.client(&[("db", 5432)]);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in hello("b.db.example") {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut all = Vec::new();
    soon(stream.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all, b"n");
}
