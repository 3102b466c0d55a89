//! The admin server of a daemon: `/livez`, `/readyz`, `/metrics` and whatever text routes the daemon adds.
//! A page of a browser gets nothing here (`browser`). It must not know what the routes mean. Requests enter in [`serve`]; nothing leaves but answers.

mod browser;
mod exposition;
mod scrape;

use std::convert::Infallible;
use std::fmt::{self, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};

pub use browser::is_by_address;
pub use exposition::{Exposition, plain};
pub use scrape::Scrape;

use crate::accept::{self as accept_loop, Accepting};
use crate::ready::Ready;
use crate::tasks::{Tasks, ledger};
use crate::usage;

/// Connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// A client has this long for the head of each request, and an idle connection lives as long.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// A connection, however busy, ends after this.
const CONNECTION_DEADLINE: Duration = Duration::from_mins(5);
/// Most bytes of a request head.
const MAX_HEAD: usize = 16 * 1024;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// What the server answers from. Clones share everything.
#[derive(Clone)]
pub struct AdminState {
    ready: Ready,
    registry: Arc<Registry>,
    routes: Arc<Vec<Route>>,
    below: Arc<Vec<Below>>,
    scraped: Option<Arc<Scraped>>,
    counters: Arc<Counters>,
    max_connections: usize,
    hosts: Hosts,
}

/// By which names a server may be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hosts {
    /// By any: what is shown is for everybody who can reach it.
    #[default]
    Any,
    /// By an address, or `localhost`: a name of somebody else's that leads to this machine is not ours (DNS rebinding).
    Addresses,
}

#[derive(Default)]
struct Counters {
    /// Times that accepting had to wait for a connection to end.
    full: AtomicU64,
}

type Handler = dyn Fn(&AdminRequest<'_>) -> Answer + Send + Sync;

struct Route {
    method: Method,
    path: &'static str,
    handler: Box<Handler>,
}

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

type Scraped = dyn Fn(Scrape) -> Answering + Send + Sync;

/// Everything below a path.
struct Below {
    prefix: &'static str,
    handler: Box<dyn Fn(&str) -> Answering + Send + Sync>,
}

/// What a route of a daemon sees of a request; there is no body.
#[derive(Debug, Clone, Copy)]
pub struct AdminRequest<'a> {
    /// The path without the query.
    pub path: &'a str,
    /// What follows the `?`, still encoded.
    pub query: Option<&'a str>,
}

/// What a route answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// 200 with plain text.
    pub fn text(body: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, content_type: TEXT_TYPE, body: body.into() }
    }

    /// 200 with metrics.
    pub fn metrics(body: String, exposition: Exposition) -> Self {
        let content_type = match exposition {
            Exposition::OpenMetrics => METRICS_TYPE,
            Exposition::Plain => exposition::PLAIN_TYPE,
        };
        Self { status: StatusCode::OK, content_type, body }
    }

    /// 200 with JSON.
    pub fn json(body: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, content_type: "application/json", body: body.into() }
    }

    /// The same with another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl AdminState {
    /// With the three standard routes.
    pub fn new(ready: Ready, registry: Arc<Registry>) -> Self {
        let counters = Arc::default();
        let (max_connections, hosts) = (MAX_CONNECTIONS, Hosts::default());
        Self {
            ready,
            registry,
            routes: Arc::default(),
            below: Arc::default(),
            scraped: None,
            counters,
            max_connections,
            hosts,
        }
    }

    /// Adds a route for exactly `path`. The handler runs on the server's runtime and must not block.
    pub fn route(
        self,
        method: Method,
        path: &'static str,
        handler: impl Fn(&AdminRequest<'_>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        // Routes are added before the state is shared; one that is shared already keeps what it has.
        let mut routes = self.routes;
        match Arc::get_mut(&mut routes) {
            Some(list) => list.push(Route { method, path, handler: Box::new(handler) }),
            None => tracing::error!(path, "admin route added after the state was shared, ignored"),
        }
        Self { routes, ..self }
    }

    /// Adds a route for `GET` of everything that begins with `prefix`. The handler gets what follows it, and may take its time: it has
    /// its own deadline and bounds.
    pub fn below<F>(self, prefix: &'static str, handler: impl Fn(&str) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let mut below = self.below;
        match Arc::get_mut(&mut below) {
            Some(list) => list.push(Below { prefix, handler: Box::new(move |rest| Box::pin(handler(rest))) }),
            None => tracing::error!(prefix, "admin route added after the state was shared, ignored"),
        }
        Self { below, ..self }
    }

    /// Answers scrapes in its own way: it has its own deadline and bounds.
    pub fn scraped<F>(self, handler: impl Fn(Scrape) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self { scraped: Some(Arc::new(move |scrape| Box::pin(handler(scrape)))), ..self }
    }

    /// Bounds the connections at once; the default is 64.
    pub fn max_connections(self, max_connections: usize) -> Self {
        Self { max_connections: max_connections.max(1), ..self }
    }

    /// By which names it may be asked; the default is any.
    pub fn hosts(self, hosts: Hosts) -> Self {
        Self { hosts, ..self }
    }

    /// How often accepting had to wait because the bound was reached.
    pub fn times_full(&self) -> u64 {
        self.counters.full.load(Ordering::Relaxed)
    }

    /// The answer of a route that may take its time; `None`: there is none for this.
    fn answer_slowly(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Answering> {
        if let Some(scraped) = self.scraped.as_ref().filter(|_| *method == Method::GET && path == "/metrics")
        {
            return Some(scraped(Scrape::new(headers, Arc::clone(&self.registry))));
        }
        let found = |below: &Below| path.strip_prefix(below.prefix).map(|rest| (below.handler)(rest));
        (*method == Method::GET).then(|| self.below.iter().find_map(found)).flatten()
    }

    fn answer(&self, method: &Method, request: &AdminRequest<'_>) -> Answer {
        let read = *method == Method::GET || *method == Method::HEAD;
        match request.path {
            "/livez" if read => return Answer::text("ok\n"),
            "/readyz" if read => return readiness(&self.ready.pending()),
            "/metrics" if read => return metrics(&self.registry),
            _ => {}
        }
        let mut known = self.routes.iter().filter(|route| route.path == request.path).peekable();
        let standard = matches!(request.path, "/livez" | "/readyz" | "/metrics");
        let missing = known.peek().is_none() && !standard;
        match known.find(|route| route.method == *method || (read && route.method == Method::GET)) {
            Some(route) => (route.handler)(request),
            None if missing => self.unknown(),
            None => Answer::text("method not allowed\n").with_status(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn unknown(&self) -> Answer {
        let mut body = "not found; there are:\nGET /livez\nGET /readyz\nGET /metrics\n".to_owned();
        for route in self.routes.iter() {
            let _ = writeln!(body, "{} {}", route.method, route.path);
        }
        for below in self.below.iter() {
            let _ = writeln!(body, "GET {}…", below.prefix);
        }
        Answer::text(body).with_status(StatusCode::NOT_FOUND)
    }
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes: Vec<_> = self.routes.iter().map(|route| route.path).collect();
        f.debug_struct("AdminState")
            .field("ready", &self.ready)
            .field("routes", &routes)
            .finish_non_exhaustive()
    }
}

fn readiness(pending: &[&str]) -> Answer {
    if pending.is_empty() {
        return Answer::text("ready\n");
    }
    Answer::text(format!("not ready, waiting for: {}\n", pending.join(", ")))
        .with_status(StatusCode::SERVICE_UNAVAILABLE)
}

fn metrics(registry: &Registry) -> Answer {
    let mut body = String::new();
    // Whatever a daemon counts, how its tasks fare is there.
    let mut own = Registry::default();
    own.register_collector(Box::new(ledger::Collected));
    own.register_collector(Box::new(usage::Collected));
    let written = text::encode_registry(&mut body, registry)
        .and_then(|()| text::encode_registry(&mut body, &own))
        .and_then(|()| text::encode_eof(&mut body));
    match written {
        Ok(()) => Answer::metrics(body, Exposition::OpenMetrics),
        Err(fmt::Error) => {
            Answer::text("a metric cannot be written\n").with_status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Serves until `tasks` is asked to end. The listener comes from [`crate::bind::tcp`]; connections are tasks of
/// `tasks`.
pub async fn serve(listener: std::net::TcpListener, state: AdminState, tasks: Tasks) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let accepting = Accepting { what: "admin server", task: "admin connection", most: state.max_connections };
    let full = || {
        state.counters.full.fetch_add(1, Ordering::Relaxed);
    };
    accept_loop::each(&listener, accepting, &tasks, full, |stream| {
        let served = tokio::time::timeout(CONNECTION_DEADLINE, connection(stream, state.clone()));
        async { _ = served.await }
    })
    .await;
    Ok(())
}

async fn connection(stream: TcpStream, state: AdminState) {
    let service = service_fn(move |request: Request<Incoming>| {
        let state = state.clone();
        async move {
            let (method, uri) = (request.method(), request.uri());
            let answer = if let Err(refusal) = browser::admit(&request, state.hosts) {
                Answer::text(format!("{refusal}\n")).with_status(StatusCode::FORBIDDEN)
            } else if let Some(answering) = state.answer_slowly(method, uri.path(), request.headers()) {
                answering.await
            } else {
                state.answer(method, &AdminRequest { path: uri.path(), query: uri.query() })
            };
            Ok::<_, Infallible>(response(readable(answer, accept(request.headers()))))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "admin connection ended early");
    }
}

fn accept(headers: &HeaderMap) -> Option<&str> {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok())
}

/// Metrics in a format that the client reads.
fn readable(answer: Answer, accept: Option<&str>) -> Answer {
    if answer.content_type != METRICS_TYPE || exposition::reads_openmetrics(accept) {
        return answer;
    }
    Answer { content_type: exposition::PLAIN_TYPE, body: plain(&answer.body), ..answer }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}

#[cfg(test)]
mod tests;
