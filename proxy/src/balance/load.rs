//! How busy one endpoint is: outstanding requests, peak EWMA of its latency, and whether connecting failed a moment ago. Plain
//! cells: it never leaves its worker.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How fast old latencies are forgotten.
const DECAY: f64 = 10.0;

/// Latency, in seconds, that an endpoint is taken to have while nothing at all is known.
pub(super) const UNKNOWN: f64 = 0.001;

/// How long an endpoint is avoided after its first failed connect; doubles with each further one.
const AVOID_FIRST: Duration = Duration::from_secs(1);

/// The longest that it is avoided.
const AVOID_MOST: Duration = Duration::from_secs(16);

/// Load of one endpoint.
#[derive(Debug)]
pub struct Load {
    outstanding: Cell<u32>,
    /// Seconds.
    ewma: Cell<f64>,
    measured: Cell<bool>,
    stamp: Cell<Instant>,
    failures: Cell<u32>,
    avoided_until: Cell<Option<Instant>>,
}

impl Load {
    /// With a latency to begin with, in seconds.
    pub(super) fn new(latency: f64, now: Instant) -> Self {
        Self {
            outstanding: Cell::new(0),
            ewma: Cell::new(latency),
            measured: Cell::new(false),
            stamp: Cell::new(now),
            failures: Cell::new(0),
            avoided_until: Cell::new(None),
        }
    }

    /// Counts a request as outstanding until the answer is dropped.
    pub fn begin(self: &Rc<Self>, now: Instant) -> InFlight {
        self.outstanding.set(self.outstanding.get() + 1);
        InFlight { load: Rc::clone(self), started: now }
    }

    /// Requests without an end so far.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.get()
    }

    /// Measured latency in seconds, if there is one.
    pub(super) fn latency(&self) -> Option<f64> {
        self.measured.get().then(|| self.ewma.get())
    }

    /// What one more request costs here. An idle endpoint's latency fades, so that one that was slow once is tried again.
    pub(super) fn cost(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.stamp.get()).as_secs_f64();
        self.ewma.get() * (-age / DECAY).exp() * f64::from(self.outstanding.get() + 1)
    }

    fn observe(&self, latency: Duration, now: Instant) {
        let latency = latency.as_secs_f64();
        let age = now.saturating_duration_since(self.stamp.get()).as_secs_f64();
        let old = self.ewma.get();
        // Peak: a rise counts at once, a fall only with time.
        let new = if latency > old || !self.measured.get() {
            latency
        } else {
            let keep = (-age / DECAY).exp();
            old * keep + latency * (1.0 - keep)
        };
        self.ewma.set(new);
        self.measured.set(true);
        self.stamp.set(now);
    }

    /// No connection came about: leave it alone for a moment.
    pub fn connect_failed(&self, now: Instant) {
        let failures = self.failures.get();
        let wait = AVOID_FIRST.saturating_mul(1 << failures.min(8)).min(AVOID_MOST);
        self.failures.set(failures.saturating_add(1));
        self.avoided_until.set(Some(now + wait));
    }

    /// A connection came about.
    pub fn connected(&self) {
        self.failures.set(0);
        self.avoided_until.set(None);
    }

    /// Whether connecting failed a moment ago.
    pub fn is_avoided(&self, now: Instant) -> bool {
        self.avoided_until.get().is_some_and(|until| now < until)
    }
}

/// One outstanding request; dropping it is its end.
#[derive(Debug)]
pub struct InFlight {
    load: Rc<Load>,
    started: Instant,
}

impl InFlight {
    /// The head of the response is here: this is the latency that counts.
    pub fn answered(&self, now: Instant) {
        self.load.observe(now.saturating_duration_since(self.started), now);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.load.outstanding.set(self.load.outstanding.get().saturating_sub(1));
    }
}
