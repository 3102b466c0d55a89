//! What proxies report, kept in bounded memory for the last hour: counters and latencies per edge ([`stats`]), traces put together
//! from spans ([`traces`]), the state of each proxy ([`proxies`]). Reports enter in [`receive`]; `inspect` reads.
//!
//! The parts are synchronous and take time as an argument; [`Observatory`] is the handle that tasks share. It must not know
//! configuration.

pub mod histogram;
pub mod proxies;
pub mod receive;
pub mod stats;
pub mod traces;
pub mod tracing_demand;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_proto::inspect::v1::{StatRequest, StatResponse};
use tokio::sync::broadcast;

use proxies::Proxies;
use stats::Stats;
use traces::{Assembled, Traces};
use tracing_demand::Demand;

/// Traces that wait for a reader of `Trace`; a slower one loses the oldest, and it is counted.
const TRACE_QUEUE: usize = 256;

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
    demand: Demand,
    lagged: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    stats: Stats,
    traces: Traces,
    proxies: Proxies,
}

/// Sizes and counts, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Series kept.
    pub series: u64,
    /// Series that found no room.
    pub series_overflow: u64,
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
            demand: Demand::default(),
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
            inner.traces.settle(now_ms, self.shared.demand.changed_ms())
        };
        for trace in finished {
            // An error means that nobody reads now.
            let _ = self.shared.traces.send(Arc::new(trace));
        }
    }

    /// Reads or changes the statistics.
    pub fn stats<R>(&self, work: impl FnOnce(&mut Stats) -> R) -> R {
        work(&mut self.inner().stats)
    }

    /// Traffic of the last seconds; `now` is in Unix seconds.
    pub fn stat(&self, request: &StatRequest, now: u64) -> StatResponse {
        let inner = self.inner();
        inner.stats.query(request, now, &inner.proxies.reporters())
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
