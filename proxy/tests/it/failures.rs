//! What the mesh answers when it cannot do what was asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use http_body_util::Full;
use mesh_model::endpoint::{Endpoint, Transport};
use mesh_model::route::Timeouts;
use mesh_model::settings::OutboundMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::harness::*;

/// An address on which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_passed_over() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let server = mesh.server("cart", app);
    let endpoints = vec![mesh.member(nobody().await, "cart"), mesh.member(server.inbound(), "cart")];
    mesh.service("cart", 80, None, endpoints);
    let client = mesh.client(&[("cart", 80)]);
    for _ in 0..20 {
        let (status, failure, _) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
        assert_eq!((status, failure.as_str()), (200, ""));
    }
}

#[tokio::test]
async fn a_service_without_reachable_endpoints_is_503() {
    let mut mesh = Mesh::new();
    let endpoint = mesh.member(nobody().await, "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    mesh.service("empty", 80, None, vec![]);
    let client = mesh.client(&[("cart", 80), ("empty", 80), ("cart", 81)]);
    for (listener, want) in [(0, "connect_failed"), (1, "no_endpoints"), (2, "no_endpoints")] {
        let (status, failure, body) =
            fetch(&mesh.tasks, client.running.addrs.outbound[listener], get("x", "/")).await;
        assert_eq!((status, failure.as_str()), (503, want), "{body}");
    }
}

#[tokio::test]
async fn the_application_behind_the_server_sidecar_may_be_down() {
    let mut mesh = Mesh::new();
    let app = nobody().await;
    let (client, _server) = mesh.pair(app, None);
    let (status, failure, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure.as_str()), (503, "connect_failed"), "{body}");
    assert!(body.contains("the application"), "{body}");
}

#[tokio::test]
async fn a_rule_timeout_is_504() {
    let mut mesh = Mesh::new();
    let app = origin(&mesh.tasks, |_| std::future::pending()).await;
    let server = mesh.server("slow", app);
    let endpoint = mesh.member(server.inbound(), "slow");
    mesh.service("slow", 80, None, vec![endpoint]);
    mesh.service("cart", 80, None, vec![]);
    let short =
        |timeouts| mesh_model::route::Rule { timeouts, ..rule("/", vec![], vec![backend("slow", 1)]) };
    let limit = Some(Duration::from_millis(100));
    for (timeouts, code) in [
        (Timeouts { request: limit, backend_request: None }, "request_timeout"),
        (Timeouts { request: Some(Duration::from_mins(1)), backend_request: limit }, "attempt_timeout"),
    ] {
        mesh.route("cart", vec![short(timeouts)]);
        let client = mesh.client(&[("cart", 80)]);
        let (status, failure, _) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
        assert_eq!((status, failure.as_str()), (504, code));
        mesh.services.pop();
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_or_talks_nonsense_is_502() {
    for (says, want) in [(&b""[..], "upstream_reset"), (&b"nonsense\r\n\r\n"[..], "upstream_protocol")] {
        let mut mesh = Mesh::new();
        let app = peer(&mesh.tasks, move |mut stream| async move {
            let mut head = vec![0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(says).await;
        })
        .await;
        let (client, _server) = mesh.pair(app, None);
        let (status, failure, _) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
        assert_eq!((status, failure.as_str()), (502, want));
    }
}

#[tokio::test]
async fn unknown_hosts_pass_or_not_as_the_mesh_config_says() {
    let mut mesh = Mesh::new();
    let outside = says(&mesh.tasks, "outside").await;
    let host = outside.to_string();
    for (mode, status, failure) in
        [(OutboundMode::AllowAny, 200, ""), (OutboundMode::RegistryOnly, 502, "unknown_destination")]
    {
        mesh.settings.outbound_mode = mode;
        let client = mesh.client(&[]);
        let got = fetch(&mesh.tasks, client.proxy(), get(&host, "/")).await;
        assert_eq!((got.0, got.1.as_str()), (status, failure), "{}", got.2);
        let (status, failure, _) = fetch(&mesh.tasks, client.proxy(), get("cart.shop.svc", "/")).await;
        assert_eq!((status, failure.as_str()), (502, "unknown_destination"));
    }
}

#[tokio::test]
async fn connect_to_a_host_outside_passes_its_bytes() {
    let mut mesh = Mesh::new();
    mesh.settings.outbound_mode = OutboundMode::AllowAny;
    let outside = peer(&mesh.tasks, |mut stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let client = mesh.client(&[]);
    let mut stream = TcpStream::connect(client.proxy()).await.unwrap();
    stream
        .write_all(format!("CONNECT {outside} HTTP/1.1\r\nhost: {outside}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut head = vec![0; 19];
    soon(stream.read_exact(&mut head)).await.unwrap();
    stream.write_all(b"\x16\x03\x01 like tls").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = vec![];
    soon(stream.read_to_end(&mut got)).await.unwrap();
    assert_eq!(got, b"\x16\x03\x01 like tls");
    client.counts(&["mesh_requests_total", "tcp", "plaintext"], 1.0).await;
}

#[tokio::test]
async fn a_request_to_the_proxy_itself_does_not_go_round() {
    let mut mesh = Mesh::new();
    mesh.settings.outbound_mode = OutboundMode::AllowAny;
    let client = mesh.client(&[]);
    let (status, failure, _) =
        fetch(&mesh.tasks, client.proxy(), get(&client.proxy().to_string(), "/")).await;
    assert_eq!((status, failure.as_str()), (400, "bad_request"));
}

#[tokio::test]
async fn a_malformed_request_is_400_and_on_record() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, _server) = mesh.pair(app, None);
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
    ] {
        let answer = String::from_utf8(ask(client.outbound(), request.as_bytes()).await).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains("x-mesh-failure: bad_request"),
            "{answer}"
        );
    }
    client.counts(&["mesh_requests_total", "bad_request"], 2.0).await;
}

/// An application that answers once it is let go, and how many requests it has.
async fn held(mesh: &Mesh) -> (SocketAddr, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
    let (held, count) = (Arc::clone(&gate), Arc::clone(&seen));
    let app = origin(&mesh.tasks, move |_| {
        let held = Arc::clone(&held);
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            drop(held.acquire().await);
            Response::new(Full::from("done"))
        }
    })
    .await;
    (app, gate, seen)
}

#[tokio::test]
async fn beyond_the_bound_on_connections_to_an_endpoint_is_overload() {
    let mut mesh = Mesh::new();
    let (app, gate, seen) = held(&mesh).await;
    let endpoint = Endpoint { transport: Transport::Plain, ..mesh.member(app, "cart") };
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client_with(&[("cart", 80)], |config| config.limits.connections_per_endpoint = 1);
    let mut first = http1(&mesh.tasks, client.outbound()).await;
    let first = first.send_request(get("cart", "/"));
    let second = async {
        until(|| async { seen.load(Ordering::SeqCst) == 1 }).await;
        let second = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
        gate.add_permits(10);
        second
    };
    let (first, second) = tokio::join!(soon(first), soon(second));
    assert_eq!((second.0, second.1.as_str()), (503, "overload"));
    assert_eq!(text(first.unwrap()).await, "done");
    client.counts(&["overload", "mesh_requests_total"], 1.0).await;
}

#[tokio::test]
async fn requests_of_http1_share_one_connection_between_sidecars_and_have_their_own_beyond_its_bound() {
    for (streams, connections) in [(100, 1.0), (1, 3.0)] {
        let mut mesh = Mesh::new();
        let (app, gate, seen) = held(&mesh).await;
        let server = mesh.server("cart", app);
        let endpoint = mesh.member(server.inbound(), "cart");
        mesh.service("cart", 80, None, vec![endpoint]);
        let client =
            mesh.client_with(&[("cart", 80)], |config| config.limits.streams_per_connection = streams);
        let mut clients = vec![];
        for _ in 0..3 {
            clients.push(http1(&mesh.tasks, client.outbound()).await);
        }
        let asked = clients.iter_mut().map(|client| client.send_request(get("cart", "/")));
        let all = async {
            until(|| async { seen.load(Ordering::SeqCst) == 3 }).await;
            gate.add_permits(10);
        };
        let (answers, ()) = tokio::join!(soon(futures_util::future::join_all(asked)), soon(all));
        for answer in answers {
            assert_eq!(text(answer.unwrap()).await, "done");
        }
        server.counts(&["mesh_connections_total", "inbound"], connections).await;
    }
}

#[tokio::test]
async fn beyond_the_bound_on_accepted_connections_they_wait() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client_with(&[("cart", 80)], |config| config.limits.connections = 1);
    let mut first = http1(&mesh.tasks, client.outbound()).await;
    assert_eq!(text(soon(first.send_request(get("cart", "/"))).await.unwrap()).await, "hello");
    let mut second = http1(&mesh.tasks, client.outbound()).await;
    let second = second.send_request(get("cart", "/"));
    let release = async {
        client.counts(&["connection_limit"], 1.0).await;
        drop(first);
    };
    let (second, ()) = tokio::join!(soon(second), release);
    assert_eq!(text(second.unwrap()).await, "hello");
}
