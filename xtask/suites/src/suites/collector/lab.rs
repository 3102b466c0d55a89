//! The mesh of the suite: a caller and four services in a chain, each behind a sidecar, and a collector. It must not know what is judged.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::told::{Spans, Told, log_records};
use super::{LOOK, REST};
use crate::mesh::objects::{self, Mtls};
use crate::mesh::{Authority, Mesh};
use crate::process::{Process, free_address};
use crate::suites::asked::request;
use crate::suites::prometheus::{findable, requests_by_stat};

/// The share of traces that are sampled, parts per million.
const PPM: u32 = 250_000;
/// Bytes of a head.
const HEAD: usize = 16 * 1024;
/// A request to a fan makes so many.
const FAN: usize = 4;

/// How the collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Grpc,
    Http,
    /// It takes connections and says nothing.
    Blocked,
}

impl Way {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Grpc => "by gRPC",
            Self::Http => "by HTTP",
            Self::Blocked => "blocked",
        }
    }
}

/// The trace ids that the first service was called with.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Those that are sampled.
    pub(super) sampled: BTreeSet<String>,
    /// Those of requests that fail.
    pub(super) failed: BTreeSet<String>,
}

impl Seen {
    pub(super) fn since(&self, before: &Self) -> Self {
        let new = |now: &BTreeSet<String>, then: &BTreeSet<String>| now.difference(then).cloned().collect();
        Self { sampled: new(&self.sampled, &before.sampled), failed: new(&self.failed, &before.failed) }
    }
}

#[derive(Debug)]
pub(super) struct Lab {
    /// Where the caller calls.
    pub(super) entry: SocketAddr,
    grpc: SocketAddr,
    http: SocketAddr,
    silent: SocketAddr,
    files: PathBuf,
    /// Metrics of the sidecar of `a`.
    metrics: SocketAddr,
    meshctl: PathBuf,
    mesh: Mesh,
    seen: Arc<Mutex<Seen>>,
    warm: AtomicU64,
    _processes: Vec<Process>,
    _lock: File,
}

impl Lab {
    pub(super) async fn start(meshctl: &Path, program: &Path, tasks: &Tasks) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let names = ["a", "b", "c", "d"];
        // Each service calls the next one by its own sidecar.
        let mut places = Vec::new();
        for at in 0..names.len() {
            let next = if at + 1 < names.len() { Some(free_address()?) } else { None };
            let noted = (at == 0).then(|| Arc::clone(&seen));
            places.push((service(next, noted, tasks).await?, next, free_address()?));
        }
        let mut documents = vec![objects::client("caller")];
        for (name, (app, _, mesh_port)) in names.iter().zip(&places) {
            documents.push(objects::member(name, *app, *mesh_port));
            documents.push(objects::service(name, &[(80, app.port(), "http")]));
        }
        let mesh = Mesh::start_with(meshctl, &objects::file(&documents), Authority::default()).await?;
        let [grpc, http, metrics, entry] =
            [free_address()?, free_address()?, free_address()?, free_address()?];
        let files = mesh.folder().join("told");
        let mut processes = vec![collector(&mesh, program, &files, (grpc, http)).await?];
        mesh.write("mesh.yaml", &settings(&format!("http://{grpc}"), "Grpc"))?;
        for (at, (name, (app, next, mesh_port))) in names.iter().zip(&places).enumerate() {
            let mut options = format!("--inbound {mesh_port}={app} --metrics ");
            options += &if at == 0 { metrics } else { free_address()? }.to_string();
            if let (Some(next), Some(called)) = (next, names.get(at + 1)) {
                options = format!("{options} --outbound {next}={called}:80");
            }
            let mut sidecar = mesh.sidecar(name, &options)?;
            sidecar.listens(*mesh_port).await?;
            processes.push(sidecar);
        }
        let mut caller = mesh.sidecar("caller", &format!("--outbound {entry}=a:80"))?;
        caller.listens(entry).await?;
        let warm = AtomicU64::new(0);
        let reaches = || async {
            warm.fetch_add(1, Ordering::Relaxed);
            request(entry, "GET", "/", "", "").await.is_ok_and(|answer| answer.status == 200)
        };
        caller.wait_for("reaches the end of the chain", reaches).await?;
        processes.push(caller);
        let silent = silent(tasks).await?;
        let (meshctl, lock) = (meshctl.to_path_buf(), findable(&mesh)?);
        Ok(Self {
            entry,
            grpc,
            http,
            silent,
            files,
            metrics,
            meshctl,
            mesh,
            seen,
            warm,
            _processes: processes,
            _lock: lock,
        })
    }

    /// Where sidecars send from now on.
    pub(super) fn tell(&self, way: Way) -> Result<()> {
        let (at, protocol) = match way {
            Way::Grpc => (self.grpc, "Grpc"),
            Way::Http => (self.http, "Http"),
            Way::Blocked => (self.silent, "Http"),
        };
        self.mesh.write("mesh.yaml", &settings(&format!("http://{at}"), protocol))
    }

    /// Requests that were sent beside those of the load, since the last call.
    pub(super) fn warm(&self) -> u64 {
        self.warm.swap(0, Ordering::Relaxed)
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests fail until one of them is told whole by this way: then every sidecar does.
    pub(super) async fn until_told(&self, way: Way) -> Result<()> {
        let begin = Instant::now();
        loop {
            let before = self.seen();
            self.warm.fetch_add(1, Ordering::Relaxed);
            let answer = request(self.entry, "GET", "/fail", "", "").await?;
            ensure!(answer.status == 503, "/fail was answered {}", answer.status);
            let failed = self.seen().since(&before).failed;
            let asked = Instant::now();
            while asked.elapsed() < LOOK * 8 {
                if self.traces(way)?.all_whole(&failed) && !failed.is_empty() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK / 4).await;
            }
            ensure!(begin.elapsed() < REST, "no failure is told {} by all sidecars", way.label());
        }
    }

    /// Requests are sent until a sidecar says that the collector does not take what it is sent.
    pub(super) async fn until_failing(&self) -> Result<()> {
        let begin = Instant::now();
        let before = self.counter("mesh_otlp_failures_total", "signal=\"traces\"").await?;
        loop {
            let answer = request(self.entry, "GET", "/fail", "", "").await?;
            ensure!(answer.status == 503, "/fail was answered {}", answer.status);
            if self.counter("mesh_otlp_failures_total", "signal=\"traces\"").await? > before {
                return Ok(());
            }
            ensure!(begin.elapsed() < REST, "a collector that says nothing is not noticed");
            tokio::time::sleep(LOOK).await;
        }
    }

    fn file(&self, signal: &str, way: &str) -> Result<String> {
        let path = self.files.join(format!("{signal}{way}.json"));
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// What was told by that way.
    pub(super) fn traces(&self, way: Way) -> Result<Spans> {
        let way = match way {
            Way::Grpc => "-grpc",
            Way::Http | Way::Blocked => "-http",
        };
        Spans::read(&self.file("traces", way)?)
    }

    pub(super) fn metrics(&self) -> Result<Told> {
        Told::read(&self.file("metrics", "")?)
    }

    pub(super) fn log_records(&self, service: &str) -> Result<u64> {
        log_records(&self.file("logs", "")?, service)
    }

    /// Requests of the caller, as `meshctl stat` has them.
    pub(super) async fn stat(&self) -> Result<u64> {
        requests_by_stat(&self.meshctl, &self.mesh, "caller").await
    }

    /// A counter of the sidecar of `a`.
    pub(super) async fn counter(&self, name: &str, labels: &str) -> Result<u64> {
        let scrape = request(self.metrics, "GET", "/metrics", "", "").await?;
        let line = scrape.text.lines().find_map(|line| line.strip_prefix(&format!("{name}{{{labels}}} ")));
        line.unwrap_or("0").parse().with_context(|| format!("{name} is no number"))
    }
}

fn settings(endpoint: &str, protocol: &str) -> String {
    format!(
        "{}  tracing: {{ samplePpm: {PPM}, propagation: [W3C, B3], tail: {{ failed: true }} }}\n  \
        openTelemetry: {{ endpoint: '{endpoint}', protocol: {protocol}, interval: 1s }}\n  \
        accessLog: {{ enabled: true, sink: OpenTelemetry }}\n",
        objects::settings(Mtls::Strict)
    )
}

/// A collector that writes what it is sent, each way of traces into a file of its own.
async fn collector(
    mesh: &Mesh,
    program: &Path,
    files: &Path,
    (grpc, http): (SocketAddr, SocketAddr),
) -> Result<Process> {
    std::fs::create_dir_all(files).context("make a folder for the collector")?;
    let at = files.display();
    let config = format!(
        "receivers:\n  otlp/grpc: {{ protocols: {{ grpc: {{ endpoint: '{grpc}' }} }} }}\n  otlp/http: {{ protocols: {{ http: {{ \
        endpoint: '{http}' }} }} }}\nexporters:\n  file/traces-grpc: {{ path: {at}/traces-grpc.json }}\n  file/traces-http: {{ \
        path: {at}/traces-http.json }}\n  file/metrics: {{ path: {at}/metrics.json }}\n  file/logs: {{ path: {at}/logs.json }}\n\
        service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  pipelines:\n    traces/grpc: {{ receivers: [otlp/grpc], exporters: \
        [file/traces-grpc] }}\n    traces/http: {{ receivers: [otlp/http], exporters: [file/traces-http] }}\n    metrics: {{ \
        receivers: [otlp/grpc, otlp/http], exporters: [file/metrics] }}\n    logs: {{ receivers: [otlp/grpc, otlp/http], exporters: \
        [file/logs] }}\n"
    );
    let path = files.join("collector.yaml");
    std::fs::write(&path, config).context("write the collector's configuration")?;
    let options = ["--config".to_owned(), format!("file:{}", path.display())];
    let mut process = Process::start(mesh.folder(), "collector", program, &options)?;
    process.listens(grpc).await?;
    process.listens(http).await?;
    Ok(process)
}

/// Takes connections, and keeps them without a word.
async fn silent(tasks: &Tasks) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("bind")?;
    let at = listener.local_addr()?;
    tasks.spawn("silent collector", async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    Ok(at)
}

/// A service that passes each request on to `next`, with what belongs to its trace, and answers as it was answered; the last one answers itself.
async fn service(
    next: Option<SocketAddr>,
    noted: Option<Arc<Mutex<Seen>>>,
    tasks: &Tasks,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("bind")?;
    let (at, inner) = (listener.local_addr()?, tasks.clone());
    tasks.spawn("service", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let noted = noted.clone();
            inner.spawn("request", async move {
                // A client that goes away is no concern of the service; a request of its own has a limit.
                let _ = serve(stream, next, noted).await;
            });
        }
    });
    Ok(at)
}

async fn serve(
    mut stream: TcpStream,
    next: Option<SocketAddr>,
    noted: Option<Arc<Mutex<Seen>>>,
) -> Result<()> {
    let mut bytes = Vec::new();
    loop {
        // Requests have no body here.
        while !bytes.ends_with(b"\r\n\r\n") {
            ensure!(bytes.len() < HEAD, "a head without an end");
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&bytes).into_owned();
        bytes.clear();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if let Some(noted) = &noted {
            note(noted, &head, &path);
        }
        let status = pass_on(&head, &path, next).await;
        let answer = format!("HTTP/1.1 {status} Answer\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
}

async fn pass_on(head: &str, path: &str, next: Option<SocketAddr>) -> u16 {
    let own = if path == "/fail" { 503 } else { 200 };
    let Some(next) = next.filter(|_| path != "/end") else { return own };
    let lines = head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        ["traceparent", "tracestate", "b3"].contains(&name.as_str())
    });
    let headers: String = lines.flat_map(|line| [line, "\r\n"]).collect();
    let (path, times) = if path == "/fan" { ("/end", FAN) } else { (path, 1) };
    let mut status = own;
    for _ in 0..times {
        status = request(next, "GET", path, &headers, "").await.map_or(502, |answer| answer.status);
    }
    status
}

fn note(noted: &Mutex<Seen>, head: &str, path: &str) {
    let Some(parent) = head.lines().find_map(|line| line.strip_prefix("traceparent: ")) else { return };
    let mut parts = parent.split('-').skip(1);
    let (Some(trace), Some(_), Some(flags)) = (parts.next(), parts.next(), parts.next()) else { return };
    let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
    if flags.ends_with(['1', '3']) {
        seen.sampled.insert(trace.to_owned());
    }
    if path == "/fail" {
        seen.failed.insert(trace.to_owned());
    }
}
