//! T41: nobody here speaks the PROXY protocol. Its header is refused where HTTP or TLS is meant, and bytes like others where bytes are; the address
//! in it is never anybody's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mesh_model::name::Name;
use mesh_model::policy::{Action, AuthorizationPolicy, CallerLists, Callers, Cidr, Rule, Scope};
use mesh_model::service::Protocol;
use mesh_model::settings::{MtlsMode, OutboundMode};
use mesh_proto::convert::ModelResource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const REQUEST: &[u8] = b"GET /behind HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";

/// Version 2: command and version, family, what follows; the length as it is or as somebody claims.
fn v2(command: u8, family: u8, body: &[u8], claimed: Option<u16>) -> Vec<u8> {
    let length = claimed.unwrap_or(u16::try_from(body.len()).unwrap());
    [SIGNATURE, &[0x20 | command, family], &length.to_be_bytes(), body].concat()
}

/// Headers that say that 10.9.9.9 calls, or that are broken in ways that parsers stumbled over.
fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let addresses = [10, 9, 9, 9, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
    let with = |more: &[u8]| [&addresses[..], more].concat();
    vec![
        ("v1", b"PROXY TCP4 10.9.9.9 10.0.0.1 4660 80\r\n".to_vec()),
        ("v1 of IPv6", b"PROXY TCP6 ::ffff:10.9.9.9 ::1 4660 80\r\n".to_vec()),
        ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec()),
        ("v1 too long", [&b"PROXY TCP4 "[..], &b"1".repeat(200), b"\r\n"].concat()),
        ("v1 without an end", b"PROXY TCP4 10.9.9.9 10.0.0.1 4660 80\n".to_vec()),
        ("v2", v2(1, 0x11, &addresses, None)),
        ("v2 local", v2(0, 0, &[], None)),
        ("v2 with a TLV", v2(1, 0x11, &with(&[0x02, 0, 3, b'a', b'b', b'c']), None)),
        ("v2 with a TLV that is longer than the header", v2(1, 0x11, &with(&[0x02, 0xff, 0xff, b'a']), None)),
        ("v2 shorter than its addresses", v2(1, 0x11, &addresses[..4], None)),
        ("v2 that claims more than comes", v2(1, 0x11, &addresses, Some(0xffff))),
        ("v2 of a family that is none", v2(1, 0xff, &addresses, None)),
        ("v2 twice", [v2(1, 0x11, &addresses, None), v2(1, 0x11, &addresses, None)].concat()),
    ]
}

/// An application that keeps what it gets, by connection, and answers nothing.
async fn recorder(mesh: &Mesh) -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let seen: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let keep = Arc::clone(&seen);
    let address = peer(&mesh.tasks, move |mut stream| {
        let keep = Arc::clone(&keep);
        async move {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await;
            keep.lock().unwrap().push(all);
        }
    })
    .await;
    (address, seen)
}

/// Sends all and says that no more comes; gives what is answered.
async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be refused before all of it is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Only who is at 10.9.9.9 may call.
fn only_the_claimed() -> ModelResource {
    let cidrs = vec![Cidr::parse("10.9.9.9").unwrap()];
    let from = vec![Callers { fits: CallerLists { cidrs, ..CallerLists::default() }, ..Callers::default() }];
    ModelResource::Authorization(AuthorizationPolicy {
        name: Name::new("shop", "claimed").unwrap(),
        action: Action::Allow,
        rules: vec![Rule { from, ..Rule::default() }],
        external: None,
        scope: Scope::All,
        refused: None,
        origin: "test.yaml:1".into(),
    })
}

#[tokio::test]
async fn the_address_in_a_proxy_header_lets_nobody_in() {
    for protocol in [Some(Protocol::Http1), Some(Protocol::Http2), Some(Protocol::Tcp), None] {
        let mut mesh = Mesh::new();
        mesh.settings.mtls_mode = MtlsMode::Permissive;
        let (app, seen) = recorder(&mesh).await;
        let (_client, mut server) = mesh.pair(app, protocol);
        let mut resources = mesh.resources();
        resources.push(only_the_claimed());
        server.control.replace(resources);
        // In force: who sends no header is refused too.
        until(|| async {
            let answer = say(server.inbound(), REQUEST).await;
            answer.is_empty() || answer.contains(" 403 ") || answer.contains(" 400 ")
        })
        .await;
        let before = seen.lock().unwrap().len();
        for (name, header) in headers() {
            let answer = say(server.inbound(), &[header.as_slice(), REQUEST].concat()).await;
            assert!(!answer.contains(" 200 "), "{name} at {protocol:?}: {answer}");
        }
        let after = seen.lock().unwrap();
        assert!(after.iter().skip(before).all(Vec::is_empty), "{protocol:?}: the application saw {after:?}");
    }
}

#[tokio::test]
async fn a_proxy_header_is_refused_where_http_is_meant_and_bytes_where_bytes_are() {
    for protocol in [Some(Protocol::Http1), Some(Protocol::Tcp), None] {
        let mut mesh = Mesh::new();
        mesh.settings.mtls_mode = MtlsMode::Permissive;
        mesh.settings.outbound_mode = OutboundMode::AllowAny;
        let (app, seen) = recorder(&mesh).await;
        let (client, server) = mesh.pair(app, protocol);
        for (name, header) in headers() {
            let sent = [header.as_slice(), REQUEST].concat();
            for (at, address) in [
                ("inbound", server.inbound()),
                ("outbound", client.outbound()),
                ("HTTP proxy", client.proxy()),
            ] {
                let what = format!("{name} at {at} of {protocol:?}");
                let opaque = at != "HTTP proxy" && protocol == Some(Protocol::Tcp);
                let answer = say(address, &sent).await;
                assert!(!answer.contains(" 200 "), "{what}: {answer}");
                until(|| async { !opaque || !seen.lock().unwrap().is_empty() }).await;
                // A called sidecar that is not told of its port guesses: what is no HTTP is bytes there.
                let http = at == "HTTP proxy" || (at == "outbound" && protocol == Some(Protocol::Http1));
                let all: Vec<Vec<u8>> = seen.lock().unwrap().drain(..).collect();
                for got in &all {
                    as_sent_or_nothing(got, &sent, (opaque, http), &what);
                }
            }
        }
    }
}

/// All of it as it was sent, or nothing: never the request without the header.
fn as_sent_or_nothing(got: &[u8], sent: &[u8], (opaque, http): (bool, bool), what: &str) {
    let shown = String::from_utf8_lossy(got);
    assert!(got.is_empty() || sent.starts_with(got), "{what}: {shown}");
    assert!(!opaque || got == sent, "{what}: {shown}");
    assert!(!http || got.is_empty(), "{what} passed");
}
