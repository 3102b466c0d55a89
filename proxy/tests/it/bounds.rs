//! Bounds of the circuit breaker on connections, on what waits for one and on streams; and how long a connect may take.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_model::service::Protocol;
use mesh_model::traffic::{Algorithm, Balancing, CircuitBreaker, TrafficSettings};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::*;
use crate::policies::*;

/// Far longer than a test may take: what it bounds does not end what the test looks at.
const NEVER: Duration = Duration::from_hours(1);

fn breaker(settings: &mut TrafficSettings, breaker: CircuitBreaker) {
    settings.circuit_breaker = Some(breaker);
}

fn turns(settings: &mut TrafficSettings) {
    settings.balancing = Some(Balancing { algorithm: Algorithm::RoundRobin, ..Balancing::default() });
}

/// As [`cart`], over HTTP/2.
fn cart_http2(mesh: &mut Mesh, endpoints: &[SocketAddr], edit: impl FnOnce(&mut TrafficSettings)) -> Sidecar {
    mesh.service("cart", 80, Some(Protocol::Http2), endpoints.iter().map(|at| plain(*at)).collect());
    mesh.services.push(policy("cart", edit));
    mesh.client(&[("cart", 80)])
}

/// A request whose answer nobody waits for.
async fn hold(mesh: &Mesh, client: &Sidecar) {
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    mesh.tasks.spawn("held", async move { drop(sender.send_request(get("cart", "/")).await) });
}

/// A listener whose backlog is full: a connect to it gets no answer. Keep what is given.
async fn deaf() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(any_port()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut taken = vec![];
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await
    {
        taken.push(stream.unwrap());
    }
    (address, listener, taken)
}

#[tokio::test]
async fn one_connection_too_many_is_refused_at_once_and_said() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![hangs()]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        breaker(s, CircuitBreaker { connections: Some(1), ..CircuitBreaker::default() });
    });
    hold(&mesh, &client).await;
    until(|| async { app.hits() == 1 }).await;
    let (status, headers, body) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure(&headers), app.hits()), (503, "circuit_open", 1));
    assert!(body.contains("circuitBreaker.maxConnections"), "{body}");
    client.counts(&["mesh_events", "\"circuit_open\""], 1.0).await;
}

#[tokio::test]
async fn a_connection_that_waits_makes_way_for_one_to_another_endpoint() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut mesh = Mesh::new();
        let apps =
            [scripted(&mesh.tasks, vec![line(200)]).await, scripted(&mesh.tasks, vec![line(200)]).await];
        let addresses = [apps[0].address, apps[1].address];
        let bound = |s: &mut TrafficSettings| {
            turns(s);
            breaker(s, CircuitBreaker { connections: Some(1), ..CircuitBreaker::default() });
        };
        let client = match protocol {
            Protocol::Http2 => cart_http2(&mut mesh, &addresses, bound),
            _ => cart(&mut mesh, &addresses, bound),
        };
        for _ in 0..10 {
            assert_eq!(status(&mesh, &client).await, 200, "{protocol:?}");
        }
        assert_eq!([apps[0].hits(), apps[1].hits()], [5, 5]);
    }
}

#[tokio::test]
async fn one_request_too_many_that_would_wait_for_a_connection_is_refused() {
    let mut mesh = Mesh::new();
    let (address, _listener, _taken) = deaf().await;
    mesh.service("cart", 80, None, vec![plain(address)]);
    mesh.services.push(policy("cart", |s| {
        breaker(s, CircuitBreaker { pending: Some(1), ..CircuitBreaker::default() });
        s.connect_timeout = Some(NEVER);
    }));
    let client = mesh.client(&[("cart", 80)]);
    // One of both waits; which one is not known.
    let ask = || exchange(&mesh, client.outbound(), get("cart", "/"));
    let (status, headers, body) = soon(async {
        tokio::select! { answer = ask() => answer, answer = ask() => answer }
    })
    .await;
    assert_eq!((status, failure(&headers)), (503, "circuit_open"));
    assert!(body.contains("circuitBreaker.maxPendingRequests"), "{body}");
}

#[tokio::test]
async fn one_stream_too_many_goes_to_another_endpoint_and_is_refused_without_one() {
    let mut mesh = Mesh::new();
    let apps = [scripted(&mesh.tasks, vec![hangs()]).await, scripted(&mesh.tasks, vec![hangs()]).await];
    let client = cart_http2(&mut mesh, &[apps[0].address, apps[1].address], |s| {
        turns(s);
        breaker(s, CircuitBreaker { streams: Some(1), ..CircuitBreaker::default() });
    });
    let hits = || apps[0].hits() + apps[1].hits();
    for n in 1..=2 {
        hold(&mesh, &client).await;
        until(|| async { hits() == n }).await;
    }
    let (status, headers, body) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure(&headers), hits()), (503, "circuit_open", 2));
    assert!(body.contains("circuitBreaker.maxStreamsPerConnection"), "{body}");
    assert_eq!([apps[0].hits(), apps[1].hits()], [1, 1]);
}

#[tokio::test]
async fn a_policy_says_how_long_a_connect_may_take() {
    for protocol in [None, Some(Protocol::Http2)] {
        let mut mesh = Mesh::new();
        let (address, _listener, _taken) = deaf().await;
        mesh.service("cart", 80, protocol, vec![plain(address)]);
        mesh.services.push(policy("cart", |s| s.connect_timeout = Some(Duration::from_millis(50))));
        let client = mesh.client_with(&[("cart", 80)], |config| config.timeouts.connect = NEVER);
        let (status, headers, _) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
        assert_eq!((status, failure(&headers)), (504, "connect_timeout"), "{protocol:?}");
    }
}
