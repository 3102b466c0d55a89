//! Which endpoint a request goes to, and which ones are left alone, through real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::endpoint::{Endpoint, EndpointState, Transport};
use mesh_model::name::{Name, ServiceName};
use mesh_model::service::Protocol;
use mesh_model::traffic::{
    Algorithm, HashKey, HealthCheck, OutlierDetection, PolicyTarget, Ppm, Probe, TrafficPolicy,
    TrafficSettings,
};
use mesh_proto::convert::ModelResource;
use tokio::sync::Semaphore;

use crate::harness::*;

const ALWAYS: Duration = Duration::from_hours(1);

fn plain(address: std::net::SocketAddr) -> Endpoint {
    Endpoint {
        address,
        transport: Transport::Plain,
        workload: None,
        zone: String::new(),
        state: EndpointState::Ready,
        weight: 1,
        priority: 0,
    }
}

/// Service `cart` with these endpoints, and a policy on it.
fn cart(mesh: &mut Mesh, endpoints: Vec<Endpoint>, edit: impl FnOnce(&mut TrafficSettings)) {
    cart_speaking(mesh, None, endpoints, edit);
}

fn cart_speaking(
    mesh: &mut Mesh,
    protocol: Option<Protocol>,
    endpoints: Vec<Endpoint>,
    edit: impl FnOnce(&mut TrafficSettings),
) {
    mesh.service("cart", 80, protocol, endpoints);
    let mut settings = TrafficSettings::default();
    edit(&mut settings);
    mesh.services.push(ModelResource::Policy(TrafficPolicy {
        name: Name::new("shop", "cart").unwrap(),
        targets: vec![PolicyTarget::Service {
            service: ServiceName::new("shop", "cart").unwrap(),
            port: None,
        }],
        created: 0,
        origin: "test.yaml:1".into(),
        settings,
    }));
}

fn algorithm(settings: &mut TrafficSettings, algorithm: Algorithm) {
    settings.balancing.get_or_insert_default().algorithm = algorithm;
}

async fn ask(mesh: &Mesh, client: &Sidecar) -> String {
    fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.2
}

/// An application that waits for the test before it answers.
struct Held {
    begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    address: std::net::SocketAddr,
}

async fn held(tasks: &Tasks) -> Held {
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, wait) = (Arc::clone(&begun), Arc::clone(&gate));
    let address = origin(tasks, move |_| {
        let (count, wait) = (Arc::clone(&count), Arc::clone(&wait));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            drop(wait.acquire().await);
            Response::new(Full::from("held"))
        }
    })
    .await;
    Held { begun, gate, address }
}

impl Held {
    /// Sends requests, one after the other, until one waits there.
    async fn occupy(&self, mesh: &Mesh, client: &Sidecar) {
        while self.begun.load(Ordering::SeqCst) == 0 {
            let ended = Arc::new(AtomicBool::new(false));
            let (tasks, address, end) = (mesh.tasks.clone(), client.outbound(), Arc::clone(&ended));
            mesh.tasks.spawn("request", async move {
                drop(http1(&tasks, address).await.send_request(get("cart", "/")).await);
                end.store(true, Ordering::SeqCst);
            });
            until(|| async { ended.load(Ordering::SeqCst) || self.begun.load(Ordering::SeqCst) > 0 }).await;
        }
    }
}

#[tokio::test]
async fn least_request_avoids_a_slow_endpoint() {
    let mut mesh = Mesh::new();
    let slow = held(&mesh.tasks).await;
    let fast = says(&mesh.tasks, "fast").await;
    cart(&mut mesh, vec![plain(slow.address), plain(fast)], |settings| {
        algorithm(settings, Algorithm::LeastRequest { choices: 2 });
    });
    let client = mesh.client(&[("cart", 80)]);
    slow.occupy(&mesh, &client).await;
    for _ in 0..50 {
        assert_eq!(ask(&mesh, &client).await, "fast");
    }
    slow.gate.add_permits(1000);
}

#[tokio::test]
async fn round_robin_takes_turns() {
    let mut mesh = Mesh::new();
    let mut endpoints = vec![];
    for name in ["a", "b", "c"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    cart(&mut mesh, endpoints, |settings| algorithm(settings, Algorithm::RoundRobin));
    let client = mesh.client(&[("cart", 80)]);
    let mut got = vec![];
    for _ in 0..9 {
        got.push(ask(&mesh, &client).await);
    }
    for name in ["a", "b", "c"] {
        assert_eq!(got.iter().filter(|one| *one == name).count(), 3, "{got:?}");
    }
}

#[tokio::test]
async fn a_header_keeps_its_endpoint_by_ring_and_by_maglev() {
    let key = HashKey::Header("x-user".into());
    for algorithm in [
        Algorithm::RingHash { key: key.clone(), ring_size: 1024, bounded_load: None },
        Algorithm::Maglev { key, table_size: 65_537, bounded_load: None },
    ] {
        let mut mesh = Mesh::new();
        let mut endpoints = vec![];
        for name in ["a", "b", "c"] {
            endpoints.push(plain(says(&mesh.tasks, name).await));
        }
        cart(&mut mesh, endpoints, |settings| super::balancing::algorithm(settings, algorithm));
        let client = mesh.client(&[("cart", 80)]);
        let mut seen = std::collections::BTreeSet::new();
        for user in 0..30 {
            let mut first = None;
            for _ in 0..4 {
                let mut request = get("cart", "/");
                request.headers_mut().insert("x-user", user.to_string().parse().unwrap());
                let text = fetch(&mesh.tasks, client.outbound(), request).await.2;
                assert_eq!(*first.get_or_insert_with(|| text.clone()), text, "user {user}");
            }
            seen.extend(first);
        }
        assert_eq!(seen.len(), 3);
    }
}

#[tokio::test]
async fn a_client_keeps_its_endpoint_by_its_address() {
    let mut mesh = Mesh::new();
    let mut endpoints = vec![];
    for name in ["a", "b", "c", "d", "e"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    cart(&mut mesh, endpoints, |settings| {
        algorithm(
            settings,
            Algorithm::Maglev { key: HashKey::SourceAddress, table_size: 251, bounded_load: None },
        );
    });
    let client = mesh.client(&[("cart", 80)]);
    let first = ask(&mesh, &client).await;
    for _ in 0..20 {
        assert_eq!(ask(&mesh, &client).await, first);
    }
}

#[tokio::test]
async fn a_cookie_is_set_and_keeps_its_client_with_an_endpoint() {
    let mut mesh = Mesh::new();
    let mut endpoints = vec![];
    for name in ["a", "b", "c", "d", "e"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    cart(&mut mesh, endpoints, |settings| {
        let key = HashKey::Cookie { name: "lane".into(), ttl: Some(Duration::from_mins(5)) };
        algorithm(settings, Algorithm::Maglev { key, table_size: 251, bounded_load: None });
    });
    let clients = [mesh.client(&[("cart", 80)]), mesh.client(&[("cart", 80)])];
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let mut sender = http1(&mesh.tasks, clients[0].outbound()).await;
        let response = soon(sender.send_request(get("cart", "/"))).await.unwrap();
        let set = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(set.starts_with("lane=") && set.contains("Max-Age=300"), "{set}");
        let first = text(response).await;
        // Another proxy finds the same endpoint, and a cookie that came is not set once more.
        for client in &clients {
            let mut request = get("cart", "/");
            let cookie = format!("x=1; {}", set.split(';').next().unwrap());
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
            let mut sender = http1(&mesh.tasks, client.outbound()).await;
            let response = soon(sender.send_request(request)).await.unwrap();
            assert_eq!(response.headers().get("set-cookie"), None);
            assert_eq!(text(response).await, first);
        }
        seen.insert(first);
    }
    assert!(seen.len() > 1, "each client has a value of its own");
}

/// An application that answers 500 while told to.
async fn moody(tasks: &Tasks, text: &'static str) -> (std::net::SocketAddr, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let mood = Arc::clone(&well);
    let address = origin(tasks, move |_| {
        let well = mood.load(Ordering::SeqCst);
        async move { Response::builder().status(if well { 200 } else { 500 }).body(Full::from(text)).unwrap() }
    })
    .await;
    (address, well)
}

fn outlier(settings: &mut TrafficSettings, ejection: Duration) {
    algorithm(settings, Algorithm::RoundRobin);
    settings.outlier = Some(OutlierDetection {
        consecutive_errors: Some(3),
        base_ejection: ejection,
        max_ejection: ejection,
        ..OutlierDetection::default()
    });
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_alone() {
    let mut mesh = Mesh::new();
    let (bad, _) = moody(&mesh.tasks, "bad").await;
    let good = says(&mesh.tasks, "good").await;
    cart(&mut mesh, vec![plain(bad), plain(good)], |settings| outlier(settings, ALWAYS));
    let client = mesh.client(&[("cart", 80)]);
    let mut failed = 0;
    for _ in 0..60 {
        failed += u32::from(ask(&mesh, &client).await == "bad");
    }
    assert_eq!(failed, 3);
    client.counts(&["mesh_events_total", "endpoint_ejected"], 1.0).await;
}

#[tokio::test]
async fn an_endpoint_that_failed_returns() {
    let mut mesh = Mesh::new();
    let (bad, well) = moody(&mesh.tasks, "bad").await;
    let good = says(&mesh.tasks, "good").await;
    cart(&mut mesh, vec![plain(bad), plain(good)], |settings| outlier(settings, Duration::from_millis(200)));
    let client = mesh.client(&[("cart", 80)]);
    let mut failed = 0;
    while failed < 3 {
        failed += u32::from(ask(&mesh, &client).await == "bad");
    }
    well.store(true, Ordering::SeqCst);
    until(|| async { ask(&mesh, &client).await == "bad" }).await;
}

fn probed(settings: &mut TrafficSettings, probe: Probe) {
    algorithm(settings, Algorithm::RoundRobin);
    settings.balancing.get_or_insert_default().slow_start = None;
    settings.outlier = Some(OutlierDetection { consecutive_errors: None, ..OutlierDetection::default() });
    settings.health_check = Some(HealthCheck {
        probe,
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        unhealthy_after: 2,
        healthy_after: 2,
    });
}

/// Waits until 20 requests in a row are answered by (`true`) or without (`false`) that endpoint.
async fn settles(mesh: &Mesh, client: &Sidecar, name: &str, present: bool) {
    until(|| async {
        let mut seen = false;
        for _ in 0..20 {
            seen |= ask(mesh, client).await == name;
        }
        seen == present
    })
    .await;
}

#[tokio::test]
async fn a_probe_over_http_takes_an_endpoint_out_and_back() {
    let mut mesh = Mesh::new();
    let (address, well) = {
        let well = Arc::new(AtomicBool::new(true));
        let mood = Arc::clone(&well);
        let address =
            origin(&mesh.tasks, move |request| {
                let sick = request.uri().path() == "/health" && !mood.load(Ordering::SeqCst);
                assert!(request.uri().path() != "/health" || request.headers()["host"] == "cart.shop");
                async move {
                    Response::builder().status(if sick { 503 } else { 204 }).body(Full::from("")).unwrap()
                }
            })
            .await;
        (address, well)
    };
    let other = origin(&mesh.tasks, |request| async move {
        let probe = request.uri().path() == "/health";
        let status = if probe { 204 } else { 200 };
        let text = if probe { "" } else { "other" };
        Response::builder().status(status).body(Full::from(text)).unwrap()
    })
    .await;
    cart(&mut mesh, vec![plain(address), plain(other)], |settings| {
        probed(settings, Probe::Http { path: "/health".into(), host: None, statuses: (200, 299) });
    });
    let client = mesh.client(&[("cart", 80)]);
    settles(&mesh, &client, "", true).await;
    well.store(false, Ordering::SeqCst);
    settles(&mesh, &client, "", false).await;
    well.store(true, Ordering::SeqCst);
    settles(&mesh, &client, "", true).await;
    client.counts(&["mesh_events_total", "endpoint_unhealthy"], 1.0).await;
    client.counts(&["mesh_events_total", "endpoint_recovered"], 1.0).await;
}

type Frames = StreamBody<
    futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>>,
>;

/// A gRPC server of the health service on HTTP/2 that is `SERVING` while `well`, and answers everything else with its name.
async fn grpc(tasks: &Tasks, name: &'static str, well: Arc<AtomicBool>) -> std::net::SocketAddr {
    peer(tasks, move |stream| {
        let well = Arc::clone(&well);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let well = well.load(Ordering::SeqCst);
                async move {
                    let probe = request.uri().path() == "/grpc.health.v1.Health/Check";
                    let sent = request.into_body().collect().await.unwrap().to_bytes();
                    let frames = if probe {
                        assert_eq!(&sent[..], b"\0\0\0\0\x06\x0a\x04cart");
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        // SERVING is 1, NOT_SERVING 2.
                        let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, 2 - u8::from(well)]);
                        vec![Ok(Frame::data(message)), Ok(Frame::trailers(trailers))]
                    } else {
                        vec![Ok(Frame::data(Bytes::from_static(name.as_bytes())))]
                    };
                    let body: Frames = StreamBody::new(futures_util::stream::iter(frames));
                    let kind = if probe { "application/grpc" } else { "text/plain" };
                    Response::builder().header("content-type", kind).body(body)
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_probe_over_grpc_takes_an_endpoint_out_and_back() {
    let mut mesh = Mesh::new();
    let well = Arc::new(AtomicBool::new(true));
    let moody = grpc(&mesh.tasks, "moody", Arc::clone(&well)).await;
    let other = grpc(&mesh.tasks, "other", Arc::new(AtomicBool::new(true))).await;
    cart_speaking(&mut mesh, Some(Protocol::Http2), vec![plain(moody), plain(other)], |settings| {
        probed(settings, Probe::Grpc { service: "cart".into() });
    });
    let client = mesh.client(&[("cart", 80)]);
    settles(&mesh, &client, "moody", true).await;
    well.store(false, Ordering::SeqCst);
    settles(&mesh, &client, "moody", false).await;
    well.store(true, Ordering::SeqCst);
    settles(&mesh, &client, "moody", true).await;
}

#[tokio::test]
async fn a_probe_by_connection_finds_who_has_the_wrong_identity() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "a").await;
    let (right, wrong) = (mesh.server("cart", app), mesh.server("thief", app));
    let endpoints = vec![mesh.member(right.inbound(), "cart"), mesh.member(wrong.inbound(), "cart")];
    cart(&mut mesh, endpoints, |settings| probed(settings, Probe::Tcp));
    let client = mesh.client(&[("cart", 80)]);
    assert_eq!(ask(&mesh, &client).await, "a");
    client.counts(&["mesh_events_total", "endpoint_unhealthy"], 1.0).await;
}

#[tokio::test]
async fn probes_end_with_the_policy() {
    let mut mesh = Mesh::new();
    let probes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&probes);
    let app = origin(&mesh.tasks, move |request| {
        count.fetch_add(usize::from(request.uri().path() == "/health"), Ordering::SeqCst);
        async { Response::new(Full::from("app")) }
    })
    .await;
    cart(&mut mesh, vec![plain(app)], |settings| {
        probed(settings, Probe::Http { path: "/health".into(), host: None, statuses: (200, 299) });
    });
    let mut client = mesh.client(&[("cart", 80)]);
    assert_eq!(ask(&mesh, &client).await, "app");
    until(|| async { probes.load(Ordering::SeqCst) > 2 }).await;
    mesh.services.pop();
    client.control.replace(mesh.resources());
    // The task sees it when it looks next; then nothing comes any more.
    let mut last = usize::MAX;
    until(|| {
        let now = probes.load(Ordering::SeqCst);
        let quiet = now == std::mem::replace(&mut last, now);
        let (mesh, client) = (&mesh, &client);
        async move {
            assert_eq!(ask(mesh, client).await, "app");
            tokio::time::sleep(Duration::from_millis(500)).await;
            quiet
        }
    })
    .await;
}

#[tokio::test]
async fn the_second_priority_is_used_while_the_first_is_down() {
    let mut mesh = Mesh::new();
    let first = says(&mesh.tasks, "first").await;
    let second = Endpoint { priority: 1, ..plain(says(&mesh.tasks, "second").await) };
    cart(&mut mesh, vec![plain(first), second.clone()], |_| {});
    let client = mesh.client(&[("cart", 80)]);
    for _ in 0..20 {
        assert_eq!(ask(&mesh, &client).await, "first");
    }
    let mut mesh = Mesh::new();
    let closed = std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
    let second = Endpoint { address: says(&mesh.tasks, "second").await, ..second };
    cart(&mut mesh, vec![plain(closed), second], |_| {});
    let client = mesh.client(&[("cart", 80)]);
    for _ in 0..20 {
        assert_eq!(ask(&mesh, &client).await, "second");
    }
}

#[tokio::test]
async fn the_own_zone_is_preferred() {
    let mut mesh = Mesh::new();
    let near = Endpoint { zone: "a".into(), ..plain(says(&mesh.tasks, "near").await) };
    let far = Endpoint { zone: "b".into(), ..plain(says(&mesh.tasks, "far").await) };
    cart(&mut mesh, vec![near, far], |_| {});
    let client = mesh.client_with(&[("cart", 80)], |config| config.zone = "a".into());
    for _ in 0..20 {
        assert_eq!(ask(&mesh, &client).await, "near");
    }
}

#[tokio::test]
async fn more_requests_than_an_endpoint_may_have_fail_with_a_code() {
    let mut mesh = Mesh::new();
    let app = held(&mesh.tasks).await;
    cart(&mut mesh, vec![plain(app.address)], |settings| {
        settings.balancing.get_or_insert_default().max_requests_per_endpoint = Some(1);
    });
    let client = mesh.client(&[("cart", 80)]);
    app.occupy(&mesh, &client).await;
    let (status, failure, text) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure.as_str()), (503, "circuit_open"), "{text}");
    assert!(text.contains("maxRequestsPerEndpoint"), "{text}");
    app.gate.add_permits(1000);
    until(|| async { ask(&mesh, &client).await == "held" }).await;
}

#[tokio::test]
async fn a_changed_algorithm_is_in_force_at_once() {
    let mut mesh = Mesh::new();
    let slow = held(&mesh.tasks).await;
    let fast = says(&mesh.tasks, "fast").await;
    let endpoints = vec![plain(slow.address), plain(fast)];
    cart(&mut mesh, endpoints, |settings| algorithm(settings, Algorithm::RoundRobin));
    let mut client = mesh.client(&[("cart", 80)]);
    slow.occupy(&mesh, &client).await;
    let Some(ModelResource::Policy(policy)) = mesh.services.last_mut() else { unreachable!() };
    algorithm(&mut policy.settings, Algorithm::LeastRequest { choices: 2 });
    client.control.replace(mesh.resources());
    // What was under way under the old one still counts.
    for _ in 0..20 {
        assert_eq!(ask(&mesh, &client).await, "fast");
    }
    slow.gate.add_permits(1000);
}

#[tokio::test]
async fn below_the_panic_threshold_health_is_not_looked_at() {
    let mut mesh = Mesh::new();
    let (one, _) = moody(&mesh.tasks, "one").await;
    let (two, _) = moody(&mesh.tasks, "two").await;
    let (three, _) = moody(&mesh.tasks, "three").await;
    cart(&mut mesh, vec![plain(one), plain(two), plain(three)], |settings| {
        outlier(settings, ALWAYS);
        settings.outlier.as_mut().unwrap().max_ejected = Ppm(1_000_000);
    });
    let client = mesh.client(&[("cart", 80)]);
    for _ in 0..30 {
        ask(&mesh, &client).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..30 {
        seen.insert(ask(&mesh, &client).await);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    client.counts(&["mesh_events_total", "endpoint_ejected"], 2.0).await;
}
