//! The queue of finished records of logs, and the counts of what became of all that is sent. It must not know what a record says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mesh_proto::otlp::Signal;
use tokio::sync::mpsc;

use super::LogRecord;

/// Records that wait; with 8 KiB each at most 32 MiB, and some 2 MiB of usual ones.
pub(crate) const MAX_LOGS: usize = 4_096;

/// What became of spans, points and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The collector took them: no loss.
    Sent,
    /// The collector took them not, and said so.
    Refused,
    /// The queue was full, or the collector was away for too long.
    Dropped,
}

impl Loss {
    pub(crate) const ALL: [Self; 3] = [Self::Sent, Self::Refused, Self::Dropped];

    /// As labels have it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
        }
    }
}

/// Counts by signal and outcome, and whether anybody wants records of logs. Shared by all threads.
#[derive(Debug, Default)]
pub struct Lanes {
    wants_logs: AtomicBool,
    items: [[AtomicU64; 3]; 3],
    failures: [AtomicU64; 3],
}

impl Lanes {
    /// So many of a signal.
    pub fn count(&self, signal: Signal, loss: Loss, items: u64) {
        if let Some(cell) = self.items.get(signal as usize).and_then(|cells| cells.get(loss as usize)) {
            cell.fetch_add(items, Ordering::Relaxed);
        }
    }

    /// A batch could not be sent; it may be tried again.
    pub fn failed(&self, signal: Signal) {
        if let Some(cell) = self.failures.get(signal as usize) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub fn items(&self, signal: Signal, loss: Loss) -> u64 {
        let cell = self.items.get(signal as usize).and_then(|cells| cells.get(loss as usize));
        cell.map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    /// Batches that could not be sent at once.
    pub fn failures(&self, signal: Signal) -> u64 {
        self.failures.get(signal as usize).map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    pub(super) fn want(&self, logs: bool) {
        self.wants_logs.store(logs, Ordering::Relaxed);
    }
}

/// Where workers put finished records of logs. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct LogQueue {
    sender: mpsc::Sender<LogRecord>,
    lanes: Arc<Lanes>,
}

impl LogQueue {
    /// With its other end.
    pub(crate) fn new(lanes: &Arc<Lanes>, limit: usize) -> (Self, mpsc::Receiver<LogRecord>) {
        let (sender, receiver) = mpsc::channel(limit);
        (Self { sender, lanes: Arc::clone(lanes) }, receiver)
    }

    /// Whether records go anywhere: otherwise they need not be made.
    pub(crate) fn is_wanted(&self) -> bool {
        self.lanes.wants_logs.load(Ordering::Relaxed)
    }

    /// Never waits. Where there is no room the record is dropped and counted.
    pub(crate) fn put(&self, record: LogRecord) {
        if self.is_wanted() && self.sender.try_send(record).is_err() {
            self.lanes.count(Signal::Logs, Loss::Dropped, 1);
        }
    }
}
