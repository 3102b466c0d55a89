//! The one HTTP/2 connection to an upstream, shared by all requests of the worker.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future;
use mesh_model::endpoint::Transport;
use tokio::time::Instant;

use super::{Bounds, Connector, ExchangeFailure, Held, STALE, Seen, Unreached, Upstream, UpstreamResponse};
use crate::http::deadline::{self, Limit};
use crate::http::h2::{self, Connection, Gone};
use crate::http::{Body, RequestHead};
use crate::telemetry::Failure;
use crate::tls::Alpn;

pub(super) type Attempt = future::Shared<Pin<Box<dyn Future<Output = Result<Shared, Unreached>>>>>;

pub(super) enum SharedState {
    None,
    Connecting(Attempt),
    Ready(Shared),
}

/// The connection. Clones are handles of the same one.
#[derive(Clone)]
pub(super) struct Shared {
    connection: Connection,
    usage: Rc<Usage>,
}

struct Usage {
    _held: Held,
    in_flight: Cell<usize>,
    last_end: Cell<Instant>,
}

/// One request's place on it.
pub(super) struct Slot {
    connection: Connection,
    used: Used,
}

/// Counts a request as in flight until dropped.
pub(in crate::http) struct Used(Rc<Usage>);

impl Drop for Used {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
        self.0.last_end.set(deadline::now());
    }
}

impl fmt::Debug for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Used({})", self.0.in_flight.get())
    }
}

impl Shared {
    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    pub(super) fn is_unused_for(&self, limit: Duration) -> bool {
        self.usage.in_flight.get() == 0 && self.usage.last_end.get().elapsed() >= limit
    }

    /// How many requests are on it.
    pub(super) fn in_flight(&self) -> usize {
        self.usage.in_flight.get()
    }

    /// A place, unless `bound` requests are in flight.
    pub(super) fn slot(&self, bound: usize) -> Option<Slot> {
        let count = self.usage.in_flight.get();
        (count < bound).then(|| {
            self.usage.in_flight.set(count + 1);
            Slot { connection: self.connection.clone(), used: Used(Rc::clone(&self.usage)) }
        })
    }
}

/// One attempt to connect, which any number of requests can wait for. Dropped when none does.
pub(super) fn attempt(
    address: SocketAddr,
    transport: Transport,
    connector: Rc<Connector>,
    limit: Option<Duration>,
    held: Held,
) -> Attempt {
    let attempt = async move { connect(address, &transport, &connector, limit, held).await };
    (Box::pin(attempt) as Pin<Box<dyn Future<Output = _>>>).shared()
}

async fn connect(
    address: SocketAddr,
    transport: &Transport,
    connector: &Connector,
    limit: Option<Duration>,
    held: Held,
) -> Result<Shared, Unreached> {
    let stream = connector.open(address, transport, Alpn::Http2, limit).await?;
    let connection = h2::connect(stream, connector.timeouts, &connector.tasks);
    let usage = Usage { _held: held, in_flight: Cell::new(0), last_end: Cell::new(Instant::now()) };
    Ok(Shared { connection, usage: Rc::new(usage) })
}

impl Upstream {
    /// As [`Upstream::exchange`], on the one connection of HTTP/2.
    pub(super) async fn exchange_http2(
        self: &Rc<Self>,
        head: Box<RequestHead>,
        body: Body,
        deadline: Instant,
        bounds: &dyn Bounds,
    ) -> Result<UpstreamResponse, ExchangeFailure> {
        let (mut head, mut body) = (head, body);
        let mut limit = Limit::at(deadline);
        for _ in 0..STALE {
            let slot = match self.ready_slot(bounds) {
                Some(slot) => slot,
                None => {
                    match tokio::time::timeout_at(deadline, Box::pin(self.shared_connection(bounds))).await {
                        Ok(slot) => slot,
                        Err(_) => return Err(ExchangeFailure::failed(Failure::RequestTimeout)),
                    }
                }
            };
            let Slot { connection, used } = match slot {
                Ok(slot) => slot,
                Err(why) => return Err(ExchangeFailure::Unreached(why, Box::new((head, body)))),
            };
            let (gone, back) = match connection.exchange(head, body, used, &mut limit).await {
                Ok(response) => return Ok(UpstreamResponse { response, upgrade: None }),
                Err(lost) => lost,
            };
            let (failure, seen) = match gone {
                Gone::Unsent => match back {
                    Some(back) => {
                        (head, body) = *back;
                        continue;
                    }
                    None => (Failure::UpstreamReset, Seen::Perhaps),
                },
                Gone::Late => return Err(ExchangeFailure::failed(Failure::RequestTimeout)),
                Gone::Body(error) => return Err(ExchangeFailure::Body(error)),
                Gone::Refused(failure) => (failure, Seen::No),
                Gone::Broken(failure) => (failure, Seen::Perhaps),
                Gone::Unfit => (Failure::UpstreamProtocol, Seen::No),
            };
            return Err(ExchangeFailure::Failed { failure, seen, back });
        }
        Err(ExchangeFailure::Unreached(
            Unreached::Refused("it closes every connection at once".into()),
            Box::new((head, body)),
        ))
    }

    /// A place on the connection that is open, if one is.
    fn ready_slot(&self, bounds: &dyn Bounds) -> Option<Result<Slot, Unreached>> {
        match &*self.shared.borrow() {
            SharedState::Ready(shared) if !shared.is_closed() => Some(self.slot_on(shared, bounds)),
            _ => None,
        }
    }
}
