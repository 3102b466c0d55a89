//! What a visitor counted: requests, failures, versions, latencies. Pure; time is an argument. It must not know how
//! requests are made.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Failures that are kept in words.
const KEPT_FAILURES: usize = 5;
/// A minute: above it the histogram saturates.
const LONGEST_US: u64 = 60_000_000;

/// One visit as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Visit {
    /// The page came.
    Served {
        /// Which version of `reviews` was asked for it.
        reviews: String,
        /// It had to do without the recommendations.
        degraded: bool,
    },
    /// It did not; why, in words.
    Failed(String),
}

/// Counts of all visits so far.
#[derive(Debug)]
pub(crate) struct Tally {
    requests: u64,
    failed: u64,
    degraded: u64,
    skipped: u64,
    versions: BTreeMap<String, Seen>,
    failures: Vec<String>,
    latency: Option<Histogram<u32>>,
}

/// How often and when a version was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) count: u64,
    pub(crate) last: Instant,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        // Three digits between 1 microsecond and a minute: bounds that the histogram always accepts.
        let latency = Histogram::new_with_bounds(1, LONGEST_US, 3).ok();
        Self {
            requests: 0,
            failed: 0,
            degraded: 0,
            skipped: 0,
            versions: BTreeMap::new(),
            failures: Vec::new(),
            latency,
        }
    }

    /// Counts a visit that ended `now` after `took`.
    pub(crate) fn add(&mut self, visit: Visit, took: Duration, now: Instant) {
        self.requests += 1;
        if let Some(histogram) = &mut self.latency {
            histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US).max(1));
        }
        match visit {
            Visit::Served { reviews, degraded } => {
                self.degraded += u64::from(degraded);
                let seen = self.versions.entry(reviews).or_insert(Seen { count: 0, last: now });
                seen.count += 1;
                seen.last = now;
            }
            Visit::Failed(reason) => {
                self.failed += 1;
                if self.failures.len() < KEPT_FAILURES {
                    self.failures.push(reason);
                }
            }
        }
    }

    /// Counts a visit that was not made because too many were under way.
    pub(crate) fn skip(&mut self) {
        self.skipped += 1;
    }

    /// Visits that ended.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Visits that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// Pages without recommendations.
    pub(crate) fn degraded(&self) -> u64 {
        self.degraded
    }

    /// Visits that were not made.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The first few failures in words.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// How often a version was seen, and when last.
    pub(crate) fn seen(&self, version: &str) -> Option<Seen> {
        self.versions.get(version).copied()
    }

    /// The versions and how often each was seen.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&str, u64)> {
        self.versions.iter().map(|(version, seen)| (version.as_str(), seen.count))
    }

    /// Latency in milliseconds at a quantile of 0 to 1.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency.as_ref().map_or(0.0, |histogram| histogram.value_at_quantile(quantile) as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_counted_by_outcome_and_version() {
        let mut tally = Tally::new();
        let now = Instant::now();
        let served = |reviews: &str, degraded| Visit::Served { reviews: reviews.into(), degraded };
        tally.add(served("v1", false), Duration::from_millis(2), now);
        tally.add(served("v1", true), Duration::from_millis(4), now + Duration::from_secs(1));
        for _ in 0..8 {
            tally.add(Visit::Failed("503 no_endpoints".into()), Duration::from_millis(6), now);
        }
        assert_eq!((tally.requests(), tally.failed(), tally.degraded()), (10, 8, 1));
        assert_eq!(tally.seen("v1"), Some(Seen { count: 2, last: now + Duration::from_secs(1) }));
        assert_eq!(tally.seen("v2"), None);
        assert_eq!(tally.failures().len(), KEPT_FAILURES);
        assert!((5.9..6.1).contains(&tally.quantile_ms(0.99)));
    }
}
