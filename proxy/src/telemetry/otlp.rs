//! What goes to a collector of OpenTelemetry's: bounded queues for spans and records of logs, and all of it as OTLP's messages. It must not
//! know who sends them, nor whether that works.
//!
//! Nothing here waits: what finds no room is dropped and counted, and a request goes on.

mod logs;
mod metrics;
mod queue;
mod resource;
mod traces;
mod value;

use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use mesh_model::settings::Signals;
pub use mesh_proto::otlp::Signal;

pub use self::logs::{LogRecord, Severity};
pub use self::queue::{Lanes, Loss};
pub(crate) use self::queue::{LogQueue, MAX_LOGS};
pub use self::resource::{Resource, app_of_pod};
pub use self::value::Value;
use super::hub::Shared;

/// Spans in a batch. With the bounds on their texts it stays below the 4 MiB that gRPC servers read by default.
const SPANS_A_BATCH: usize = 512;
/// Records of logs in a batch: each has 8 KiB at most.
const LOGS_A_BATCH: usize = 256;

/// What a collector is to be sent, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The message.
    pub message: Vec<u8>,
    /// Spans, points or records in it.
    pub items: u64,
    /// There may be more of them.
    pub full: bool,
}

/// The end of telemetry from which a collector is fed. Clones share everything.
#[derive(Debug, Clone)]
pub struct Outlet {
    pub(super) shared: Arc<Shared>,
}

impl Outlet {
    /// What is wanted from now on; what waits of the others is thrown away, uncounted, since nobody wants it.
    pub fn want(&self, signals: Signals) {
        let Signals { traces, logs, metrics: _ } = signals;
        self.shared.sums().export_spans(traces);
        self.shared.lanes.want(logs);
        if !logs {
            drop(self.logs(usize::MAX));
        }
    }

    /// The next batch of a signal; `None`: there is nothing to tell. Of metrics it is everything as of now.
    pub fn batch(&self, signal: Signal, resource: &Resource) -> Option<Batch> {
        match signal {
            Signal::Traces => {
                let spans = self.shared.sums().take_exported(SPANS_A_BATCH);
                let items = spans.len();
                (items > 0).then(|| batch(traces::message(spans, resource), items, SPANS_A_BATCH))
            }
            Signal::Logs => {
                let records = self.logs(LOGS_A_BATCH);
                let items = records.len();
                (items > 0).then(|| batch(logs::message(records, resource), items, LOGS_A_BATCH))
            }
            Signal::Metrics => {
                let (message, items) =
                    metrics::message(&self.shared.sums(), resource, (self.shared.born, SystemTime::now()));
                (items > 0).then(|| batch(message, items, usize::MAX))
            }
        }
    }

    fn logs(&self, limit: usize) -> Vec<LogRecord> {
        let mut receiver = self.shared.log_records.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| receiver.try_recv().ok()).take(limit).collect()
    }

    /// How records fare.
    pub fn lanes(&self) -> &Lanes {
        &self.shared.lanes
    }

    /// As if the workers had ended.
    #[cfg(test)]
    pub(crate) fn end_for_tests(&self) {
        self.shared.collected.cancel();
    }

    /// Ends when the workers have handed over what they counted last.
    pub async fn collected(&self) {
        self.shared.collected.cancelled().await;
    }
}

fn batch(message: Vec<u8>, items: usize, limit: usize) -> Batch {
    Batch { message, items: u64::try_from(items).unwrap_or(u64::MAX), full: items >= limit }
}

#[cfg(test)]
mod tests;
