//! What proxies report, kept in bounded memory for the last hour: counters and latencies per edge ([`stats`]), examples of what failed
//! ([`failures`]), answers to copies beside those of the backend ([`comparisons`]), traces put together from spans ([`traces`]), who does not
//! pass them on ([`propagation`]), tapped requests ([`taps`]), those that operators have sent ([`trials`]), the
//! state of each proxy ([`proxies`]). Reports enter in [`receive`]; `inspect` reads. What it costs at most is in decision 0017.
//!
//! The parts are synchronous and take time as an argument; [`Observatory`] is the handle that tasks share. It must not know
//! configuration.

pub mod comparisons;
pub mod costs;
pub mod failures;
pub mod histogram;
pub mod members;
pub mod promises;
pub mod propagation;
pub mod proxies;
pub mod receive;
pub mod span;
pub mod stats;
pub mod taps;
pub mod traces;
pub mod tracing_demand;
pub mod trials;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_proto::inspect::v1::{Dropping, StatRequest, StatResponse};
use mesh_proto::report::v1::{Span, Spans};
use tokio::sync::broadcast;

use comparisons::Comparisons;
use costs::Costs;
use failures::Failures;
use members::Members;
use promises::Promises;
use propagation::Propagation;
use proxies::Proxies;
use stats::{Reporter, Stats};
use taps::Taps;
use traces::{Assembled, Traces};
use tracing_demand::Demand;
use trials::Trials;

/// Traces that wait for a reader of `Trace`; a slower one loses the oldest, and it is counted.
const TRACE_QUEUE: usize = 256;
/// Messages of spans that wait for another replica; a slower one loses the oldest, and it is counted.
const SPAN_QUEUE: usize = 256;

/// Traces that are kept after they were handed on, and spans of all of them.
const MAX_FINISHED: usize = 500;
const MAX_FINISHED_SPANS: usize = 10_000;

/// What tasks share of it. Clones are handles of the same state.
#[derive(Debug, Clone)]
pub struct Observatory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Held for as long as a report is added or a question answered, never across an await.
    inner: Mutex<Inner>,
    traces: broadcast::Sender<Arc<Assembled>>,
    /// Spans as proxies of this replica report them.
    spans: broadcast::Sender<Arc<Vec<Span>>>,
    /// What proxies are asked for, by readers and by other replicas.
    demand: Demand,
    /// What readers want of other replicas.
    elsewhere: Demand,
    taps: Taps,
    trials: Trials,
    lagged: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    stats: Stats,
    promises: Promises,
    costs: Costs,
    traces: Traces,
    propagation: Propagation,
    failures: Failures,
    comparisons: Comparisons,
    proxies: Proxies,
    /// Traces that were handed on last, for who asks for one by its id.
    finished: VecDeque<Arc<Assembled>>,
}

impl Inner {
    fn keep(&mut self, finished: &[Arc<Assembled>]) {
        self.finished.extend(finished.iter().cloned());
        let mut spans: usize = self.finished.iter().map(|trace| trace.spans.len()).sum();
        while self.finished.len() > MAX_FINISHED || spans > MAX_FINISHED_SPANS {
            let Some(oldest) = self.finished.pop_front() else { return };
            spans -= oldest.spans.len();
        }
    }
}

/// Sizes and counts, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Series kept.
    pub series: u64,
    /// Series that found no room.
    pub series_overflow: u64,
    /// Series that have no history for want of room.
    pub without_history: u64,
    /// Kinds of failures kept.
    pub failures: u64,
    /// Kinds of failures that had to make room.
    pub failures_overflow: u64,
    /// Comparisons of answers that found no room.
    pub comparisons_overflow: u64,
    /// Objectives, and those that found no room.
    pub objectives: u64,
    /// See there.
    pub objectives_overflow: u64,
    /// Reports of what a proxy takes that found no room.
    pub costs_overflow: u64,
    /// Tap sessions.
    pub taps: u64,
    /// Requests that operators had proxies send, and those for which there was no room.
    pub trials: (u64, u64),
    /// Traces that wait for more of their spans.
    pub open_traces: u64,
    /// Spans that found no room.
    pub spans_dropped: u64,
    /// Traces that a reader was too slow for.
    pub traces_lagged: u64,
    /// Report streams.
    pub reporters: u64,
    /// Report streams that were refused.
    pub refused: u64,
}

impl Default for Observatory {
    fn default() -> Self {
        let shared = Shared {
            inner: Mutex::default(),
            traces: broadcast::Sender::new(TRACE_QUEUE),
            spans: broadcast::Sender::new(SPAN_QUEUE),
            demand: Demand::default(),
            elsewhere: Demand::default(),
            taps: Taps::default(),
            trials: Trials::default(),
            lagged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Observatory {
    /// Who wants traces reported, and how many.
    pub fn demand(&self) -> &Demand {
        &self.shared.demand
    }

    /// What readers want of the proxies of other replicas.
    pub fn elsewhere(&self) -> &Demand {
        &self.shared.elsewhere
    }

    /// Who taps requests.
    pub fn taps(&self) -> &Taps {
        &self.shared.taps
    }

    /// Requests that operators have proxies send.
    pub fn trials(&self) -> &Trials {
        &self.shared.trials
    }

    /// Spans as proxies of this replica report them, from now on.
    pub fn follow_spans(&self) -> broadcast::Receiver<Arc<Vec<Span>>> {
        self.shared.spans.subscribe()
    }

    /// Adds spans that a proxy reported.
    pub fn spans(&self, reporter: Reporter<'_>, instance: &str, spans: Spans, now_ms: u64) {
        let mut inner = self.inner();
        inner.traces.lost(spans.dropped);
        let believed = inner.traces.record(reporter, instance, spans.spans, now_ms);
        inner.propagation.record(&believed, now_ms);
        drop(inner);
        if self.shared.spans.receiver_count() > 0 {
            // An error means that nobody reads any more.
            let _ = self.shared.spans.send(Arc::new(believed));
        }
    }

    /// Adds spans of another replica.
    pub fn merge_spans(&self, spans: Vec<Span>, now_ms: u64) {
        let mut inner = self.inner();
        inner.propagation.record(&spans, now_ms);
        inner.traces.merge(spans, now_ms);
    }

    /// A trace that was handed on in the last minutes.
    pub fn finished(&self, trace_id: &[u8]) -> Option<Arc<Assembled>> {
        self.inner().finished.iter().rev().find(|trace| trace.trace_id == *trace_id).cloned()
    }

    /// Workloads that do not pass trace headers on.
    pub fn dropping(&self) -> Vec<Dropping> {
        self.inner().propagation.dropping()
    }

    /// Traces as they are put together, from now on.
    pub fn follow_traces(&self) -> broadcast::Receiver<Arc<Assembled>> {
        self.shared.traces.subscribe()
    }

    /// A reader of traces was too slow for so many.
    pub fn lagged(&self, traces: u64) {
        self.shared.lagged.fetch_add(traces, Ordering::Relaxed);
    }

    /// A report stream was refused.
    pub fn refused(&self) {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands finished traces to readers and forgets what is old. To be called a few times a second.
    pub fn tick(&self, now_ms: u64) {
        let finished = {
            let mut inner = self.inner();
            inner.stats.expire(now_ms / 1000);
            inner.proxies.expire(now_ms);
            inner.failures.expire(now_ms);
            inner.comparisons.expire(now_ms);
            inner.costs.expire(now_ms);
            inner.propagation.settle(now_ms);
            inner.traces.settle(now_ms, self.shared.demand.changed_ms())
        };
        self.shared.taps.expire(now_ms);
        let finished: Vec<Arc<Assembled>> = finished.into_iter().map(Arc::new).collect();
        self.inner().keep(&finished);
        for trace in finished {
            // An error means that nobody reads now.
            let _ = self.shared.traces.send(trace);
        }
    }

    /// Reads or changes the statistics.
    pub fn stats<R>(&self, work: impl FnOnce(&mut Stats) -> R) -> R {
        work(&mut self.inner().stats)
    }

    /// Reads or changes what proxies take.
    pub fn costs<R>(&self, work: impl FnOnce(&mut Costs) -> R) -> R {
        work(&mut self.inner().costs)
    }

    /// Reads or changes what is promised and how it is kept.
    pub fn promises<R>(&self, work: impl FnOnce(&mut Promises) -> R) -> R {
        work(&mut self.inner().promises)
    }

    /// What proxies of this replica said of the last seconds; `now` is in Unix seconds.
    pub fn stat(&self, request: &StatRequest, now: u64, members: &Members) -> StatResponse {
        let inner = self.inner();
        let reporters = inner.proxies.reporters().chain(inner.stats.callers()).collect();
        StatResponse { reporters, ..inner.stats.rows(request, now, members) }
    }

    /// Reads or changes the failures.
    pub fn failures<R>(&self, work: impl FnOnce(&mut Failures) -> R) -> R {
        work(&mut self.inner().failures)
    }

    /// Reads or changes how answers compare.
    pub fn comparisons<R>(&self, work: impl FnOnce(&mut Comparisons) -> R) -> R {
        work(&mut self.inner().comparisons)
    }

    /// Reads or changes the traces.
    pub fn traces<R>(&self, work: impl FnOnce(&mut Traces) -> R) -> R {
        work(&mut self.inner().traces)
    }

    /// Reads or changes the proxies' states.
    pub fn proxies<R>(&self, work: impl FnOnce(&mut Proxies) -> R) -> R {
        work(&mut self.inner().proxies)
    }

    /// Sizes and counts.
    pub fn counts(&self) -> Counts {
        let inner = self.inner();
        Counts {
            series: inner.stats.len() as u64,
            series_overflow: inner.stats.overflow(),
            without_history: inner.stats.without_history(),
            failures: inner.failures.len() as u64,
            failures_overflow: inner.failures.overflow(),
            comparisons_overflow: inner.comparisons.overflow(),
            objectives: inner.promises.len() as u64,
            objectives_overflow: inner.promises.overflow(),
            costs_overflow: inner.costs.overflow(),
            taps: self.shared.taps.len() as u64,
            trials: self.shared.trials.counts(),
            open_traces: inner.traces.open() as u64,
            spans_dropped: inner.traces.dropped(),
            traces_lagged: self.shared.lagged.load(Ordering::Relaxed),
            reporters: inner.proxies.connected() as u64,
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic while it was held leaves counters at worst one report short.
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
