//! Connections to one upstream address, kept between requests: HTTP/1 one request at a time, HTTP/2 one connection for all. A request
//! is sent again only when it provably never left. It must not know which upstream is the right one.

mod connect;
mod h2;
mod lease;

pub use connect::{Connector, Unreached};
pub(super) use h2::LocalExecutor;
pub use lease::UpstreamResponse;
pub(super) use lease::Held;
use lease::{Lease, SendFailure};

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_model::endpoint::Transport;
use tokio::time::Instant;

use self::h2::{Shared, SharedState};
use super::upgrade::{Metered, Moved};
use super::{Body, BodyError, RequestHead, Wire};
use crate::net::Stream;
use crate::telemetry::{Failure, Security};
use crate::tls::Alpn;

/// How often a request that has not left is put on another connection of the same upstream.
const STALE: usize = 8;

/// A request that is handed back whole.
pub type Returned = Box<(RequestHead, Body)>;

/// Why there is no answer.
#[derive(Debug)]
pub enum ExchangeFailure {
    /// Nothing left: another upstream may be tried with the request.
    Unreached(Unreached, Returned),
    /// The connection ended, or the answer cannot be read.
    Failed {
        /// What the request fails with.
        failure: Failure,
        /// Whether the upstream has seen the request.
        seen: Seen,
        /// The request, if nothing of its body was read.
        back: Option<Returned>,
    },
    /// The request's own body broke off before there was an answer.
    Body(BodyError),
}

/// Whether an upstream has seen a request that it did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It says that it did not process it (HTTP/2: REFUSED_STREAM, or a GOAWAY below the stream).
    No,
    /// It closed a connection that had been used before, without a byte of an answer: most likely both crossed on the way. Safe to
    /// repeat where the method is (RFC 9110 section 9.2.2).
    Unlikely,
    /// It may have.
    Perhaps,
}

impl ExchangeFailure {
    pub(super) fn failed(failure: Failure) -> Self {
        Self::Failed { failure, seen: Seen::Perhaps, back: None }
    }
}

/// One upstream address with the connections that this worker has to it.
pub struct Upstream {
    address: SocketAddr,
    transport: Transport,
    connector: Rc<Connector>,
    idle: RefCell<Vec<Idle>>,
    open: Rc<Cell<usize>>,
    shared: RefCell<SharedState>,
}

/// A connection of HTTP/1 that waits for its next request.
struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection of HTTP/1, and its place under the bound.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Body>,
    _open: Open,
}

/// A place under the bound on connections; dropping it gives it back.
#[derive(Debug)]
struct Open(Rc<Cell<usize>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Upstream {
    /// Without a connection yet.
    pub fn new(address: SocketAddr, transport: Transport, connector: Rc<Connector>) -> Rc<Self> {
        Rc::new(Self {
            address,
            transport,
            connector,
            idle: RefCell::default(),
            open: Rc::default(),
            shared: RefCell::new(SharedState::None),
        })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the hop is secured.
    pub fn security(&self) -> Security {
        match self.transport {
            Transport::Mesh(_) => Security::Mtls,
            Transport::Plain => Security::Plaintext,
        }
    }

    /// A stream for bytes that are not HTTP, never pooled.
    pub async fn stream(&self) -> Result<(Stream, Place), Unreached> {
        let open = self.take_place()?;
        let stream = self.connector.open(self.address, &self.transport, Alpn::Tcp).await?;
        Ok((stream, Place { _open: open }))
    }

    /// A connection on which a request can be sent now: one that waits, or a new one.
    async fn lease(self: &Rc<Self>, wire: Wire) -> Result<Lease, Unreached> {
        match wire {
            Wire::Http1 => match self.take_idle() {
                Some(connection) => Ok(Lease::http1(Rc::clone(self), connection)),
                None => {
                    self.connect_http1().await.map(|connection| Lease::http1(Rc::clone(self), connection))
                }
            },
            Wire::Http2 => self.shared_connection().await.map(Lease::http2),
        }
    }

    /// Sends a request on one of the connections and waits for the head of the answer. When a connection turns out to be closed
    /// before anything left, the next one is taken.
    pub async fn exchange(
        self: &Rc<Self>,
        wire: Wire,
        head: RequestHead,
        body: Body,
        deadline: Instant,
    ) -> Result<UpstreamResponse, ExchangeFailure> {
        let mut body = body;
        for _ in 0..STALE {
            let lease = match tokio::time::timeout_at(deadline, self.lease(wire)).await {
                Ok(Ok(lease)) => lease,
                Ok(Err(why)) => return Err(ExchangeFailure::Unreached(why, Box::new((head, body)))),
                Err(_) => return Err(ExchangeFailure::failed(Failure::RequestTimeout)),
            };
            match lease.send(head.clone().into_request(wire, body), deadline).await {
                Ok(response) => return Ok(response),
                Err(SendFailure::Failed(failure)) => return Err(ExchangeFailure::failed(failure)),
                Err(SendFailure::Unsent(back)) => body = back.into_body(),
            }
        }
        Err(ExchangeFailure::Unreached(
            Unreached::Refused("it closes every connection at once".into()),
            Box::new((head, body)),
        ))
    }

    /// The connection that was used last, as the others may then become old enough to be closed.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(at) =
            idle.iter().rposition(|one| one.connection.sender.is_ready() || one.connection.sender.is_closed())
        {
            let one = idle.remove(at);
            if !one.connection.sender.is_closed() && one.since.elapsed() < self.connector.timeouts.pool_idle {
                return Some(one.connection);
            }
        }
        None
    }

    fn put_idle(&self, connection: Connection) {
        if !connection.sender.is_closed() {
            self.idle.borrow_mut().push(Idle { connection, since: Instant::now() });
        }
    }

    async fn connect_http1(&self) -> Result<Connection, Unreached> {
        let open = self.take_place()?;
        let stream = self.connector.open(self.address, &self.transport, Alpn::Http1).await?;
        let io = TokioIo::new(Metered::new(stream, std::sync::Arc::new(Moved::default())));
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(2 * crate::config::HEAD_BYTES)
            .max_header_size(crate::config::HEAD_BYTES)
            .handshake(io)
            .await
            .map_err(|error| Unreached::Protocol(error.to_string()))?;
        self.connector.tasks.spawn_local("http/1 upstream", async move {
            if let Err(error) = driver.with_upgrades().await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(Connection { sender, _open: open })
    }

    fn take_place(&self) -> Result<Open, Unreached> {
        if self.open.get() >= self.connector.limits.connections_per_endpoint {
            return Err(Unreached::Bound);
        }
        self.open.set(self.open.get() + 1);
        Ok(Open(Rc::clone(&self.open)))
    }

    /// The one HTTP/2 connection. Requests that come while it is being made wait for the same attempt and share its fate.
    async fn shared_connection(self: &Rc<Self>) -> Result<h2::Slot, Unreached> {
        let attempt = {
            let mut state = self.shared.borrow_mut();
            match &*state {
                SharedState::Ready(shared) if !shared.is_closed() => return self.slot_on(shared),
                SharedState::Connecting(attempt) => attempt.clone(),
                SharedState::Ready(_) | SharedState::None => {
                    let attempt =
                        h2::attempt(self.address, self.transport.clone(), Rc::clone(&self.connector));
                    *state = SharedState::Connecting(attempt.clone());
                    attempt
                }
            }
        };
        let result = attempt.clone().await;
        {
            let mut state = self.shared.borrow_mut();
            if matches!(&*state, SharedState::Connecting(current) if current.ptr_eq(&attempt)) {
                *state = match &result {
                    Ok(shared) => SharedState::Ready(shared.clone()),
                    Err(_) => SharedState::None,
                };
            }
        }
        self.slot_on(&result?)
    }

    fn slot_on(&self, shared: &Shared) -> Result<h2::Slot, Unreached> {
        shared.slot(self.connector.limits.streams_per_connection).ok_or(Unreached::Bound)
    }

    /// Closes what has not been used for long; called now and then.
    pub fn sweep(&self) {
        let limit = self.connector.timeouts.pool_idle;
        self.idle
            .borrow_mut()
            .retain(|one| !one.connection.sender.is_closed() && one.since.elapsed() < limit);
        let mut shared = self.shared.borrow_mut();
        if matches!(&*shared, SharedState::Ready(one) if one.is_closed() || one.is_unused_for(limit)) {
            *shared = SharedState::None;
        }
    }

    /// Closes all that is not in use.
    pub fn close_idle(&self) {
        self.idle.borrow_mut().clear();
        *self.shared.borrow_mut() = SharedState::None;
    }

    /// Whether nothing is open.
    pub fn is_unused(&self) -> bool {
        self.open.get() == 0 && matches!(&*self.shared.borrow(), SharedState::None)
    }
}

/// A raw stream's place under the bound on connections to its endpoint.
#[derive(Debug)]
pub struct Place {
    _open: Open,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("address", &self.address)
            .field("open", &self.open.get())
            .finish_non_exhaustive()
    }
}
