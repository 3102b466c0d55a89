//! A connection to a collector, kept from batch to batch: gRPC or HTTP/1.1, with TLS or without. It must not know what an answer means for a
//! batch, nor when to try again.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use mesh_model::settings::{OpenTelemetry, OtlpHeader, OtlpHeaderValue, OtlpProtocol};
use mesh_reach::{HostPort, Resolver};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::Exporter;
use super::verdict::{self, Answer, Grpc, Verdict};
use crate::telemetry::otlp::Signal;
use crate::tls::outside_config;

/// Bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;
/// Bytes of a file with a header's value.
const SECRET: u64 = 8 * 1024;
const AGENT: &str = concat!("amime/", env!("CARGO_PKG_VERSION"));

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

enum Sender {
    Grpc(h2::client::SendRequest<Bytes>),
    Http(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
}

/// A connection and what moves its bytes.
struct Live {
    sender: Sender,
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    headers: HeaderMap,
}

/// Who sends to one collector.
pub(super) struct Client {
    collector: Arc<OpenTelemetry>,
    resolver: Resolver,
    secrets: PathBuf,
    roots: Option<PathBuf>,
    deadline: Duration,
    live: Option<Live>,
}

impl Client {
    pub(super) fn new(parts: &Exporter, collector: Arc<OpenTelemetry>) -> Self {
        let Exporter { resolver, secrets, roots, times, .. } = parts;
        Self {
            collector,
            resolver: resolver.clone(),
            secrets: secrets.clone(),
            roots: roots.clone(),
            deadline: times.deadline,
            live: None,
        }
    }

    pub(super) fn authority(&self) -> &str {
        &self.collector.authority
    }

    pub(super) fn interval(&self) -> Duration {
        self.collector.interval
    }

    /// Lets time pass, and answers meanwhile what the collector asks of the connection.
    pub(super) async fn rest(&mut self, time: Duration) {
        let idle = async {
            if let Some(live) = &mut self.live {
                (&mut live.driver).await;
                self.live = None;
            }
            std::future::pending::<()>().await;
        };
        // It always takes that long.
        let _ = tokio::time::timeout(time, idle).await;
    }

    /// Sends a batch and waits for the answer. A connection that fails is given up.
    pub(super) async fn send(&mut self, signal: Signal, message: &[u8]) -> Verdict {
        let end = Instant::now() + self.deadline;
        let answer = match timeout_at(end, self.exchange(signal, message, end)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", self.deadline.as_secs())),
        };
        match (answer, self.collector.protocol) {
            (Ok(answer), OtlpProtocol::Grpc) => verdict::of_grpc(&answer, SystemTime::now()),
            (Ok(answer), OtlpProtocol::Http) => verdict::of_http(&answer, SystemTime::now()),
            (Err(why), _) => {
                self.live = None;
                Verdict::Again { why, after: None }
            }
        }
    }

    async fn exchange(&mut self, signal: Signal, message: &[u8], end: Instant) -> Result<Answer, String> {
        if self.live.is_none() {
            self.live = Some(self.connect(end).await?);
        }
        let collector = Arc::clone(&self.collector);
        let Some(Live { sender, driver, headers }) = &mut self.live else { return Err(String::new()) };
        let (answer, is_over) = {
            let answer = async {
                match sender {
                    Sender::Grpc(sender) => call(sender.clone(), &collector, headers, signal, message).await,
                    Sender::Http(sender) => post(sender, &collector, headers, signal, message).await,
                }
            };
            tokio::pin!(answer);
            // The connection has to be driven until the answer is there; it may end first, having read all of it.
            tokio::select! {
                answer = &mut answer => (answer, false),
                () = driver => (answer.await, true),
            }
        };
        if is_over {
            self.live = None;
        }
        answer
    }

    async fn connect(&mut self, end: Instant) -> Result<Live, String> {
        let collector = &self.collector;
        let headers = headers(collector, &self.secrets)?;
        let target: HostPort = collector.authority.parse().map_err(|error| format!("{error}"))?;
        let stream = mesh_reach::tcp(&target, &self.resolver, end).await.map_err(|error| whole(&error))?;
        // Batches are written whole.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Io> = if collector.tls {
            let offered: &[&[u8]] = match collector.protocol {
                OtlpProtocol::Grpc => &[b"h2"],
                OtlpProtocol::Http => &[b"http/1.1"],
            };
            let config = outside_config(self.roots.as_deref(), collector.ca.as_deref(), offered)?;
            let host = target.name().map_or_else(
                || target.address().map(|at| at.ip().to_string()).unwrap_or_default(),
                str::to_owned,
            );
            let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
            let stream = TlsConnector::from(config).connect(name, stream).await;
            Box::new(stream.map_err(|error| format!("no TLS with {target}: {error}"))?)
        } else {
            Box::new(stream)
        };
        self.begin(stream, headers).await
    }

    async fn begin(&mut self, stream: Box<dyn Io>, headers: HeaderMap) -> Result<Live, String> {
        match self.collector.protocol {
            OtlpProtocol::Grpc => {
                let (sender, connection) =
                    h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
                let driver = async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "the connection to the collector broke");
                    }
                };
                Ok(Live { sender: Sender::Grpc(sender), driver: Box::pin(driver), headers })
            }
            OtlpProtocol::Http => {
                let made = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
                let (sender, connection) = made.map_err(|error| error.to_string())?;
                let driver = async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "the connection to the collector broke");
                    }
                };
                Ok(Live { sender: Sender::Http(sender), driver: Box::pin(driver), headers })
            }
        }
    }
}

/// The headers that the object asks for; a file is read anew for each connection.
fn headers(collector: &OpenTelemetry, secrets: &Path) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for OtlpHeader { name, value } in &collector.headers {
        let key: HeaderName = name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
        let text = match value {
            OtlpHeaderValue::Text(text) => text.clone(),
            OtlpHeaderValue::File(file) => secret(&secrets.join(file)).map_err(|error| {
                format!("header `{name}`: {} (--otlp-secrets): {error}", secrets.join(file).display())
            })?,
        };
        let mut value = HeaderValue::from_str(text.trim())
            .map_err(|_| format!("header `{name}`: its value is not one line of text"))?;
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

fn secret(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SECRET).read_to_string(&mut text)?;
    Ok(text)
}

/// An error with all that it came from.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn grpc(headers: &HeaderMap) -> Option<Grpc> {
    let more = |name| text(headers, name).unwrap_or_default();
    text(headers, "grpc-status").map(|status| Grpc {
        status,
        message: more("grpc-message"),
        details: more("grpc-status-details-bin"),
    })
}

async fn call(
    sender: h2::client::SendRequest<Bytes>,
    collector: &OpenTelemetry,
    headers: &HeaderMap,
    signal: Signal,
    message: &[u8],
) -> Result<Answer, String> {
    let text = |error: h2::Error| error.to_string();
    let scheme = if collector.tls { "https" } else { "http" };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{scheme}://{}{}", collector.authority, signal.method()))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(())
        .map_err(|error| error.to_string())?;
    request.headers_mut().extend(headers.clone());
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    let (response, mut stream) =
        sender.ready().await.map_err(text)?.send_request(request, false).map_err(text)?;
    stream.send_data(frame.freeze(), true).map_err(text)?;
    let (head, mut body) = response.await.map_err(text)?.into_parts();
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(text)?;
        if whole.len() + data.len() > ANSWER {
            return Err("an answer that is too large".to_owned());
        }
        body.flow_control().release_capacity(data.len()).map_err(text)?;
        whole.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.map_err(text)?;
    Ok(Answer {
        status: head.status.as_u16(),
        retry_after: self::text(&head.headers, RETRY_AFTER.as_str()),
        grpc: trailers.as_ref().and_then(grpc).or_else(|| grpc(&head.headers)),
        body: whole.freeze(),
    })
}

async fn post(
    sender: &mut hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    collector: &OpenTelemetry,
    headers: &HeaderMap,
    signal: Signal,
    message: &[u8],
) -> Result<Answer, String> {
    let text = |error: hyper::Error| whole(&error);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}{}", collector.path, signal.path()))
        .header(HOST, &collector.authority)
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(Full::new(Bytes::copy_from_slice(message)))
        .map_err(|error| error.to_string())?;
    request.headers_mut().extend(headers.clone());
    sender.ready().await.map_err(text)?;
    let (head, body) = sender.send_request(request).await.map_err(text)?.into_parts();
    let body = Limited::new(body, ANSWER).collect().await.map_err(|error| error.to_string())?.to_bytes();
    let retry_after = self::text(&head.headers, RETRY_AFTER.as_str());
    Ok(Answer { status: head.status.as_u16(), retry_after, grpc: None, body })
}
