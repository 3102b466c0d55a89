//! Bounds: on bodies, on what is under way, on requests per time, on what the workload works on at once.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Response};
use http_body_util::Full;
use mesh_model::traffic::{
    AdaptiveConcurrency, BodyLimits, CircuitBreaker, RateKey, RateLimit, TrafficSettings,
};
use tokio::sync::Semaphore;

use crate::harness::*;
use crate::policies::*;

#[tokio::test]
async fn a_request_beyond_its_bound_is_413_before_and_while_it_comes() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        s.bodies = Some(BodyLimits { request: Some(4), response: None });
    });
    assert_eq!(exchange(&mesh, client.outbound(), request("POST", "1234")).await.0, 200);
    let (status, headers, _) = exchange(&mesh, client.outbound(), request("POST", "12345")).await;
    assert_eq!((status, failure(&headers), app.hits()), (413, "request_too_large", 1));
    let chunked = b"POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\n12345\r\n0\r\n\r\n";
    let answer = String::from_utf8(ask(client.outbound(), chunked).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_response_beyond_its_bound_is_not_passed_on() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "0123456789").await;
    let client = cart(&mut mesh, &[app], |s| {
        s.bodies = Some(BodyLimits { request: None, response: Some(9) });
    });
    let (status, headers, _) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure(&headers)), (502, "response_too_large"));
}

#[tokio::test]
async fn the_circuit_breaker_refuses_one_request_too_many_at_once() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![hangs()]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        s.circuit_breaker = Some(CircuitBreaker { requests: Some(2), ..CircuitBreaker::default() });
    });
    let mut held = vec![];
    for n in 1..=2 {
        let mut sender = http1(&mesh.tasks, client.outbound()).await;
        mesh.tasks.spawn("held", async move { drop(sender.send_request(get("cart", "/")).await) });
        until(|| async { app.hits() == n }).await;
        held.push(n);
    }
    let (status, headers, body) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure(&headers), app.hits()), (503, "circuit_open", 2));
    assert!(body.contains("circuitBreaker.maxRequests"), "{body}");
}

fn limit(name: &str, requests: u32, keys: Vec<RateKey>) -> RateLimit {
    RateLimit {
        name: name.into(),
        requests,
        per: Duration::from_hours(1),
        burst: requests,
        keys,
        headers: vec![],
    }
}

/// A client and a server sidecar of `cart` with this policy; `app` is behind.
async fn guarded(
    mesh: &mut Mesh,
    app: std::net::SocketAddr,
    edit: impl FnOnce(&mut TrafficSettings),
) -> (Sidecar, Sidecar) {
    let mut server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    mesh.services.push(policy("cart", edit));
    tell_own(mesh, &mut server);
    (mesh.client(&[("cart", 80)]), server)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_rate_limit_is_told_in_standard_headers() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let limits = vec![limit("hourly", 2, vec![])];
    let (client, server) = guarded(&mut mesh, app.address, |s| s.rate_limits = Some(limits)).await;
    for remaining in [1, 0] {
        let (status, headers, _) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
        assert_eq!(status, 200);
        assert_eq!(header(&headers, "ratelimit-policy"), "\"hourly\";q=2;w=3600");
        assert!(header(&headers, "ratelimit").starts_with(&format!("\"hourly\";r={remaining};t=")));
        assert_eq!(header(&headers, "retry-after"), "");
    }
    let (status, headers, body) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure(&headers), app.hits()), (429, "rate_limited", 2));
    let after: u64 = header(&headers, "retry-after").parse().unwrap();
    assert!((1..=1800).contains(&after), "{after}");
    assert!(body.contains("trafficpolicy/shop/cart"), "{body}");
    server.counts(&["mesh_requests_total", "failure=\"rate_limited\"", "status=\"429\""], 1.0).await;
    let (status, _) = call(&mesh, &client, None).await;
    assert_eq!(status, "8");
}

#[tokio::test]
async fn each_identity_and_each_header_value_has_its_own_bucket() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let limits = vec![limit("each", 1, vec![RateKey::ClientIdentity, RateKey::Header("x-user".into())])];
    let (client, _server) = guarded(&mut mesh, app.address, |s| s.rate_limits = Some(limits)).await;
    let other = mesh.client_as("other", &[("cart", 80)]);
    let as_user = |user: &str| {
        let mut request = get("cart", "/");
        request.headers_mut().insert("x-user", user.parse().unwrap());
        request
    };
    for (sidecar, user, want) in [
        (&client, "a", 200),
        (&client, "a", 429),
        (&client, "b", 200),
        (&other, "a", 200),
        (&other, "a", 429),
    ] {
        assert_eq!(exchange(&mesh, sidecar.outbound(), as_user(user)).await.0, want, "{user}");
    }
}

#[tokio::test]
async fn a_workload_at_its_bound_sheds_what_its_queue_has_no_room_for() {
    let mut mesh = Mesh::new();
    let room = Arc::new(Semaphore::new(0));
    let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (gate, count) = (Arc::clone(&room), Arc::clone(&begun));
    let app = origin(&mesh.tasks, move |_| {
        let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
        async move {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            Response::new(Full::from("done"))
        }
    })
    .await;
    let bound = AdaptiveConcurrency { min: 1, max: 1, tolerance: 2000, queue: 0 };
    let (client, server) = guarded(&mut mesh, app, |s| s.concurrency = Some(bound)).await;
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    let (done, first) = tokio::sync::oneshot::channel();
    mesh.tasks.spawn("first", async move {
        let response = sender.send_request(get("cart", "/")).await.unwrap();
        let _ = done.send(response.status().as_u16());
    });
    until(|| async { begun.load(std::sync::atomic::Ordering::SeqCst) == 1 }).await;
    let (status, headers, _) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure(&headers)), (503, "shed"));
    assert!(headers.get("x-mesh-unseen").is_none(), "that is between proxies");
    room.add_permits(1);
    assert_eq!(soon(first).await.unwrap(), 200);
    server.counts(&["mesh_events", "\"shed\""], 1.0).await;
}

#[tokio::test]
async fn the_bound_of_a_workload_follows_its_latency() {
    let mut mesh = Mesh::new();
    let pause = Arc::new(std::sync::atomic::AtomicU64::new(5));
    let millis = Arc::clone(&pause);
    let app = origin(&mesh.tasks, move |_| {
        let pause = Duration::from_millis(millis.load(std::sync::atomic::Ordering::SeqCst));
        async move {
            tokio::time::sleep(pause).await;
            Response::new(Full::from("done"))
        }
    })
    .await;
    // It begins with 20 at once, more than there ever will be.
    let bound = AdaptiveConcurrency { min: 1, max: 100, tolerance: 1500, queue: 0 };
    let (client, server) = guarded(&mut mesh, app, |s| s.concurrency = Some(bound)).await;
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    for _ in 0..100 {
        sender.ready().await.unwrap();
        let response = soon(sender.send_request(get("cart", "/"))).await.unwrap();
        assert_eq!(response.status(), 200);
        text(response).await;
    }
    pause.store(200, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..15 {
        let mut sender = http1(&mesh.tasks, client.outbound()).await;
        mesh.tasks.spawn("load", async move {
            while let Ok(response) = sender.send_request(get("cart", "/")).await {
                text(response).await;
            }
        });
    }
    until(|| async { server.count(&["mesh_events", "\"shed\""]).await >= 1.0 }).await;
}

#[tokio::test]
async fn what_was_shed_is_retried_elsewhere_though_it_is_a_post() {
    let mut mesh = Mesh::new();
    let stuck = scripted(&mesh.tasks, vec![hangs()]).await;
    let free = scripted(&mesh.tasks, vec![line(200)]).await;
    let bound = AdaptiveConcurrency { min: 1, max: 1, tolerance: 2000, queue: 0 };
    let mut servers = [mesh.server("cart", stuck.address), mesh.server("cart", free.address)];
    let endpoints = servers.iter().map(|server| mesh.member(server.inbound(), "cart")).collect();
    mesh.service("cart", 80, None, endpoints);
    mesh.services.push(policy("cart", |s| {
        s.concurrency = Some(bound);
        let methods = mesh_model::traffic::RetryMethods::All;
        s.retries = Some(mesh_model::traffic::Retries { methods, ..retries(2, &[]) });
    }));
    for server in &mut servers {
        tell_own(&mesh, server);
    }
    let client = mesh.client(&[("cart", 80)]);
    // One request after the other, until one hangs; from then on its endpoint sheds.
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    mesh.tasks.spawn("stuck", async move {
        while let Ok(response) = sender.send_request(get("cart", "/")).await {
            text(response).await;
        }
    });
    until(|| async { stuck.hits() == 1 }).await;
    for _ in 0..10 {
        assert_eq!(exchange(&mesh, client.outbound(), request("POST", "pay")).await.0, 200);
    }
    assert_eq!(stuck.hits(), 1);
}
