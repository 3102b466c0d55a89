//! How new what a source says is: as of now while the source is followed, as of when it was lost otherwise. It must not know why it was
//! lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clones are handles of the same.
#[derive(Debug, Clone, Default)]
pub struct Freshness {
    /// Unix milliseconds; 0 while it is followed.
    lost: Arc<AtomicU64>,
}

impl Freshness {
    /// Some part has not been followed since then; `None`: all of it is followed.
    pub fn lost_since(&self, ms: Option<u64>) {
        self.lost.store(ms.unwrap_or_default(), Ordering::Relaxed);
    }

    /// As of when it is known what there is.
    pub fn as_of(&self, now_ms: u64) -> u64 {
        match self.lost.load(Ordering::Relaxed) {
            0 => now_ms,
            lost => lost.min(now_ms),
        }
    }
}
