//! How an application of the shop calls another: through its sidecar's HTTP proxy, with absolute-form requests, as any
//! program with `http_proxy` set does. It must not know which services there are.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// No answer of the shop takes this long, except on a machine that does something else.
const DEADLINE: Duration = Duration::from_secs(10);
/// Answers of the shop are a few hundred bytes.
const MAX_BODY: usize = 64 * 1024;

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header's value, empty when it is not there or not text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("`{0}` is no URL")]
    Url(String),
    #[error("no answer in {} s", DEADLINE.as_secs())]
    Late,
    #[error("the sidecar closed the connection: {0}")]
    Broken(String),
}

/// A client whose every connection goes to the proxy.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    client: Client<ToProxy, Empty<Bytes>>,
}

impl Upstream {
    /// Through the HTTP proxy at `proxy`.
    pub(crate) fn new(proxy: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(64).build(ToProxy(proxy));
        Self { client }
    }

    /// `GET url` with these headers.
    pub(crate) async fn get(&self, url: &str, headers: &HeaderMap) -> Result<Reply, CallError> {
        let uri: Uri = url.parse().map_err(|_| CallError::Url(url.to_owned()))?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        request.headers_mut().clone_from(headers);
        let call = async {
            let response = self.client.request(request).await.map_err(|error| broken(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| broken(&*error))?;
            Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(DEADLINE, call).await.map_err(|_| CallError::Late)?
    }
}

fn broken(error: &(dyn std::error::Error + 'static)) -> CallError {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    CallError::Broken(cause.to_string())
}

/// Connects to the proxy whatever the URL says.
#[derive(Debug, Clone, Copy)]
struct ToProxy(SocketAddr);

impl tower_service::Service<Uri> for ToProxy {
    type Response = Proxied;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Proxied, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let proxy = self.0;
        Box::pin(async move {
            let stream = TcpStream::connect(proxy).await?;
            stream.set_nodelay(true)?;
            Ok(Proxied(TokioIo::new(stream)))
        })
    }
}

/// A connection to a proxy: the client then writes the whole URL into the request line (RFC 9112 section 3.2.2).
#[derive(Debug)]
struct Proxied(TokioIo<TcpStream>);

impl Connection for Proxied {
    fn connected(&self) -> Connected {
        Connected::new().proxy(true)
    }
}

impl Read for Proxied {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Proxied {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<Result<usize, std::io::Error>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
