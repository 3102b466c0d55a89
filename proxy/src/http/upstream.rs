//! Connections to one upstream address, kept between requests: HTTP/1 one request at a time to an application,
//! on one shared connection to a proxy of the mesh; HTTP/2 on one for all. A request
//! is sent again only when it provably never left. It must not know which upstream is the right one.

mod bounds;
mod connect;
mod h2;

pub use bounds::{Bounds, Exceeded, Held, OwnBounds};
pub use connect::{Connected, Connector, Unreached};
pub(super) use h2::Used;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use self::h2::{Lane, Lanes, Shared, SharedState};
use super::deadline::{self, Limit};
use super::h1::{self, Exchange, Gone};
use super::{Body, BodyError, Kind, RequestHead, Response, Upgrade, Wire};
use crate::net::Stream;
use crate::telemetry::{Failure, Reason, Security};
use crate::tls::{Alpn, ClientFailure, Hop};

/// How often a request that has not left is put on another connection of the same upstream.
const STALE: usize = 8;

/// Interim answers that an upstream may give to one request. Each is kept for a client that does not read, so there is a bound.
pub(super) const INTERIMS: usize = 100;

/// A request that is handed back whole.
pub type Returned = Box<(Box<RequestHead>, Body)>;

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
    hop: Hop,
    /// Found out of a host outside: it speaks no HTTP/2.
    http1_only: Cell<bool>,
    connector: Rc<Connector>,
    idle: RefCell<Vec<Idle>>,
    open: Rc<Cell<usize>>,
    lanes: Lanes,
}

/// A connection of HTTP/1 that waits for its next request.
#[derive(Debug)]
struct Idle {
    connection: h1::Idle,
    since: Instant,
}

/// The answer of an upstream.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// The answer; its body is still to come, and gives the connection back at its end.
    pub response: Response,
    /// What the connection becomes, if the answer is 101.
    pub upgrade: Option<Upgrade>,
    /// A connection was made for it.
    pub connected: Option<Connected>,
}

/// A place under the bound on connections; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Open(Box<(Rc<Cell<usize>>, Held)>);

impl Drop for Open {
    fn drop(&mut self) {
        let (count, _) = &*self.0;
        count.set(count.get().saturating_sub(1));
    }
}

impl Upstream {
    /// Without a connection yet.
    pub fn new(address: SocketAddr, hop: Hop, connector: Rc<Connector>) -> Rc<Self> {
        Rc::new(Self {
            address,
            hop,
            http1_only: Cell::new(false),
            connector,
            idle: RefCell::default(),
            open: Rc::default(),
            lanes: Lanes::default(),
        })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the hop is secured.
    pub fn security(&self) -> Security {
        self.hop.security()
    }

    /// Whether a request would find a connection here. It may turn out to be closed.
    pub fn is_warm(&self, wire: Wire) -> bool {
        match self.lane(wire) {
            None => !self.idle.borrow().is_empty(),
            Some(lane) => {
                matches!(&*self.lanes.of(lane).borrow(), SharedState::Ready(shared) if !shared.is_closed())
            }
        }
    }

    /// Opens a connection for the next request, ahead of it.
    pub async fn warm(self: &Rc<Self>, wire: Wire, bounds: &dyn Bounds) -> Result<(), Unreached> {
        if self.is_warm(wire) {
            return Ok(());
        }
        if let Some(lane) = self.lane(wire) {
            match Box::pin(self.shared_connection(lane, bounds)).await {
                Ok(_slot) => return Ok(()),
                Err(why) if self.speaks_http1_only(&why) => {}
                Err(why) => return Err(why),
            }
        }
        let (connection, _) = Box::pin(self.connect_http1(bounds)).await?;
        self.put_idle(connection);
        Ok(())
    }

    /// The shared connection that carries it, if one does. HTTP/1 has one between proxies of the mesh: that many requests leave in
    /// one write and one record of TLS costs less than a connection for each.
    fn lane(&self, wire: Wire) -> Option<Lane> {
        match (wire, &self.hop) {
            (Wire::Http2, _) => Some(Lane::Http2).filter(|_| !self.http1_only.get()),
            (Wire::Http1, Hop::Mesh(_)) => Some(Lane::Http1),
            (Wire::Http1, Hop::Plain | Hop::Outside(_)) => None,
        }
    }

    /// A stream for bytes that are not HTTP, never pooled.
    pub async fn stream(&self, bounds: &dyn Bounds) -> Result<(Stream, Place), Unreached> {
        let open = self.take_place(bounds)?;
        let limit = bounds.connect_timeout();
        let (stream, _) = self.connector.open(self.address, &self.hop, Alpn::Tcp, limit).await?;
        Ok((stream, Place { _open: open }))
    }

    /// Sends a request and waits for the head of the answer. When a connection turns out to be closed before anything left, the next
    /// one is taken.
    pub async fn exchange(
        self: &Rc<Self>,
        wire: Wire,
        head: Box<RequestHead>,
        body: Body,
        deadline: Instant,
        bounds: &dyn Bounds,
    ) -> Result<UpstreamResponse, ExchangeFailure> {
        // What changes the protocol of its connection needs one of its own; and HTTP/2 has no requests without a host.
        let own = wire == Wire::Http1 && (head.upgrade.is_some() || head.authority.is_empty());
        // gRPC is nothing without HTTP/2.
        let lane =
            if head.kind == Kind::Grpc && wire == Wire::Http2 { Some(Lane::Http2) } else { self.lane(wire) };
        let Some(lane) = lane.filter(|_| !own) else {
            return self.exchange_http1(head, body, deadline, bounds).await;
        };
        match Box::pin(self.exchange_shared(lane, head, body, deadline, bounds)).await {
            Err(ExchangeFailure::Unreached(why, back))
                if self.speaks_http1_only(&why) && back.0.kind != Kind::Grpc =>
            {
                let (head, body) = *back;
                self.exchange_http1(head, body, deadline, bounds).await
            }
            result => result,
        }
    }

    /// Whether that is why a host outside was not reached; it is remembered.
    fn speaks_http1_only(&self, why: &Unreached) -> bool {
        let so = matches!(why, Unreached::Tls(_, ClientFailure::NotHttp2 { .. }));
        if so {
            self.http1_only.set(true);
        }
        so
    }

    async fn exchange_http1(
        self: &Rc<Self>,
        head: Box<RequestHead>,
        body: Body,
        deadline: Instant,
        bounds: &dyn Bounds,
    ) -> Result<UpstreamResponse, ExchangeFailure> {
        let (mut head, mut body) = (head, body);
        let mut limit = Limit::at(deadline);
        let mut connected = None;
        for _ in 0..STALE {
            let idle = match poll_fn(|cx| Poll::Ready(self.take_idle(cx))).await {
                Some(idle) => idle,
                None => match tokio::time::timeout_at(deadline, Box::pin(self.connect_http1(bounds))).await {
                    Ok(Ok((idle, how))) => {
                        connected = Some(how);
                        idle
                    }
                    Ok(Err(why)) => return Err(ExchangeFailure::Unreached(why, Box::new((head, body)))),
                    Err(_) => return Err(ExchangeFailure::failed(Failure::RequestTimeout)),
                },
            };
            let mut exchange = match Exchange::begin(Rc::clone(self), idle, head, body) {
                Ok(exchange) => exchange,
                Err(unwritten) => {
                    let (error, idle) = *unwritten;
                    tracing::debug!(%error, "a request cannot be written");
                    self.put_idle(idle);
                    return Err(ExchangeFailure::failed(Failure::BadRequest));
                }
            };
            match poll_fn(|cx| answer_or_limit(&mut exchange, &mut limit, cx)).await {
                Some(Ok(line)) => {
                    let (response, upgrade) = exchange.answer(&line);
                    return Ok(UpstreamResponse { response, upgrade, connected });
                }
                None => return Err(ExchangeFailure::failed(Failure::RequestTimeout)),
                Some(Err(gone)) => match exchange.failed(gone) {
                    h1::Failed::Unsent(back) => (head, body) = *back,
                    h1::Failed::Body(error) => return Err(ExchangeFailure::Body(error)),
                    h1::Failed::Upstream { failure, seen, back } => {
                        return Err(ExchangeFailure::Failed { failure, seen, back });
                    }
                },
            }
        }
        Err(ExchangeFailure::Unreached(
            Unreached::Refused("it closes every connection at once".into(), Reason::ClosedAtOnce),
            Box::new((head, body)),
        ))
    }

    /// The connection that was used last, as the others may then become old enough to be closed.
    fn take_idle(&self, cx: &mut Context<'_>) -> Option<h1::Idle> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut one) = idle.pop() {
            let age = deadline::now().saturating_duration_since(one.since);
            if age < self.connector.timeouts.pool_idle && one.connection.is_good(cx) {
                return Some(one.connection);
            }
        }
        None
    }

    pub(super) fn put_idle(&self, connection: h1::Idle) {
        self.idle.borrow_mut().push(Idle { connection, since: deadline::now() });
    }

    async fn connect_http1(&self, bounds: &dyn Bounds) -> Result<(h1::Idle, Connected), Unreached> {
        let began = Instant::now();
        let _pending = bounds.pending().map_err(Unreached::Exceeded)?;
        let open = self.take_place(bounds)?;
        let limit = bounds.connect_timeout();
        let (stream, tls) = self.connector.open(self.address, &self.hop, Alpn::Http1, limit).await?;
        Ok((h1::Idle::new(stream, open), Connected { total: began.elapsed(), tls }))
    }

    fn take_place(&self, bounds: &dyn Bounds) -> Result<Open, Unreached> {
        if self.open.get() >= self.connector.limits.connections_per_endpoint {
            return Err(Unreached::Bound);
        }
        let held = bounds.connection().map_err(Unreached::Exceeded)?;
        self.open.set(self.open.get() + 1);
        Ok(Open(Box::new((Rc::clone(&self.open), held))))
    }

    /// The one connection of the lane. Requests that come while it is being made wait for the same attempt and share its fate.
    async fn shared_connection(
        self: &Rc<Self>,
        lane: Lane,
        bounds: &dyn Bounds,
    ) -> Result<h2::Slot, Unreached> {
        let _pending = bounds.pending().map_err(Unreached::Exceeded)?;
        let place = self.lanes.of(lane);
        let current = match &*place.borrow() {
            SharedState::Ready(shared) if !shared.is_closed() => return self.slot_on(shared, lane, bounds),
            SharedState::Connecting(attempt) => Some(attempt.clone()),
            SharedState::Ready(_) | SharedState::None => None,
        };
        let attempt = match current {
            Some(attempt) => attempt,
            None => {
                // A connection that is closed gives its place back first.
                *place.borrow_mut() = SharedState::None;
                let held = bounds.connection().map_err(Unreached::Exceeded)?;
                let limit = bounds.connect_timeout();
                let (hop, connector) = (self.hop.clone(), Rc::clone(&self.connector));
                let attempt = h2::attempt(self.address, hop, connector, (lane, limit), held);
                *place.borrow_mut() = SharedState::Connecting(attempt.clone());
                attempt
            }
        };
        let result = attempt.clone().await;
        {
            let mut state = place.borrow_mut();
            if matches!(&*state, SharedState::Connecting(current) if current.ptr_eq(&attempt)) {
                *state = match &result {
                    Ok(shared) => SharedState::Ready(shared.clone()),
                    Err(_) => SharedState::None,
                };
            }
        }
        self.slot_on(&result?, lane, bounds)
    }

    /// The bound that a policy sets on streams is about those of HTTP/2.
    fn slot_on(&self, shared: &Shared, lane: Lane, bounds: &dyn Bounds) -> Result<h2::Slot, Unreached> {
        if lane == Lane::Http2 {
            bounds.stream(shared.in_flight()).map_err(Unreached::Crowded)?;
        }
        shared.slot(self.connector.limits.streams_per_connection).ok_or(Unreached::Bound)
    }

    /// Closes one connection that is not in use, if there is one, so that its place is free for another endpoint's.
    pub fn close_one_idle(&self) -> bool {
        if self.idle.borrow_mut().pop().is_some() {
            return true;
        }
        self.lanes.all().into_iter().any(|lane| {
            let mut shared = lane.borrow_mut();
            let unused = match &*shared {
                SharedState::Ready(one) => one.in_flight() == 0,
                SharedState::Connecting(attempt) => is_left(attempt),
                SharedState::None => false,
            };
            if unused {
                *shared = SharedState::None;
            }
            unused
        })
    }

    /// Closes what has not been used for long; called now and then.
    pub fn sweep(&self) {
        let limit = self.connector.timeouts.pool_idle;
        let now = Instant::now();
        self.idle.borrow_mut().retain_mut(|one| {
            let age = now.saturating_duration_since(one.since);
            age < limit && one.connection.is_good(&mut Context::from_waker(Waker::noop()))
        });
        for lane in self.lanes.all() {
            let mut shared = lane.borrow_mut();
            let over = match &*shared {
                SharedState::Ready(one) => one.is_closed() || one.is_unused_for(limit),
                SharedState::Connecting(attempt) => is_left(attempt),
                SharedState::None => false,
            };
            if over {
                *shared = SharedState::None;
            }
        }
    }

    /// Closes all that is not in use.
    pub fn close_idle(&self) {
        self.idle.borrow_mut().clear();
        self.lanes.all().into_iter().for_each(|lane| *lane.borrow_mut() = SharedState::None);
    }

    /// Whether nothing is open.
    pub fn is_unused(&self) -> bool {
        let free = |lane: &RefCell<SharedState>| matches!(&*lane.borrow(), SharedState::None);
        self.open.get() == 0 && self.lanes.all().into_iter().all(free)
    }
}

/// Whether nobody waits for it any more.
fn is_left(attempt: &h2::Attempt) -> bool {
    attempt.strong_count().is_none_or(|count| count <= 1)
}

fn answer_or_limit(
    exchange: &mut Exchange,
    limit: &mut Limit,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<mesh_http1::ResponseLine, Gone>>> {
    match exchange.poll_answer(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => limit.poll(cx).map(|()| None),
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
