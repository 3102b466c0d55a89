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

use super::{Connector, Unreached};
use crate::config::HEAD_BYTES;
use crate::http::Body;
use crate::http::upgrade::{Metered, Moved};
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
pub struct Used(Rc<Usage>);

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
