//! An application that does what a request's `x-do` says, over HTTP/1 and HTTP/2, and a plain HTTP/1 client. It must not know the mesh.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::support::DEADLINE;

/// What stands for a body that is packed; whoever unpacked it would find nothing.
pub(crate) const PACKED: &str = "not really packed";

/// How long an answer to `pace-b` takes, and twice as long from `b`: far above what a busy machine adds.
const PACE: std::time::Duration = std::time::Duration::from_millis(150);

/// An application.
#[derive(Clone)]
pub(crate) struct App(Arc<State>);

struct State {
    name: &'static str,
    sick: AtomicBool,
    held: AtomicUsize,
    gate: Semaphore,
    seen: Mutex<BTreeMap<String, usize>>,
}

/// A number of its own for each answer.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// What failed once already, in any application.
static TRIED: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl App {
    pub(crate) fn new(name: &'static str) -> Self {
        let (held, gate) = (AtomicUsize::new(0), Semaphore::new(0));
        Self(Arc::new(State { name, sick: AtomicBool::new(false), held, gate, seen: Mutex::default() }))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    /// What its probes are told.
    pub(crate) fn sick(&self, sick: bool) {
        self.0.sick.store(sick, Ordering::SeqCst);
    }

    /// Requests that were held.
    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Ordering::SeqCst)
    }

    /// Answers one request that is held.
    pub(crate) fn release(&self) {
        self.0.gate.add_permits(1);
    }

    /// Requests for that path.
    pub(crate) fn seen(&self, path: &str) -> usize {
        self.0.seen.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// All requests.
    #[allow(dead_code, reason = "asked by some of the tests that have this application")]
    pub(crate) fn asked(&self) -> usize {
        self.0.seen.lock().unwrap().values().sum()
    }

    pub(crate) async fn listen(&self, tasks: &Tasks, port: u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (app, owner) = (self.clone(), tasks.clone());
        tasks.spawn("application", async move {
            while let Ok((stream, _)) = listener.accept().await {
                owner.spawn("application's connection", app.clone().serve(stream));
            }
        });
    }

    async fn serve(self, stream: TcpStream) {
        let mut start = [0; 3];
        let http2 = matches!(stream.peek(&mut start).await, Ok(3)) && &start == b"PRI";
        let service = service_fn(move |request| {
            let app = self.clone();
            async move { Ok::<_, Infallible>(app.answer(request).await) }
        });
        if http2 {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.serve_connection(TokioIo::new(stream), service).await.ok();
        } else {
            let builder = hyper::server::conn::http1::Builder::new();
            builder.serve_connection(TokioIo::new(stream), service).await.ok();
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let name = self.name();
        let mut response = Response::builder().header("x-app", name);
        if path == "/health" {
            let status = if self.0.sick.load(Ordering::SeqCst) { 503 } else { 204 };
            return response.status(status).body(Full::default()).unwrap();
        }
        *self.0.seen.lock().unwrap().entry(path).or_default() += 1;
        let ask =
            request.headers().get("x-do").map(|ask| ask.to_str().unwrap().to_owned()).unwrap_or_default();
        let mut body = described(name, &request);
        match ask.as_str() {
            "gzip" => {
                response = response.header("content-encoding", "gzip");
                PACKED.clone_into(&mut body);
            }
            "json" => {
                let (version, price) = if name == "b" { ("2", "\"7.50\"") } else { ("1", "7.50") };
                let kind = "application/json; charset=utf-8";
                response = response.header("content-type", kind).header("x-version", version);
                let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
                let id = NEXT.fetch_add(1, Ordering::SeqCst);
                body = format!(
                    r#"{{"at": {}, "host": "{name}", "items": [{{"id": {id}, "price": {price}}}]}}"#,
                    at.as_nanos()
                );
            }
            "big" => body = "x".repeat(2_000),
            "fail-b" if name == "b" => response = response.status(500),
            "pace-b" => tokio::time::sleep(if name == "b" { PACE * 2 } else { PACE }).await,
            ask if ask == "hold" || ask == format!("hold-{name}") => {
                self.0.held.fetch_add(1, Ordering::SeqCst);
                self.0.gate.acquire().await.unwrap().forget();
            }
            ask if ask.starts_with("status-") => {
                response = response.status(ask.trim_start_matches("status-").parse::<u16>().unwrap());
            }
            ask if ask.starts_with("flaky-") => {
                let mut tried = TRIED.lock().unwrap();
                if !tried.iter().any(|one| one == ask) {
                    tried.push(ask.to_owned());
                    response = response.status(503);
                }
            }
            _ => {}
        }
        if request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc") {
            response = response.header("content-type", "application/grpc").header("grpc-status", "0");
            body.clear();
        }
        response.body(Full::from(body)).unwrap()
    }
}

/// `NAME VERSION METHOD TARGET`, then the headers.
fn described(name: &str, request: &Request<Incoming>) -> String {
    let target = request.uri().path_and_query().map_or("*", |target| target.as_str());
    let mut text = format!("{name} {:?} {} {target}\n", request.version(), request.method());
    for (name, value) in request.headers() {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    text
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, "" where there is none.
    pub(crate) fn head(&self, name: &str) -> &str {
        self.headers.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value)
    }
}

/// One request through an HTTP proxy, on a connection of its own.
pub(crate) async fn ask(
    proxy: SocketAddr,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let host = url.trim_start_matches("http://").split('/').next().unwrap();
    let mut request = format!("{method} {url} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    if !body.is_empty() {
        write!(request, "content-length: {}\r\n", body.len()).unwrap();
    }
    let call = async {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        // A reset after the answer is an end like another.
        stream.read_to_end(&mut bytes).await.ok();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let text =
        tokio::time::timeout(DEADLINE, call).await.unwrap_or_else(|_| panic!("no answer to {method} {url}"));
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned() }
}
