//! The deadlines of one served connection, looked at now and then instead of set per request: a head that takes too long, nothing
//! in flight for too long, a request on which no byte moves. It must not know the codec.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Timeouts;
use crate::http::Wire;
use crate::http::metered::Moved;

/// What is to be done about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    HeadTimeout,
    Idle,
    Stalled,
}

/// State of one connection.
#[derive(Debug)]
pub(super) struct Watch {
    wire: Wire,
    timeouts: Timeouts,
    moved: Arc<Moved>,
    in_flight: Cell<u32>,
    /// Bytes read when the last request ended: more than that while nothing is in flight is the beginning of a head.
    read_at_rest: Cell<u64>,
    /// Bytes moved at the last look at which they had changed, and when that was.
    seen: Cell<(u64, Instant)>,
    /// Since when there is part of a head.
    head_since: Cell<Option<Instant>>,
    ending: Cell<bool>,
    idled: Cell<bool>,
}

/// One request in flight; dropping it is its end.
#[derive(Debug)]
pub(in crate::http) struct Active(Rc<Watch>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
        self.0.read_at_rest.set(self.0.moved.read());
    }
}

impl Watch {
    pub(super) fn new(moved: Arc<Moved>, wire: Wire, timeouts: Timeouts) -> Rc<Self> {
        Rc::new(Self {
            wire,
            timeouts,
            moved,
            in_flight: Cell::new(0),
            read_at_rest: Cell::new(0),
            seen: Cell::new((0, Instant::now())),
            head_since: Cell::new(None),
            ending: Cell::new(false),
            idled: Cell::new(false),
        })
    }

    /// How often to look: a deadline is met at most this late.
    pub(super) fn period(&self) -> Duration {
        (self.timeouts.head.min(self.timeouts.idle) / 2).max(Duration::from_millis(10))
    }

    /// A request has begun.
    pub(super) fn begin(self: &Rc<Self>) -> Active {
        self.in_flight.set(self.in_flight.get() + 1);
        self.head_since.set(None);
        Active(Rc::clone(self))
    }

    /// The connection is to end as soon as it can.
    pub(super) fn end(&self) {
        self.ending.set(true);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Whether it is ending because it was idle.
    pub(super) fn is_idled(&self) -> bool {
        self.idled.get()
    }

    /// Notes that it was found idle; whether it was so before.
    pub(super) fn was_idle(&self) -> bool {
        self.idled.replace(true)
    }

    pub(super) fn look(&self, now: Instant) -> Verdict {
        let total = self.moved.total();
        let (before, since) = self.seen.get();
        if total != before {
            self.seen.set((total, now));
        }
        let still = if total == before { now.saturating_duration_since(since) } else { Duration::ZERO };
        if self.in_flight.get() > 0 {
            return if still >= self.timeouts.tunnel_idle { Verdict::Stalled } else { Verdict::Fine };
        }
        // Frames of HTTP/2 that are no request (pings, window updates) are no head.
        if self.wire == Wire::Http1 && self.moved.read() > self.read_at_rest.get() {
            let since = self.head_since.get().unwrap_or(now);
            self.head_since.set(Some(since));
            if now.saturating_duration_since(since) >= self.timeouts.head / 2 {
                return Verdict::HeadTimeout;
            }
        }
        if still >= self.timeouts.idle { Verdict::Idle } else { Verdict::Fine }
    }
}
