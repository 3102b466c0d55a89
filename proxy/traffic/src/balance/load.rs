//! What one endpoint is known to be: requests under way, peak EWMA of its latency, and why it may not be usable now (a failed connect, an
//! ejection, a failed probe). Plain cells: it never leaves its worker. It must not know other endpoints but through [`Shared`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mesh_model::traffic::{OutlierDetection, SlowStart};

use super::counts::Counts;
use crate::health::Verdict;
use crate::outlier::{self, Outcome, Reason, Sample};

/// How fast old latencies are forgotten, in seconds.
const DECAY: f64 = 10.0;

/// How long an endpoint is avoided after its first failed connect; doubles with each further one.
const AVOID_FIRST: Duration = Duration::from_secs(1);

/// The longest that it is avoided.
const AVOID_MOST: Duration = Duration::from_secs(16);

/// The smallest share of a warming endpoint: with none at all it would never be tried.
const LEAST_WARMTH: f64 = 0.01;

/// What all endpoints of a balancer have in common.
#[derive(Debug)]
pub(super) struct Shared {
    /// Requests under way.
    pub(super) total: Cell<u32>,
    /// Whether an endpoint became usable or the contrary since the last look.
    pub(super) changed: Cell<bool>,
    pub(super) rules: Cell<OutlierDetection>,
    pub(super) slow_start: Cell<Option<SlowStart>>,
    /// Endpoints that are not draining.
    pub(super) ready: Cell<u32>,
    pub(super) ejected: Cell<u32>,
    pub(super) counts: RefCell<Counts>,
}

impl Shared {
    pub(super) fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.counts.borrow_mut());
    }
}

/// Whether an endpoint is left alone from now on because of what was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ejected {
    /// It was not before.
    Yes,
    /// It goes on as it was.
    No,
}

impl Ejected {
    /// That, if it is.
    pub fn then<T>(self, what: T) -> Option<T> {
        (self == Self::Yes).then_some(what)
    }
}

/// Load and health of one endpoint.
#[derive(Debug)]
pub struct Load {
    pub(super) shared: Rc<Shared>,
    outstanding: Cell<u32>,
    /// Seconds.
    ewma: Cell<f64>,
    measured: Cell<bool>,
    stamp: Cell<Instant>,
    failures: Cell<u32>,
    avoided_until: Cell<Option<Instant>>,
    errors_in_a_row: Cell<u32>,
    sample: Cell<Sample>,
    ejected_until: Cell<Option<Instant>>,
    ejections: Cell<u32>,
    returned: Cell<Option<Instant>>,
    verdict: Cell<Verdict>,
    /// Since when its share grows; `None`: it has all of it.
    warming: Cell<Option<Instant>>,
    /// Whether it was usable at the last look.
    pub(super) was_usable: Cell<bool>,
    /// Whether requests go to it now: usable, or the others are too few.
    pub(super) in_pool: Cell<bool>,
    /// Its weight relative to the mean of its group.
    pub(super) share: Cell<f64>,
    /// When its next turn is, in the round robin's time.
    pub(super) turn: Cell<Option<u128>>,
    /// It left the set; what still is under way counts for nothing.
    pub(super) gone: Cell<bool>,
}

impl Load {
    /// Of which nothing is known.
    pub(super) fn new(shared: Rc<Shared>, now: Instant) -> Self {
        Self {
            shared,
            outstanding: Cell::new(0),
            ewma: Cell::new(0.0),
            measured: Cell::new(false),
            stamp: Cell::new(now),
            failures: Cell::new(0),
            avoided_until: Cell::new(None),
            errors_in_a_row: Cell::new(0),
            sample: Cell::default(),
            ejected_until: Cell::new(None),
            ejections: Cell::new(0),
            returned: Cell::new(None),
            verdict: Cell::default(),
            warming: Cell::new(None),
            was_usable: Cell::new(true),
            in_pool: Cell::new(false),
            share: Cell::new(1.0),
            turn: Cell::new(None),
            gone: Cell::new(false),
        }
    }

    /// Counts a request as under way until the answer is dropped.
    pub fn begin(self: &Rc<Self>, now: Instant) -> InFlight {
        self.outstanding.set(self.outstanding.get() + 1);
        self.shared.total.set(self.shared.total.get() + 1);
        InFlight { load: Rc::clone(self), started: now }
    }

    /// Requests without an end so far.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.get()
    }

    /// Measured latency in seconds, if there is one.
    pub fn latency(&self) -> Option<f64> {
        self.measured.get().then(|| self.ewma.get())
    }

    /// Whether one more request costs less here: latency times requests under way for the share. An idle endpoint's latency fades, so
    /// that one that was slow once is tried again. While one of the two has not answered yet, only requests count: it is neither
    /// flooded nor shunned.
    pub(super) fn is_better(&self, other: &Self, now: Instant) -> bool {
        let (own, others) = (1.0 + self.pressure(now), 1.0 + other.pressure(now));
        if self.measured.get() && other.measured.get() {
            self.faded(now) * own < other.faded(now) * others
        } else {
            own < others
        }
    }

    /// Its latency as it counts now, in seconds.
    fn faded(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.stamp.get()).as_secs_f64();
        self.ewma.get() * (-age / DECAY).exp()
    }

    /// Requests under way for its share.
    pub(super) fn pressure(&self, now: Instant) -> f64 {
        f64::from(self.outstanding.get()) / (self.share.get() * self.warmth(now))
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

    /// No connection came about: leave it alone for a moment. Counts as an error of the endpoint too. Says whether it is ejected for it.
    pub fn connect_failed(&self, now: Instant) -> Ejected {
        let failures = self.failures.get();
        let wait = AVOID_FIRST.saturating_mul(1 << failures.min(8)).min(AVOID_MOST);
        self.failures.set(failures.saturating_add(1));
        self.avoided_until.set(Some(now + wait));
        self.shared.changed.set(true);
        self.record(Outcome::Error, Duration::ZERO, now)
    }

    /// A connection came about.
    pub fn connected(&self) {
        self.failures.set(0);
        if self.avoided_until.take().is_some() {
            self.shared.changed.set(true);
        }
    }

    /// Whether connecting failed a moment ago.
    pub fn is_avoided(&self, now: Instant) -> bool {
        self.avoided_until.get().is_some_and(|until| now < until)
    }

    /// How a request to it ended; `latency` is the time to the head of the answer. Too many errors in a row eject it at once:
    /// it says whether this one did.
    pub fn record(&self, outcome: Outcome, latency: Duration, now: Instant) -> Ejected {
        let mut ejected = Ejected::No;
        if self.gone.get() {
            return ejected;
        }
        let mut sample = self.sample.get();
        sample.requests = sample.requests.saturating_add(1);
        match outcome {
            Outcome::Success => {
                sample.latency += latency.as_secs_f64();
                self.errors_in_a_row.set(0);
            }
            Outcome::Error => {
                sample.errors = sample.errors.saturating_add(1);
                let errors = self.errors_in_a_row.get().saturating_add(1);
                self.errors_in_a_row.set(errors);
                if self.shared.rules.get().consecutive_errors.is_some_and(|most| errors >= most.max(1)) {
                    ejected = self.eject(Reason::Errors, now);
                }
            }
        }
        self.sample.set(sample);
        ejected
    }

    /// Leaves it alone for a time, unless as many are left alone already as may be.
    pub(super) fn eject(&self, reason: Reason, now: Instant) -> Ejected {
        if self.ejected_until.get().is_some() {
            return Ejected::No;
        }
        let (shared, rules) = (&self.shared, self.shared.rules.get());
        if shared.ejected.get() >= outlier::ejectable(shared.ready.get(), rules.max_ejected) {
            // It is looked at again after as many further errors.
            self.errors_in_a_row.set(0);
            shared.count(|counts| counts.spared += 1);
            return Ejected::No;
        }
        let times = outlier::next_times(&rules, self.ejections.get(), self.returned.get(), now);
        self.ejections.set(times);
        self.ejected_until.set(Some(now + outlier::ejection(&rules, times)));
        shared.ejected.set(shared.ejected.get() + 1);
        shared.changed.set(true);
        shared.count(|counts| match reason {
            Reason::Errors => counts.ejected_errors += 1,
            Reason::SuccessRate => counts.ejected_success_rate += 1,
            Reason::Latency => counts.ejected_latency += 1,
        });
        Ejected::Yes
    }

    /// Lets it come back if its time is over. It is on probation: the first error ejects it again, a success clears it.
    pub(super) fn come_back(&self, now: Instant) {
        if let Some(until) = self.ejected_until.get()
            && until <= now
        {
            self.ejected_until.set(None);
            // Also where nobody asked for it meanwhile: it gets its share bit by bit.
            self.was_usable.set(false);
            self.returned.set(Some(until));
            let most = self.shared.rules.get().consecutive_errors.unwrap_or(1);
            self.errors_in_a_row.set(most.saturating_sub(1));
            self.sample.set(Sample::default());
            self.shared.count(|counts| counts.returned += 1);
        }
    }

    /// Whether it is left alone now.
    pub fn is_ejected(&self) -> bool {
        self.ejected_until.get().is_some()
    }

    /// What it did since the last call.
    pub(super) fn take_sample(&self) -> Sample {
        self.sample.take()
    }

    /// What probes say of it.
    pub fn verdict(&self) -> Verdict {
        self.verdict.get()
    }

    /// Probes have found this out.
    pub fn set_verdict(&self, verdict: Verdict) {
        let before = self.verdict.replace(verdict);
        let (was, is) = (before == Verdict::Unhealthy, verdict == Verdict::Unhealthy);
        if was != is {
            self.shared.changed.set(true);
            self.shared.count(|counts| if is { counts.unhealthy += 1 } else { counts.recovered += 1 });
        }
    }

    /// Whether health speaks for it now.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        !self.is_ejected() && self.verdict.get() != Verdict::Unhealthy && !self.is_avoided(now)
    }

    /// When its health may change by time alone.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        let ends = [self.ejected_until.get(), self.avoided_until.get()];
        ends.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Gives it its share bit by bit from now on. What was known of its latency is old.
    pub(super) fn warm_up(&self, now: Instant) {
        self.warming.set(Some(now));
        self.measured.set(false);
    }

    /// The part of its share that it gets now, above 0, at most 1.
    pub(super) fn warmth(&self, now: Instant) -> f64 {
        let Some(since) = self.warming.get() else { return 1.0 };
        let age = now.saturating_duration_since(since);
        match self.shared.slow_start.get() {
            Some(slow) if age < slow.window => {
                let part = age.as_secs_f64() / slow.window.as_secs_f64();
                part.max(f64::from(slow.floor.0) / 1_000_000.0).clamp(LEAST_WARMTH, 1.0)
            }
            _ => {
                self.warming.set(None);
                1.0
            }
        }
    }
}

/// One request under way; dropping it is its end.
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

    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The endpoint's load, to record the outcome with.
    pub fn load(&self) -> &Rc<Load> {
        &self.load
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let load = &self.load;
        load.outstanding.set(load.outstanding.get().saturating_sub(1));
        load.shared.total.set(load.shared.total.get().saturating_sub(1));
    }
}
