//! What came of requests: counts, reasons, times. Pure but for being shared on one thread.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Most reasons that are kept apart.
const REASONS: usize = 20;
/// Longest time that is told apart, microseconds.
const LONGEST: u64 = 60_000_000;

/// Of one protocol.
#[derive(Debug)]
pub(crate) struct Tally {
    sent: u64,
    ok: u64,
    late: u64,
    failed: BTreeMap<String, u64>,
    by: BTreeMap<String, u64>,
    times: Option<Histogram<u64>>,
}

/// As it is printed.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Begun.
    pub(crate) sent: u64,
    /// Ended well.
    pub(crate) ok: u64,
    /// Ended badly.
    pub(crate) failed: u64,
    /// Not sent in time since too many others had no answer yet.
    pub(crate) late: u64,
    /// Why, and how often.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Who answered.
    pub(crate) by: BTreeMap<String, u64>,
    /// Median, microseconds.
    pub(crate) p50_us: u64,
    /// Of the slowest in a hundred, microseconds.
    pub(crate) p99_us: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            sent: 0,
            ok: 0,
            late: 0,
            failed: BTreeMap::new(),
            by: BTreeMap::new(),
            times: Histogram::new_with_bounds(1, LONGEST, 2).ok(),
        }
    }
}

impl Tally {
    pub(crate) fn sent(&mut self) {
        self.sent += 1;
    }

    pub(crate) fn late(&mut self) {
        self.late += 1;
    }

    pub(crate) fn ok(&mut self, by: &str, took: Duration) {
        self.ok += 1;
        if self.by.len() < REASONS || self.by.contains_key(by) {
            *self.by.entry(by.to_owned()).or_default() += 1;
        }
        if let Some(times) = &mut self.times {
            times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST));
        }
    }

    pub(crate) fn failed(&mut self, reason: String) {
        let reason = if self.failed.len() < REASONS || self.failed.contains_key(&reason) {
            reason
        } else {
            "other reasons".to_owned()
        };
        *self.failed.entry(reason).or_default() += 1;
    }

    pub(crate) fn summary(&self) -> Summary {
        let at = |quantile| self.times.as_ref().map_or(0, |times| times.value_at_quantile(quantile));
        Summary {
            sent: self.sent,
            ok: self.ok,
            failed: self.failed.values().sum(),
            late: self.late,
            reasons: self.failed.clone(),
            by: self.by.clone(),
            p50_us: at(0.5),
            p99_us: at(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_failed_is_lost_when_there_are_too_many_reasons() {
        let mut tally = Tally::default();
        for number in 0..100 {
            tally.sent();
            tally.failed(format!("reason {number}"));
        }
        let summary = tally.summary();
        assert_eq!((summary.sent, summary.failed, summary.reasons.len()), (100, 100, REASONS + 1));
    }
}
