//! Serves the dashboard over HTTP/1 on loopback: connections, requests and streams are bounded, and every answer has the headers of
//! [`guard::protect`]. It must not know what answers say.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, SET_COOKIE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_lifecycle::Tasks;
use mesh_lifecycle::accept::{self, Accepting};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answers::{self, NoAnswer};
use super::assets::{self, Asset};
use super::counters::DashboardCounters;
use super::events::{self, Body};
use super::routes::{self, Ask};
use super::{guard, signin};
use crate::access::sessions::{Desk, SignedIn, Viewer};
use crate::clock::now_ms;
use crate::cluster::Cluster;
use crate::inspect::Inspector;

/// Connections at once; more wait in the kernel's queue. A browser opens six.
const MAX_CONNECTIONS: usize = 128;
/// Taps and traces that are read at once.
const MAX_STREAMS: usize = 16;
/// Questions that are answered at once; others wait for their turn.
const MAX_QUESTIONS: usize = 4;
/// Tokens that the API server is asked about at once.
const MAX_REVIEWS: usize = 2;
/// For a turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the head of a request; a connection that is not used lives as long.
const HEAD_DEADLINE: Duration = Duration::from_mins(1);
/// For a body.
const BODY_DEADLINE: Duration = Duration::from_secs(5);
/// Most bytes of a head.
const MAX_HEAD: usize = 16 * 1024;
/// A connection ends after this, and its last answer has as long again.
const CONNECTION_DEADLINE: Duration = Duration::from_mins(11);

type Answer = Response<Either<Full<Bytes>, StreamBody<Body>>>;

/// What connections share.
#[derive(Debug, Clone)]
pub struct Shared {
    desk: Desk,
    inspector: Inspector,
    cluster: Option<Cluster>,
    counters: DashboardCounters,
    streams: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    reviews: Arc<Semaphore>,
}

impl Shared {
    /// With the usual bounds.
    pub fn new(
        desk: Desk,
        inspector: Inspector,
        cluster: Option<Cluster>,
        counters: DashboardCounters,
    ) -> Self {
        let places = |most| Arc::new(Semaphore::new(most));
        let (streams, questions, reviews) = (places(MAX_STREAMS), places(MAX_QUESTIONS), places(MAX_REVIEWS));
        Self { desk, inspector, cluster, counters, streams, questions, reviews }
    }
}

/// Serves until `tasks` is asked to end.
pub async fn serve(listener: TcpListener, shared: Shared, tasks: Tasks) {
    let accepting = Accepting { what: "the dashboard", task: "dashboard connection", most: MAX_CONNECTIONS };
    let full = || _ = shared.counters.connections_full.inc();
    accept::each(&listener, accepting, &tasks, full, |stream| connection(stream, shared.clone())).await;
}

async fn connection(stream: TcpStream, shared: Shared) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(Box::pin(answer(request, &shared)).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = tokio::time::sleep(CONNECTION_DEADLINE) => {
            // What is being answered is answered; no further request is taken.
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(CONNECTION_DEADLINE, serving).await {
                Ok(served) => served,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the dashboard ended early");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Answer {
    let head = *request.method() == Method::HEAD;
    let mut answer = match guard::admit(&request) {
        Ok(()) => route(request, shared).await,
        Err(foreign) => refuse(shared, StatusCode::FORBIDDEN, &foreign),
    };
    guard::protect(answer.headers_mut());
    if head {
        *answer.body_mut() = Either::Left(Full::default());
    }
    answer
}

async fn route(request: Request<Incoming>, shared: &Shared) -> Answer {
    let path = request.uri().path().to_owned();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if path == "/api/session" {
        return session(request, shared).await;
    }
    if !reads {
        let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, &"this can only be read");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let Some(name) = path.strip_prefix("/api/") else {
        return match assets::at(&path) {
            Some(asset) => page(asset),
            None => said(StatusCode::NOT_FOUND, &"there is no such page; begin at /"),
        };
    };
    let Some((viewer, proof)) = viewer(&request, shared) else { return signed_out(shared) };
    match routes::ask(name, request.uri().query().unwrap_or_default()) {
        None => said(StatusCode::NOT_FOUND, &"there is no such question"),
        Some(Err(bad)) => refuse(shared, StatusCode::BAD_REQUEST, &bad),
        Some(Ok(Ask::Tap(requests))) => {
            let told = events::tap(&shared.inspector, requests, &proof);
            stream(told, shared, &viewer).await
        }
        Some(Ok(Ask::Traces(request))) => {
            let told = events::traces(&shared.inspector, request, &proof);
            stream(told, shared, &viewer).await
        }
        Some(Ok(ask)) => question(ask, shared, &proof).await,
    }
}

fn viewer<B>(request: &Request<B>, shared: &Shared) -> Option<(Viewer, SignedIn)> {
    shared.desk.viewer(&guard::pass(request.headers())?, now_ms())
}

fn signed_out(shared: &Shared) -> Answer {
    refuse(shared, StatusCode::UNAUTHORIZED, &"nobody is signed in, or the session is over; sign in again")
}

async fn session(request: Request<Incoming>, shared: &Shared) -> Answer {
    let headers = request.headers().clone();
    match *request.method() {
        Method::GET => match viewer(&request, shared) {
            Some((viewer, _)) => json_answer(StatusCode::OK, &signin::told(&viewer)),
            None => signed_out(shared),
        },
        Method::POST => {
            let body = Limited::new(request.into_body(), signin::MAX_BODY).collect();
            let body = match tokio::time::timeout(BODY_DEADLINE, body).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(_)) => {
                    return refuse(shared, StatusCode::PAYLOAD_TOO_LARGE, &"the request is too large");
                }
                Err(_) => {
                    return refuse(shared, StatusCode::REQUEST_TIMEOUT, &"the body did not come in time");
                }
            };
            let Shared { desk, cluster, reviews, .. } = shared;
            let signed = signin::sign_in(desk, cluster.as_ref(), reviews, &headers, &body).await;
            let mut answer = json_answer(signed.status, &signed.body);
            let cookie = signed.cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok());
            if let Some(cookie) = cookie {
                answer.headers_mut().insert(SET_COOKIE, cookie);
            }
            answer
        }
        Method::DELETE => {
            if let Some(pass) = guard::pass(&headers) {
                shared.desk.close(&pass);
            }
            let mut answer = json_answer(StatusCode::OK, &json!({}));
            if let Ok(cookie) = HeaderValue::from_str(&guard::set_cookie(&headers, "")) {
                answer.headers_mut().insert(SET_COOKIE, cookie);
            }
            answer
        }
        _ => said(StatusCode::METHOD_NOT_ALLOWED, &"GET, POST or DELETE the session"),
    }
}

async fn question(ask: Ask, shared: &Shared, proof: &SignedIn) -> Answer {
    let Ok(Ok(_turn)) = tokio::time::timeout(PATIENCE, shared.questions.acquire()).await else {
        return refuse(shared, StatusCode::SERVICE_UNAVAILABLE, &"too much is asked at once; try again");
    };
    match answers::answer(&shared.inspector, ask, proof).await {
        Ok(answer) => json_answer(StatusCode::OK, &answer),
        Err(error) => no_answer(shared, &error),
    }
}

fn no_answer(shared: &Shared, error: &NoAnswer) -> Answer {
    match error {
        NoAnswer::Wrong(_) => refuse(shared, StatusCode::BAD_REQUEST, error),
        NoAnswer::Gone(_) => said(StatusCode::NOT_FOUND, error),
        NoAnswer::Busy(_) => refuse(shared, StatusCode::SERVICE_UNAVAILABLE, error),
        NoAnswer::Late => said(StatusCode::GATEWAY_TIMEOUT, error),
        NoAnswer::Failed(_) => said(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn stream(
    told: impl Future<Output = Result<events::Told, NoAnswer>>,
    shared: &Shared,
    viewer: &Viewer,
) -> Answer {
    let Ok(place) = Arc::clone(&shared.streams).try_acquire_owned() else {
        shared.counters.streams_refused.inc();
        let why = format!("{MAX_STREAMS} taps and traces are being read already; close one, or wait");
        return said(StatusCode::SERVICE_UNAVAILABLE, &why);
    };
    let told = match told.await {
        Ok(told) => told,
        Err(error) => return no_answer(shared, &error),
    };
    let left = Duration::from_millis(viewer.until_ms.saturating_sub(now_ms()));
    let body = events::body(told, events::Place::new(place, &shared.counters), Instant::now() + left);
    let mut answer = Response::new(Either::Right(StreamBody::new(body)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    answer
}

fn page(asset: &Asset) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from_static(asset.text.as_bytes()))));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    answer
}

fn refuse(shared: &Shared, status: StatusCode, why: &dyn std::fmt::Display) -> Answer {
    shared.counters.requests_refused.inc();
    said(status, why)
}

fn said(status: StatusCode, why: &dyn std::fmt::Display) -> Answer {
    json_answer(status, &json!({ "error": why.to_string() }))
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(value.to_string()))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
