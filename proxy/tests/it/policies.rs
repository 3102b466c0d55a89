//! What tests of policies share: a policy on a service, applications that follow a script, answers with their headers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::endpoint::{Endpoint, EndpointState, Transport};
use mesh_model::name::{Name, ServiceName};
use mesh_model::service::{OwnPort, OwnServices};
use mesh_model::traffic::effective::wished_retries;
use mesh_model::traffic::{Backoff, OutlierDetection, PolicyTarget, Retries, TrafficPolicy, TrafficSettings};
use mesh_proto::convert::ModelResource;

use crate::harness::*;

pub(crate) fn plain(address: SocketAddr) -> Endpoint {
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

/// A policy `shop/NAME` on service `shop/NAME`. Endpoints that fail stay, unless the test wants it otherwise.
pub(crate) fn policy(name: &str, edit: impl FnOnce(&mut TrafficSettings)) -> ModelResource {
    let outlier = OutlierDetection { consecutive_errors: None, ..OutlierDetection::default() };
    let mut settings = TrafficSettings { outlier: Some(outlier), ..TrafficSettings::default() };
    edit(&mut settings);
    let service = ServiceName::new("shop", name).unwrap();
    ModelResource::Policy(TrafficPolicy {
        name: Name::new("shop", name).unwrap(),
        targets: vec![PolicyTarget::Service { service, port: None }],
        created: 0,
        origin: "test.yaml:1".into(),
        settings,
    })
}

/// Retries without pauses.
pub(crate) fn retries(attempts: u32, statuses: &[u16]) -> Retries {
    Retries {
        attempts,
        statuses: statuses.to_vec(),
        backoff: Backoff { base: Duration::ZERO, most: Duration::ZERO },
        ..wished_retries()
    }
}

/// Service `cart` with these endpoints and this policy, and a client of it.
pub(crate) fn cart(
    mesh: &mut Mesh,
    endpoints: &[SocketAddr],
    edit: impl FnOnce(&mut TrafficSettings),
) -> Sidecar {
    mesh.service("cart", 80, None, endpoints.iter().map(|at| plain(*at)).collect());
    mesh.services.push(policy("cart", edit));
    mesh.client(&[("cart", 80)])
}

/// The sidecar in front of an application of `cart` is told what it stands for.
pub(crate) fn tell_own(mesh: &Mesh, server: &mut Sidecar) {
    let service = ServiceName::new("shop", "cart").unwrap();
    let own = OwnServices { ports: vec![OwnPort { address: server.inbound(), service, port: 80 }] };
    let mut all = mesh.resources();
    all.push(ModelResource::Own(own));
    server.control.replace(all);
}

/// A port on which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap()
}

/// An application that counts its requests and answers by a script, whose last line it repeats.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    hits: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<(Method, HeaderMap, Bytes)>>>,
}

impl Scripted {
    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// A header of each request so far; "" where there was none.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let text = |headers: &HeaderMap| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().iter().map(|(_, headers, _)| text(headers).unwrap_or_default()).collect()
    }

    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.seen.lock().unwrap().iter().map(|(_, _, body)| body.clone()).collect()
    }
}

/// One line of a script: a status (for gRPC: `grpc-status` with 200), headers, and how long it takes.
#[derive(Clone, Default)]
pub(crate) struct Line {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Never answers.
    pub(crate) hangs: bool,
}

pub(crate) fn line(status: u16) -> Line {
    Line { status, ..Line::default() }
}

pub(crate) fn hangs() -> Line {
    Line { hangs: true, ..line(200) }
}

pub(crate) fn with(status: u16, name: &'static str, value: &str) -> Line {
    Line { headers: vec![(name, value.to_owned())], ..line(status) }
}

pub(crate) fn grpc(status: u8, pushback: Option<&str>) -> Line {
    let mut line = with(200, "grpc-status", &status.to_string());
    line.headers.push(("content-type", "application/grpc".into()));
    line.headers.extend(pushback.map(|ms| ("grpc-retry-pushback-ms", ms.to_owned())));
    line
}

pub(crate) async fn scripted(tasks: &Tasks, lines: Vec<Line>) -> Scripted {
    let hits = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(vec![]));
    let lines = Arc::new(Mutex::new(VecDeque::from(lines)));
    let state = (Arc::clone(&hits), Arc::clone(&seen), lines);
    let address = peer(tasks, move |stream| {
        let state = state.clone();
        async move {
            let mut start = [0; 3];
            let http2 = matches!(stream.peek(&mut start).await, Ok(3)) && &start == b"PRI";
            let service = service_fn(move |request| play(state.clone(), request));
            if http2 {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            } else {
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        }
    })
    .await;
    Scripted { address, hits, seen }
}

type State = (Arc<AtomicUsize>, Arc<Mutex<Vec<(Method, HeaderMap, Bytes)>>>, Arc<Mutex<VecDeque<Line>>>);

async fn play(
    (hits, seen, lines): State,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    seen.lock().unwrap().push((parts.method, parts.headers, body));
    hits.fetch_add(1, Ordering::SeqCst);
    let line = {
        let mut lines = lines.lock().unwrap();
        if lines.len() > 1 { lines.pop_front().unwrap() } else { lines[0].clone() }
    };
    if line.hangs {
        std::future::pending::<()>().await;
    }
    let grpc = line.headers.iter().any(|(name, _)| *name == "grpc-status");
    let body = if grpc { String::new() } else { format!("{}\n", line.status) };
    let mut response = Response::builder().status(line.status);
    for (name, value) in &line.headers {
        response = response.header(*name, value);
    }
    Ok(response.body(Full::from(body)).unwrap())
}

/// One request on a connection of its own: status, headers, body.
pub(crate) async fn exchange(
    mesh: &Mesh,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> (u16, HeaderMap, String) {
    let mut sender = http1(&mesh.tasks, address).await;
    let response = soon(sender.send_request(request)).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, text(response).await)
}

pub(crate) async fn status(mesh: &Mesh, client: &Sidecar) -> u16 {
    exchange(mesh, client.outbound(), get("cart", "/")).await.0
}

/// A request with a method and a body.
pub(crate) fn request(method: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri("/").header("host", "cart").body(Full::from(body)).unwrap()
}

/// A gRPC call without messages: `grpc-status` and headers of the answer.
pub(crate) async fn call(mesh: &Mesh, client: &Sidecar, timeout: Option<&str>) -> (String, HeaderMap) {
    let mut sender = http2(&mesh.tasks, client.outbound()).await;
    let mut request = Request::post("http://cart/shop.Cart/Get")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    let response = soon(sender.send_request(request.body(Full::default()).unwrap())).await.unwrap();
    let headers = response.headers().clone();
    let status = headers.get("grpc-status").map(|v| v.to_str().unwrap().to_owned());
    let trailers = soon(response.into_body().collect()).await.ok().and_then(|body| body.trailers().cloned());
    let in_trailers = trailers.and_then(|t| t.get("grpc-status").map(|v| v.to_str().unwrap().to_owned()));
    (status.or(in_trailers).unwrap_or_default(), headers)
}

pub(crate) fn failure(headers: &HeaderMap) -> &str {
    headers.get("x-mesh-failure").map(|value| value.to_str().unwrap()).unwrap_or_default()
}
