//! The one HTTP/2 connection to an upstream, shared by all requests of the worker.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::endpoint::Transport;
use tokio::time::Instant;

use super::{Connector, ExchangeFailure, Unreached, Upstream, UpstreamResponse};
use crate::config::HEAD_BYTES;
use crate::http::body::Content;
use crate::http::{Body, Headers, RequestHead, Response};
use crate::telemetry::Failure;
use crate::http::metered::{Metered, Moved};
use crate::tls::Alpn;

/// Runs the codec's futures on this worker, owned by a set of tasks.
#[derive(Debug, Clone)]
pub(in crate::http) struct LocalExecutor(Tasks);

impl LocalExecutor {
    pub(in crate::http) fn new(tasks: Tasks) -> Self {
        Self(tasks)
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        self.0.spawn_local("http/2", future);
    }
}

pub(super) type Attempt = future::Shared<Pin<Box<dyn Future<Output = Result<Shared, Unreached>>>>>;

pub(super) enum SharedState {
    None,
    Connecting(Attempt),
    Ready(Shared),
}

/// The connection. Clones are handles of the same one.
#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Body>,
    usage: Rc<Usage>,
}

struct Usage {
    in_flight: Cell<usize>,
    last_end: Cell<Instant>,
}

/// One request's place on it.
pub(super) struct Slot {
    pub(super) sender: http2::SendRequest<Body>,
    pub(super) used: Used,
}

/// Counts a request as in flight until dropped.
pub(in crate::http) struct Used(Rc<Usage>);

impl Drop for Used {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
        self.0.last_end.set(Instant::now());
    }
}

impl fmt::Debug for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Used({})", self.0.in_flight.get())
    }
}

impl Shared {
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) fn is_unused_for(&self, limit: Duration) -> bool {
        self.usage.in_flight.get() == 0 && self.usage.last_end.get().elapsed() >= limit
    }

    /// A place, unless `bound` requests are in flight.
    pub(super) fn slot(&self, bound: usize) -> Option<Slot> {
        let count = self.usage.in_flight.get();
        (count < bound).then(|| {
            self.usage.in_flight.set(count + 1);
            Slot { sender: self.sender.clone(), used: Used(Rc::clone(&self.usage)) }
        })
    }
}

/// One attempt to connect, which any number of requests can wait for. Dropped when none does.
pub(super) fn attempt(address: SocketAddr, transport: Transport, connector: Rc<Connector>) -> Attempt {
    let attempt = async move { connect(address, &transport, &connector).await };
    (Box::pin(attempt) as Pin<Box<dyn Future<Output = _>>>).shared()
}

async fn connect(
    address: SocketAddr,
    transport: &Transport,
    connector: &Connector,
) -> Result<Shared, Unreached> {
    let stream = connector.open(address, transport, Alpn::Http2).await?;
    let io = TokioIo::new(Metered::new(stream, Arc::new(Moved::default())));
    let handshake = http2::Builder::new(LocalExecutor::new(connector.tasks.clone()))
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(Some(connector.timeouts.pool_idle / 2))
        .keep_alive_timeout(connector.timeouts.head)
        .handshake(io);
    let (sender, driver) = tokio::time::timeout(connector.timeouts.handshake, handshake)
        .await
        .map_err(|_| Unreached::Timeout("no HTTP/2 handshake in time".into()))?
        .map_err(|error| Unreached::Protocol(error.to_string()))?;
    connector.tasks.spawn_local("http/2 upstream", async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(Shared {
        sender,
        usage: Rc::new(Usage { in_flight: Cell::new(0), last_end: Cell::new(Instant::now()) }),
    })
}

impl Upstream {
    /// As [`Upstream::exchange`], on the one connection of HTTP/2.
    pub(super) async fn exchange_http2(
        self: &Rc<Self>,
        head: RequestHead,
        body: Body,
        deadline: Instant,
    ) -> Result<UpstreamResponse, ExchangeFailure> {
        let mut body = body;
        for _ in 0..super::STALE {
            let mut slot = match tokio::time::timeout_at(deadline, self.shared_connection()).await {
                Ok(Ok(slot)) => slot,
                Ok(Err(why)) => return Err(ExchangeFailure::Unreached(why, Box::new((head, body)))),
                Err(_) => return Err(ExchangeFailure::failed(Failure::RequestTimeout)),
            };
            let request = head.to_http2(None).map(|()| body);
            match tokio::time::timeout_at(deadline, slot.sender.try_send_request(request)).await {
                Err(_) => return Err(ExchangeFailure::failed(Failure::RequestTimeout)),
                Ok(Ok(response)) => {
                    let (parts, incoming) = response.into_parts();
                    let used = (!http_body::Body::is_end_stream(&incoming)).then_some(slot.used);
                    let body = Body::new(Content::Peer(incoming, used));
                    let headers = Headers::from_map(parts.headers);
                    let response = Response { status: parts.status, headers, body };
                    return Ok(UpstreamResponse { response, upgrade: None });
                }
                Ok(Err(mut error)) => match error.take_message() {
                    Some(back) => body = back.into_body(),
                    None => {
                        tracing::debug!(error = %error.error(), "no answer from upstream");
                        return Err(ExchangeFailure::failed(failure_of(error.error())));
                    }
                },
            }
        }
        Err(ExchangeFailure::Unreached(
            Unreached::Refused("it closes every connection at once".into()),
            Box::new((head, body)),
        ))
    }
}

fn failure_of(error: &hyper::Error) -> Failure {
    // With TLS 1.3 the server refuses our certificate only after our side of the handshake is done.
    let refused = sources(error).any(|source| {
        let inner = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        inner.is_some_and(|inner| matches!(inner.downcast_ref(), Some(rustls::Error::AlertReceived(_))))
    });
    if refused {
        Failure::TlsFailed
    } else if error.is_parse() {
        Failure::UpstreamProtocol
    } else {
        Failure::UpstreamReset
    }
}

fn sources<'a>(error: &'a hyper::Error) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}
