//! The cells of one worker: plain counters without locks or atomics, handed to the control thread as deltas.
//! It must not know Prometheus, the report stream or the other workers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use mesh_model::name::Name;
use tokio::sync::{mpsc, watch};

use super::access::{AccessLogger, AccessRecord};
use super::decisions::Decisions;
use super::example::Examples;
use super::histogram::Histogram;
use super::otlp::{LogQueue, LogRecord};
use super::outside::{Outside, Passed, SeenIn};
use super::tap::{Board, Head, Tapped, Watch};
use crate::config::Counts;

use super::{Direction, Event, ExampleRecord, Pair, PolicyVerdict, SeriesKey, Side, SpanRecord, Way};

#[cfg(test)]
pub(super) mod tests;

/// Series a worker holds at once; beyond it requests are counted in overflow series.
pub(crate) const MAX_SERIES: usize = 2_000;
/// Spans a worker holds between two flushes.
pub(crate) const MAX_SPANS: usize = 2_000;
/// Of so many requests the time in the proxy is measured of one.
const TIMED: u8 = 16;
/// A series without requests in this many flushes, and without a handle, gives its place back.
const IDLE_FLUSHES: u32 = 60;

/// What a worker counted since its last flush.
#[derive(Debug)]
pub(crate) struct WorkerDelta {
    pub(crate) series: Vec<(SeriesKey, SeriesDelta)>,
    pub(crate) events: [u64; Event::ALL.len()],
    pub(crate) opened: [u64; 2],
    pub(crate) closed: [u64; 2],
    pub(crate) spans: Vec<SpanRecord>,
    pub(crate) spans_dropped: u64,
    pub(crate) overflows: u64,
    pub(crate) outside: Outside,
    pub(crate) decisions: Decisions,
    pub(crate) examples: Examples,
    /// Time of requests in this proxy, inbound and outbound.
    pub(crate) own: [Histogram; 2],
}

impl Default for WorkerDelta {
    fn default() -> Self {
        Self {
            series: Vec::new(),
            // Longer arrays have no default of their own.
            events: [0; Event::ALL.len()],
            opened: [0; 2],
            closed: [0; 2],
            spans: Vec::new(),
            spans_dropped: 0,
            overflows: 0,
            outside: Outside::default(),
            decisions: Decisions::default(),
            examples: Examples::default(),
            own: Default::default(),
        }
    }
}

/// What was added to one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeriesDelta {
    pub(crate) requests: u64,
    pub(crate) latency_sum_us: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) latency: Histogram,
    /// A request of it that is traced, the newest.
    pub(crate) traced: Option<Traced>,
}

/// A traced request, as an exemplar of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traced {
    pub(crate) trace_id: [u8; 16],
    pub(crate) latency_us: u64,
    pub(crate) at: SystemTime,
}

impl SeriesDelta {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.latency_sum_us = self.latency_sum_us.saturating_add(other.latency_sum_us);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.latency.merge(&other.latency);
        self.traced = other.traced.or(self.traced);
    }
}

/// From which a worker thread builds its [`WorkerTelemetry`].
#[derive(Debug, Clone)]
pub struct WorkerSeed {
    pub(crate) deltas: mpsc::Sender<WorkerDelta>,
    pub(crate) pairs: mpsc::Sender<Pair>,
    pub(crate) tracing_ppm: Arc<AtomicU32>,
    pub(crate) board: Arc<Board>,
    pub(crate) logs: LogQueue,
    pub(crate) access: watch::Receiver<Option<Arc<AccessLogger>>>,
    pub(crate) counts: Counts,
}

impl WorkerSeed {
    /// To be called on the worker's own thread.
    pub fn build(self) -> WorkerTelemetry {
        self.build_of(MAX_SERIES)
    }

    /// With another bound on series.
    #[cfg(test)]
    pub(crate) fn build_with_limit(self, limit: usize) -> WorkerTelemetry {
        self.build_of(limit)
    }

    fn build_of(self, limit: usize) -> WorkerTelemetry {
        let taps = Rc::new(Watch::new(Arc::clone(&self.board)));
        let access = Rc::new(Access::new(self.access.clone()));
        WorkerTelemetry { cells: Rc::new(Cells::new(limit)), seed: self, taps, access }
    }
}

/// The telemetry of one worker. Clones share the cells; it stays on its thread.
#[derive(Debug, Clone)]
pub struct WorkerTelemetry {
    cells: Rc<Cells>,
    seed: WorkerSeed,
    taps: Rc<Watch>,
    access: Rc<Access>,
}

/// The access log of the hour, and where its lines are made.
#[derive(Debug)]
struct Access {
    loggers: RefCell<watch::Receiver<Option<Arc<AccessLogger>>>>,
    current: RefCell<Option<Arc<AccessLogger>>>,
    scratch: RefCell<Vec<u8>>,
}

impl Access {
    fn new(mut loggers: watch::Receiver<Option<Arc<AccessLogger>>>) -> Self {
        let current = loggers.borrow_and_update().clone();
        Self { loggers: RefCell::new(loggers), current: RefCell::new(current), scratch: RefCell::default() }
    }

    /// Costs one atomic load when nothing changed.
    fn current(&self) -> Option<Arc<AccessLogger>> {
        let mut loggers = self.loggers.borrow_mut();
        // An error means that the control thread is gone; the last word stays in force.
        if loggers.has_changed().unwrap_or(false) {
            self.current.borrow_mut().clone_from(&loggers.borrow_and_update());
        }
        self.current.borrow().clone()
    }
}

/// Looked up once a request. What keys consist of is bounded by the topology, so no peer can choose keys that meet.
type Series = HashMap<SeriesKey, Rc<SeriesCell>, foldhash::fast::RandomState>;

#[derive(Debug)]
struct Cells {
    limit: usize,
    series: RefCell<Series>,
    overflow: RefCell<Series>,
    overflows: Cell<u64>,
    events: [Cell<u64>; Event::ALL.len()],
    opened: [Cell<u64>; 2],
    closed: [Cell<u64>; 2],
    spans: RefCell<Vec<SpanRecord>>,
    spans_dropped: Cell<u64>,
    outside: RefCell<Outside>,
    decisions: RefCell<Decisions>,
    examples: RefCell<Examples>,
    own: RefCell<[Histogram; 2]>,
    turn: Cell<u8>,
}

impl Cells {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            series: RefCell::default(),
            overflow: RefCell::default(),
            overflows: Cell::default(),
            events: [const { Cell::new(0) }; Event::ALL.len()],
            opened: Default::default(),
            closed: Default::default(),
            spans: RefCell::default(),
            spans_dropped: Cell::default(),
            outside: RefCell::default(),
            decisions: RefCell::default(),
            examples: RefCell::default(),
            own: RefCell::default(),
            turn: Cell::default(),
        }
    }
}

#[derive(Debug, Default)]
struct SeriesCell {
    requests: Cell<u64>,
    latency_sum_us: Cell<u64>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    latency: RefCell<Histogram>,
    traced: Cell<Option<Traced>>,
    idle: Cell<u32>,
}

/// Where the requests of one series are counted. Cheap to clone; hold it as long as the series is in use.
#[derive(Debug, Clone)]
pub struct SeriesHandle(Rc<SeriesCell>);

impl SeriesHandle {
    /// Counts one request (or one TCP connection): how long it took, what the client sent and what it got, in bytes.
    pub fn record(&self, latency: Duration, bytes_in: u64, bytes_out: u64) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        add(&self.0.requests, 1);
        add(&self.0.latency_sum_us, us);
        add(&self.0.bytes_in, bytes_in);
        add(&self.0.bytes_out, bytes_out);
        self.0.latency.borrow_mut().record(us);
    }

    /// The request that was just recorded is traced: it becomes the exemplar of its series.
    pub fn traced(&self, latency: Duration, trace_id: &[u8; 16], at: SystemTime) {
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.traced.set(Some(Traced { trace_id: *trace_id, latency_us, at }));
    }
}

impl SeriesCell {
    /// What was added since the last call, if anything.
    fn take(&self) -> Option<SeriesDelta> {
        if self.requests.get() == 0 {
            self.idle.set(self.idle.get().saturating_add(1));
            return None;
        }
        self.idle.set(0);
        let mut live = self.latency.borrow_mut();
        let latency = live.clone();
        live.clear();
        Some(SeriesDelta {
            requests: self.requests.take(),
            latency_sum_us: self.latency_sum_us.take(),
            bytes_in: self.bytes_in.take(),
            bytes_out: self.bytes_out.take(),
            latency,
            traced: self.traced.take(),
        })
    }
}

impl WorkerTelemetry {
    /// The series of that key. Beyond the bound it is one that stands for many (`route="overflow"`), and that is counted.
    pub fn series(&self, key: &SeriesKey) -> SeriesHandle {
        let mut series = self.cells.series.borrow_mut();
        if let Some(cell) = series.get(key) {
            return SeriesHandle(Rc::clone(cell));
        }
        if series.len() < self.cells.limit {
            return SeriesHandle(Rc::clone(series.entry(key.clone()).or_default()));
        }
        add(&self.cells.overflows, 1);
        SeriesHandle(Rc::clone(self.cells.overflow.borrow_mut().entry(key.overflow()).or_default()))
    }

    /// A connection of the workload, or to it, was accepted.
    pub fn connection_opened(&self, direction: Direction) {
        add(pick(&self.cells.opened, direction), 1);
    }

    /// It has ended.
    pub fn connection_closed(&self, direction: Direction) {
        add(pick(&self.cells.closed, direction), 1);
    }

    /// Counts a verdict of an authorization policy.
    pub fn decision(&self, direction: Direction, verdict: PolicyVerdict, policy: &Name) {
        self.cells.decisions.borrow_mut().add(direction, verdict, Some(policy), 1);
    }

    /// Counts a connection to outside the mesh that has ended, by the name that it was seen with, and what the client sent and got.
    pub fn outside(&self, seen: SeenIn, name: &str, bytes_out: u64, bytes_in: u64) {
        let passed = Passed { connections: 1, bytes_out, bytes_in };
        self.cells.outside.borrow_mut().add(seen, name, passed);
    }

    /// Counts an event.
    pub fn count(&self, event: Event) {
        self.count_many(event, 1);
    }

    /// As often as that.
    pub fn count_many(&self, event: Event, times: u64) {
        if let Some(cell) = self.cells.events.get(event.index()) {
            add(cell, times);
        }
    }

    /// Keeps a span until the next flush. When 2,000 wait already it is dropped and counted.
    pub fn span(&self, span: SpanRecord) {
        let mut spans = self.cells.spans.borrow_mut();
        if spans.len() < MAX_SPANS {
            spans.push(span.cut());
        } else {
            add(&self.cells.spans_dropped, 1);
        }
    }

    /// By whose settings requests and connections that begin now are written; `None`: they are not.
    pub fn access_log(&self) -> Option<Arc<AccessLogger>> {
        self.access.current()
    }

    /// Writes a request or connection that has ended, if the settings want it. It never waits.
    pub fn access(&self, record: &AccessRecord<'_>) {
        record.logger.write(record, &mut self.access.scratch.borrow_mut(), &self.seed.logs);
    }

    /// Whether records of logs go to a collector: otherwise they need not be made. One relaxed load.
    pub fn exports_logs(&self) -> bool {
        self.seed.logs.is_wanted()
    }

    /// Puts a finished record of a log where a collector gets it from. It never waits: without room the record is dropped and counted.
    pub fn export_log(&self, record: LogRecord) {
        self.seed.logs.put(record);
    }

    /// A request that somebody may tap, of that side and head; a connection has none.
    pub(crate) fn tapped(&self, side: Side, head: Option<&dyn Head>) -> Option<Tapped> {
        self.taps.current()?.wanted(side, head)
    }

    /// It has ended.
    pub(crate) fn tell(&self, tapped: Tapped, span: SpanRecord) {
        self.taps.tell(tapped, span);
    }

    /// Counts a failure; the first of its kind since the last flush becomes the example.
    pub fn failed(&self, key: &SeriesKey, why: Way, example: impl FnOnce() -> ExampleRecord) {
        self.cells.examples.borrow_mut().note(key, why, example);
    }

    /// Has answers compared on the control thread. It never waits: without room they are thrown away, and that is counted.
    pub fn compare(&self, pair: Pair) {
        self.count(if self.seed.pairs.try_send(pair).is_ok() {
            Event::Compared
        } else {
            Event::CompareDropped
        });
    }

    /// Whether requests leave no trace here.
    pub(crate) fn is_off(&self) -> bool {
        self.seed.counts == Counts::Nothing
    }

    /// Whether the time of this request in the proxy is measured: of one of sixteen it is.
    pub(crate) fn is_timed(&self) -> bool {
        let turn = self.cells.turn.get();
        self.cells.turn.set((turn + 1) % TIMED);
        turn == 0
    }

    /// How long a request that is timed was in this proxy.
    pub(crate) fn own_time(&self, side: Side, time: Duration) {
        let mut own = self.cells.own.borrow_mut();
        let [inbound, outbound] = &mut *own;
        let of_side = match side {
            Side::Inbound => inbound,
            Side::Outbound => outbound,
        };
        of_side.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// The share of traces that an operator asked for just now, parts per million, besides those that callers sample. To
    /// be decided by [`crate::trace::sampled_by_id`].
    pub fn tracing_ppm(&self) -> u32 {
        self.seed.tracing_ppm.load(Ordering::Relaxed)
    }

    /// Hands everything counted since the last flush to the control thread. When that is behind, nothing is handed over
    /// and nothing is lost: the cells go on counting. To be called every second, and once with
    /// [`WorkerTelemetry::flush_last`] at the end.
    pub async fn flush(&self) {
        match self.seed.deltas.try_reserve() {
            Ok(permit) => permit.send(self.take()),
            Err(mpsc::error::TrySendError::Full(())) => self.count(Event::FlushDelayed),
            // The control thread has ended: the process is going down.
            Err(mpsc::error::TrySendError::Closed(())) => {}
        }
    }

    /// As [`WorkerTelemetry::flush`], but waits up to `deadline` for room; for the end of the worker.
    pub async fn flush_last(&self, deadline: Duration) {
        if let Ok(Ok(permit)) = tokio::time::timeout(deadline, self.seed.deltas.reserve()).await {
            permit.send(self.take());
        }
    }

    fn take(&self) -> WorkerDelta {
        let mut series = Vec::new();
        for map in [&self.cells.series, &self.cells.overflow] {
            map.borrow_mut().retain(|key, cell| {
                match cell.take() {
                    Some(delta) => series.push((key.clone(), delta)),
                    // A handle may still be recorded to, so only the map's own reference may be given up.
                    None if cell.idle.get() > IDLE_FLUSHES && Rc::strong_count(cell) == 1 => return false,
                    None => {}
                }
                true
            });
        }
        WorkerDelta {
            series,
            events: self.cells.events.each_ref().map(Cell::take),
            opened: self.cells.opened.each_ref().map(Cell::take),
            closed: self.cells.closed.each_ref().map(Cell::take),
            spans: self.cells.spans.take(),
            spans_dropped: self.cells.spans_dropped.take(),
            overflows: self.cells.overflows.take(),
            outside: self.cells.outside.take(),
            decisions: self.cells.decisions.take(),
            examples: self.cells.examples.take(),
            own: self.cells.own.take(),
        }
    }
}

fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get().saturating_add(count));
}

fn pick(cells: &[Cell<u64>; 2], direction: Direction) -> &Cell<u64> {
    let [inbound, outbound] = cells;
    match direction {
        Direction::Inbound => inbound,
        Direction::Outbound => outbound,
    }
}
