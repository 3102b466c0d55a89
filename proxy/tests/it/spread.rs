//! How requests spread: by weight, at random, by key with a bound; which endpoints stand out; what has a rate of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use mesh_model::endpoint::Endpoint;
use mesh_model::traffic::{
    Algorithm, HashKey, LatencyOutlier, OutlierDetection, Ppm, RateKey, RateLimit, SuccessRate,
    TrafficSettings,
};

use crate::harness::*;
use crate::policies::*;

fn spread(mesh: &mut Mesh, endpoints: Vec<Endpoint>, algorithm: Algorithm) -> Sidecar {
    spread_with(mesh, endpoints, algorithm, |_| {})
}

fn spread_with(
    mesh: &mut Mesh,
    endpoints: Vec<Endpoint>,
    algorithm: Algorithm,
    edit: impl FnOnce(&mut TrafficSettings),
) -> Sidecar {
    mesh.service("cart", 80, None, endpoints);
    mesh.services.push(policy("cart", |settings| {
        let balancing = settings.balancing.get_or_insert_default();
        (balancing.algorithm, balancing.slow_start) = (algorithm, None);
        edit(settings);
    }));
    mesh.client(&[("cart", 80)])
}

async fn ask(mesh: &Mesh, client: &Sidecar) -> String {
    exchange(mesh, client.outbound(), get("cart", "/")).await.2
}

async fn counted(mesh: &Mesh, client: &Sidecar, requests: u32) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(ask(mesh, client).await).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn weights_are_shares() {
    let mut mesh = Mesh::new();
    let heavy = Endpoint { weight: 3, ..plain(says(&mesh.tasks, "heavy").await) };
    let light = plain(says(&mesh.tasks, "light").await);
    let client = spread(&mut mesh, vec![heavy, light], Algorithm::RoundRobin);
    let counts = counted(&mesh, &client, 40).await;
    assert_eq!(counts, BTreeMap::from([("heavy".to_owned(), 30), ("light".to_owned(), 10)]));
}

#[tokio::test]
async fn at_random_everybody_gets_some() {
    let mut mesh = Mesh::new();
    let mut endpoints = vec![];
    for name in ["a", "b", "c"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    let client = spread(&mut mesh, endpoints, Algorithm::Random);
    assert_eq!(counted(&mesh, &client, 90).await.len(), 3);
}

fn of_user(user: u32) -> Request<Full<Bytes>> {
    let mut request = get("cart", "/");
    request.headers_mut().insert("x-user", user.into());
    request
}

/// Sends a request that may never be answered; its answer is counted.
fn send(mesh: &Mesh, address: SocketAddr, user: u32, answers: &Arc<AtomicUsize>) {
    let (tasks, answers) = (mesh.tasks.clone(), Arc::clone(answers));
    mesh.tasks.spawn("request", async move {
        if http1(&tasks, address).await.send_request(of_user(user)).await.is_ok() {
            answers.fetch_add(1, Ordering::SeqCst);
        }
    });
}

#[tokio::test]
async fn a_key_goes_elsewhere_while_its_endpoint_has_too_much() {
    let mut mesh = Mesh::new();
    let stuck = scripted(&mesh.tasks, vec![hangs()]).await;
    let free = says(&mesh.tasks, "free").await;
    let algorithm = Algorithm::RingHash {
        key: HashKey::Header("x-user".into()),
        ring_size: 1024,
        bounded_load: Some(1_250),
    };
    let client = spread(&mut mesh, vec![plain(stuck.address), plain(free)], algorithm);
    let answers = Arc::new(AtomicUsize::new(0));
    // The first user of the endpoint that never answers.
    let mut user = 0;
    loop {
        let before = answers.load(Ordering::SeqCst);
        send(&mesh, client.outbound(), user, &answers);
        until(|| async { answers.load(Ordering::SeqCst) > before || stuck.hits() == 1 }).await;
        if stuck.hits() == 1 {
            break;
        }
        user += 1;
    }
    let before = answers.load(Ordering::SeqCst);
    for sent in 2..=4 {
        send(&mesh, client.outbound(), user, &answers);
        until(|| async { answers.load(Ordering::SeqCst) - before + stuck.hits() == sent }).await;
    }
    assert!(answers.load(Ordering::SeqCst) > before, "the bound lets some of them go elsewhere");
}

/// Waits until 20 requests in a row are answered by others.
async fn is_left_alone(mesh: &Mesh, client: &Sidecar, name: &str) {
    until(|| async { !counted(mesh, client, 20).await.contains_key(name) }).await;
}

fn standing_out(interval: Duration) -> OutlierDetection {
    let always = Duration::from_hours(1);
    OutlierDetection {
        consecutive_errors: None,
        interval,
        base_ejection: always,
        max_ejection: always,
        max_ejected: Ppm(500_000),
        success_rate: None,
        latency: None,
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_more_often_than_others_is_left_alone() {
    let mut mesh = Mesh::new();
    let number = Arc::new(AtomicUsize::new(0));
    let shaky = origin(&mesh.tasks, move |_| {
        let status = if number.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { 500 } else { 200 };
        async move { Response::builder().status(status).body(Full::from("shaky")).unwrap() }
    })
    .await;
    let mut endpoints = vec![plain(shaky)];
    for name in ["a", "b", "c"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    let client = spread_with(&mut mesh, endpoints, Algorithm::RoundRobin, |settings| {
        let success_rate = SuccessRate { min_requests: 2, min_endpoints: 3, deviations: 1_000 };
        let outlier = standing_out(Duration::from_millis(500));
        settings.outlier = Some(OutlierDetection { success_rate: Some(success_rate), ..outlier });
    });
    is_left_alone(&mesh, &client, "shaky").await;
    client.counts(&["mesh_events_total", "endpoint_ejected"], 1.0).await;
}

#[tokio::test]
async fn an_endpoint_that_is_slower_than_others_is_left_alone() {
    let mut mesh = Mesh::new();
    let slow = origin(&mesh.tasks, |_| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Response::new(Full::from("slow"))
    })
    .await;
    let mut endpoints = vec![plain(slow)];
    for name in ["a", "b"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    let client = spread_with(&mut mesh, endpoints, Algorithm::RoundRobin, |settings| {
        let latency = LatencyOutlier { min_requests: 2, factor: 3_000 };
        let outlier = standing_out(Duration::from_secs(2));
        settings.outlier = Some(OutlierDetection { latency: Some(latency), ..outlier });
    });
    is_left_alone(&mesh, &client, "slow").await;
}

#[tokio::test]
async fn each_rule_and_each_method_has_its_own_bucket_for_the_requests_that_are_meant() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let mut server = mesh.server("cart", app.address);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let rules = ["/a", "/b"].map(|path| rule(path, vec![], vec![backend("cart", 1)]));
    mesh.route("cart", rules.to_vec());
    mesh.services.push(policy("cart", |settings| {
        settings.rate_limits = Some(vec![RateLimit {
            name: "each".into(),
            requests: 1,
            per: Duration::from_hours(1),
            burst: 1,
            keys: vec![RateKey::Route, RateKey::Method],
            headers: vec![("x-counted".into(), "yes".into())],
        }]);
    }));
    tell_own(&mesh, &mut server);
    let client = mesh.client(&[("cart", 80)]);
    for (method, path, counted, want) in [
        ("GET", "/a", "yes", 200),
        ("GET", "/a", "yes", 429),
        ("GET", "/a/below", "yes", 429),
        ("GET", "/a", "no", 200),
        ("PUT", "/a", "yes", 200),
        ("GET", "/b", "yes", 200),
        ("GET", "/b", "yes", 429),
    ] {
        let request = Request::builder().method(method).uri(path).header("host", "cart");
        let request = request.header("x-counted", counted).body(Full::default()).unwrap();
        assert_eq!(exchange(&mesh, client.outbound(), request).await.0, want, "{method} {path} {counted}");
    }
}
