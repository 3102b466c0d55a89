//! The shared connections to an upstream, at most one of each lane, used by all requests of the worker.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future;
use tokio::time::Instant;

use super::{
    Bounds, Connected, Connector, ExchangeFailure, Held, STALE, Seen, Unreached, Upstream, UpstreamResponse,
};
use crate::http::deadline::{self, Limit};
use crate::http::h2::{self, Connection, Gone};
use crate::http::{Body, RequestHead, Scheme};
use crate::telemetry::{Failure, Reason};
use crate::tls::{Alpn, Hop};

pub(super) type Attempt = future::Shared<Pin<Box<dyn Future<Output = Result<Shared, Unreached>>>>>;

#[derive(Default)]
pub(super) enum SharedState {
    #[default]
    None,
    Connecting(Attempt),
    Ready(Shared),
}

/// What the streams of a shared connection carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// HTTP/2.
    Http2,
    /// HTTP/1 between proxies of the mesh: as many requests at a time as there are, on one connection.
    Http1,
}

impl Lane {
    fn alpn(self) -> Alpn {
        match self {
            Self::Http2 => Alpn::Http2,
            Self::Http1 => Alpn::Http1Shared,
        }
    }
}

/// The connection of each lane.
#[derive(Default)]
pub(super) struct Lanes {
    http2: RefCell<SharedState>,
    http1: RefCell<SharedState>,
}

impl Lanes {
    pub(super) fn of(&self, lane: Lane) -> &RefCell<SharedState> {
        match lane {
            Lane::Http2 => &self.http2,
            Lane::Http1 => &self.http1,
        }
    }

    pub(super) fn all(&self) -> [&RefCell<SharedState>; 2] {
        [&self.http2, &self.http1]
    }
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
    /// How long TLS took.
    tls: Duration,
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
    hop: Hop,
    connector: Rc<Connector>,
    (lane, limit): (Lane, Option<Duration>),
    held: Held,
) -> Attempt {
    let attempt = async move { connect(address, &hop, &connector, (lane, limit), held).await };
    (Box::pin(attempt) as Pin<Box<dyn Future<Output = _>>>).shared()
}

async fn connect(
    address: SocketAddr,
    hop: &Hop,
    connector: &Connector,
    (lane, limit): (Lane, Option<Duration>),
    held: Held,
) -> Result<Shared, Unreached> {
    let (stream, tls) = connector.open(address, hop, lane.alpn(), limit).await?;
    let scheme = if matches!(hop, Hop::Outside(_)) { Scheme::Https } else { Scheme::Http };
    let connection = h2::connect(stream, scheme, connector.timeouts, &connector.tasks);
    let usage = Usage { _held: held, in_flight: Cell::new(0), last_end: Cell::new(Instant::now()), tls };
    Ok(Shared { connection, usage: Rc::new(usage) })
}

impl Upstream {
    /// As [`Upstream::exchange`], on the one connection of the lane.
    pub(super) async fn exchange_shared(
        self: &Rc<Self>,
        lane: Lane,
        head: Box<RequestHead>,
        body: Body,
        deadline: Instant,
        bounds: &dyn Bounds,
    ) -> Result<UpstreamResponse, ExchangeFailure> {
        let (mut head, mut body) = (head, body);
        let mut limit = Limit::at(deadline);
        let mut waited = None;
        for _ in 0..STALE {
            let slot = match self.ready_slot(lane, bounds) {
                Some(slot) => slot,
                None => {
                    let began = Instant::now();
                    let connect = Box::pin(self.shared_connection(lane, bounds));
                    let Ok(slot) = tokio::time::timeout_at(deadline, connect).await else {
                        return Err(ExchangeFailure::failed(Failure::RequestTimeout));
                    };
                    waited = Some(began.elapsed());
                    slot
                }
            };
            let Slot { connection, used } = match slot {
                Ok(slot) => slot,
                // Unlike those of HTTP/2, these requests can have connections of their own.
                Err(Unreached::Bound) if lane == Lane::Http1 => {
                    return self.exchange_http1(head, body, deadline, bounds).await;
                }
                Err(why) => return Err(ExchangeFailure::Unreached(why, Box::new((head, body)))),
            };
            let tls = used.0.tls;
            let connected = waited.map(|total| Connected { total, tls: tls.min(total) });
            let (gone, back) = match connection.exchange(head, body, used, &mut limit).await {
                Ok(response) => return Ok(UpstreamResponse { response, upgrade: None, connected }),
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
            Unreached::Refused("it closes every connection at once".into(), Reason::ClosedAtOnce),
            Box::new((head, body)),
        ))
    }

    /// A place on the connection that is open, if one is.
    fn ready_slot(&self, lane: Lane, bounds: &dyn Bounds) -> Option<Result<Slot, Unreached>> {
        match &*self.lanes.of(lane).borrow() {
            SharedState::Ready(shared) if !shared.is_closed() => Some(self.slot_on(shared, lane, bounds)),
            _ => None,
        }
    }
}
