//! Routes of connections.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::access_log::{AccessLog, LogSink};
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
    Backend { target, weight, filters: vec![], takes: vec![] }
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

/// Sends these bytes and gives what comes back, whatever the end is.
async fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    outcome(address, bytes).await.unwrap_or_default()
}

/// The same, or how the connection was refused. The reset may come before the connect or the write has returned.
async fn outcome(address: SocketAddr, bytes: &[u8]) -> Result<String, ErrorKind> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        let mut all = Vec::new();
        soon(stream.read_to_end(&mut all)).await?;
        Ok(String::from_utf8(all).unwrap())
    };
    exchange.await.map_err(|error: std::io::Error| error.kind())
}

/// Whether a refused connection looks like one: a reset, or a write that came after it.
fn is_reset(outcome: &Result<String, ErrorKind>) -> bool {
    matches!(outcome, Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

fn invalid(weight: u32) -> Backend {
    let target = BackendTarget::Invalid { reference: "x".into(), reason: "y".into() };
    Backend { target, weight, filters: vec![], takes: vec![] }
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
    for (backends, failure) in [(vec![to("db", 0)], "no_backend"), (vec![invalid(1)], "backend_invalid")] {
        let mut mesh = Mesh::new();
        let _servers = two(&mut mesh).await;
        stream_route(&mut mesh, StreamKind::Tcp, "r", &[], backends);
        let client = mesh.client(&[("db", 5432)]);
        let outcome = outcome(client.outbound(), b"x").await;
        assert!(is_reset(&outcome), "{outcome:?}");
        client.counts(&["mesh_requests_total", "tcp", failure], 1.0).await;
    }
}

#[tokio::test]
async fn the_share_of_an_invalid_backend_does_not_move_to_the_others() {
    let mut mesh = Mesh::new();
    let _servers = two(&mut mesh).await;
    stream_route(&mut mesh, StreamKind::Tcp, "r", &[], vec![to("next", 1), invalid(1)]);
    let client = mesh.client(&[("db", 5432)]);
    let (mut carried, mut refused) = (0_u32, 0_u32);
    for _ in 0..64 {
        match outcome(client.outbound(), b"x").await {
            Ok(text) if text == "n" => carried += 1,
            outcome if is_reset(&outcome) => refused += 1,
            outcome => panic!("{outcome:?}"),
        }
    }
    assert!(carried > 0 && refused > 0, "{carried} and {refused}");
    let route = "tcproute/shop/r#0";
    client.counts(&["mesh_requests_total", "tcp", route, "backend_invalid"], refused.into()).await;
    client.counts(&["mesh_requests_total", "tcp", route], 64.0).await;
}

#[tokio::test]
async fn weights_are_kept_over_many_connections() {
    let mut mesh = Mesh::new();
    let _servers = two(&mut mesh).await;
    stream_route(&mut mesh, StreamKind::Tcp, "r", &[], vec![to("db", 9), to("next", 1)]);
    let client = mesh.client(&[("db", 5432)]);
    let mut next = 0;
    for _ in 0..200 {
        match answer(client.outbound(), b"x").await.as_str() {
            "d" => {}
            "n" => next += 1,
            other => panic!("{other:?}"),
        }
    }
    // 20 is expected; one run in 10^9 has none, and none has more than three times as many.
    assert!((1..=60).contains(&next), "{next}");
}

#[tokio::test]
async fn a_server_speaks_first_behind_a_route() {
    for (weights, greeting) in [([100, 0], "d ready"), ([0, 100], "n ready")] {
        let mut mesh = Mesh::new();
        let mut servers = Vec::new();
        for (name, greeting) in [("db", "d ready"), ("next", "n ready")] {
            let app = peer(&mesh.tasks, move |mut stream| async move {
                stream.write_all(greeting.as_bytes()).await.unwrap();
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            })
            .await;
            let server = mesh.server(name, app);
            let endpoint = mesh.member(server.inbound(), name);
            mesh.service(name, 5432, None, vec![endpoint]);
            servers.push(server);
        }
        let backends = vec![to("db", weights[0]), to("next", weights[1])];
        stream_route(&mut mesh, StreamKind::Tcp, "r", &[], backends);
        let client = mesh.client(&[("db", 5432)]);
        let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
        let mut got = vec![0; greeting.len()];
        soon(stream.read_exact(&mut got)).await.unwrap();
        assert_eq!(got, greeting.as_bytes());
    }
}

#[tokio::test]
async fn a_connect_tunnel_is_a_connection_to_the_port() {
    let mut mesh = Mesh::new();
    let _servers = two(&mut mesh).await;
    stream_route(&mut mesh, StreamKind::Tcp, "r", &[], vec![to("next", 1)]);
    let client = mesh.client(&[]);
    let mut stream = TcpStream::connect(client.proxy()).await.unwrap();
    stream.write_all(b"CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n\r\n").await.unwrap();
    let mut head = vec![0; 19];
    soon(stream.read_exact(&mut head)).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    let mut all = Vec::new();
    soon(stream.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all, b"n");
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
        (hello("C.B.DB.EXAMPLE"), "n"),
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

#[tokio::test]
async fn the_name_that_was_asked_for_is_in_the_log_and_in_no_metric() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut mesh = Mesh::new();
    let sink = LogSink::File(path.to_str().unwrap().to_owned());
    mesh.settings.access_log = Some(AccessLog { sink, ..AccessLog::default() });
    let _servers = two(&mut mesh).await;
    stream_route(&mut mesh, StreamKind::Tls, "logged", &["*.logged.example"], vec![to("next", 1)]);
    let client = mesh.client(&[("db", 5432)]);
    assert_eq!(answer(client.outbound(), &hello("a.logged.example")).await, "n");
    assert_eq!(answer(client.outbound(), &hello("logged.example")).await, "");
    let is_logged = |parts: &[&str]| {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    let carried = [
        "\"sni\":\"a.logged.example\"",
        "\"route\":\"tlsroute/shop/logged#0\"",
        "\"side\":\"outbound\"",
        "\"protocol\":\"tcp\"",
    ];
    let refused = ["\"sni\":\"logged.example\"", "\"failure\":\"no_route\"", "\"side\":\"outbound\""];
    until(|| std::future::ready(is_logged(&carried) && is_logged(&refused))).await;
    client.counts(&["mesh_requests_total", "tlsroute/shop/logged#0"], 1.0).await;
    assert!(!client.metrics().await.contains("logged.example"));
}
