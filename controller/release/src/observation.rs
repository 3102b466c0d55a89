//! What was seen of both versions since the last check. It must not know where figures come from.

use std::collections::BTreeMap;

use crate::plan::{Bad, Ppm};

/// Both versions over the same time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// The version that serves.
    pub stable: Side,
    /// The version that is tried.
    pub canary: Side,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Side {
    /// Endpoints that are ready.
    pub ready: u32,
    /// Figures since the last check. `None`: nobody reports, so nothing is known; that is not the same as no request.
    pub figures: Option<Figures>,
}

/// Counts of requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// All that ended.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
    /// By failure code of the mesh.
    pub codes: BTreeMap<String, u64>,
    /// How long they took.
    pub latency: Latency,
}

/// Counts by bucket: bucket `i` has what took at least 2^(i/8) microseconds and less than the next one's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Latency(pub BTreeMap<u16, u64>);

/// Buckets of an octave.
const PER_OCTAVE: f64 = 8.0;

impl Latency {
    /// How many values.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many values are in buckets above this one.
    pub fn above(&self, bucket: u16) -> u64 {
        match bucket.checked_add(1) {
            Some(first) => self.0.range(first..).map(|(_, count)| count).sum(),
            None => 0,
        }
    }

    /// The lowest bucket above which at most the share `1 - quantile` of the values is. `None` without values.
    pub fn bucket_of(&self, quantile: Ppm) -> Option<u16> {
        let total = u128::from(self.total());
        let most = total * u128::from(1_000_000 - quantile.min(1_000_000));
        let mut above = total;
        self.0.iter().find_map(|(bucket, count)| {
            above -= u128::from(*count);
            (above * 1_000_000 <= most).then_some(*bucket)
        })
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }
}

/// The bucket of a value in microseconds.
pub fn bucket_of_micros(micros: u64) -> u16 {
    if micros <= 1 { 0 } else { ((micros as f64).log2() * PER_OCTAVE) as u16 }
}

/// So many buckets make a value longer by this share, rounded up: a margin is never less than what was asked for.
pub fn buckets_of_margin(margin: Ppm) -> u16 {
    let octaves = (1.0 + f64::from(margin) / 1_000_000.0).log2();
    // What is a hair above a whole number of buckets came from rounding.
    (octaves * PER_OCTAVE - 1e-9).ceil().max(0.0) as u16
}

impl Figures {
    /// How many requests are bad, and of how many.
    pub fn count(&self, bad: &Bad) -> (u64, u64) {
        match bad {
            Bad::Failed => (self.failures.min(self.requests), self.requests),
            Bad::SlowerThan(micros) => {
                // What is in the bucket of the limit itself may be within it.
                (self.latency.above(bucket_of_micros(*micros)), self.latency.total())
            }
            Bad::Codes(codes) => {
                let count: u64 = codes.iter().filter_map(|code| self.codes.get(code)).sum();
                (count.min(self.requests), self.requests)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_whole_buckets() {
        let latency = Latency([(10, 98), (20, 1), (30, 1)].into());
        assert_eq!(latency.bucket_of(980_000), Some(10));
        assert_eq!(latency.bucket_of(990_000), Some(20));
        assert_eq!(latency.bucket_of(999_000), Some(30));
        assert_eq!((latency.above(10), latency.above(29), latency.above(30)), (2, 1, 0));
        assert_eq!(Latency::default().bucket_of(500_000), None);
    }

    #[test]
    fn margins_are_rounded_up_to_buckets() {
        assert_eq!(buckets_of_margin(0), 0);
        assert_eq!(buckets_of_margin(1), 1);
        assert_eq!(buckets_of_margin(1_000_000), 8, "twice is an octave");
        assert_eq!(buckets_of_margin(250_000), 3);
    }
}
