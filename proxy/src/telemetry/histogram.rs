//! Mergeable latency histogram: exponential buckets with base 2^(1/8) over microseconds, as `mesh.report.v1` has them.
//! Pure; it must not know clocks or series.
//!
//! Bucket `i` counts values in (2^(i/8), 2^((i+1)/8)] µs. Values up to 1 µs are in bucket 0, values beyond 2^30 µs (18
//! minutes) in the last one. The relative error of a quantile is at most 4.5 %.

use std::sync::LazyLock;

/// Number of buckets.
pub(crate) const BUCKETS: usize = 240;

/// Largest whole number of microseconds in each bucket.
static UPPER: LazyLock<[u64; BUCKETS]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let (octave, eighth) = ((i + 1) / 8, (i + 1) % 8);
        if eighth == 0 { 1 << octave } else { bound(octave, eighth) }
    })
});

/// floor(2^(octave + eighth/8)), which is irrational and far from a whole number compared with the error of `f64`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 2^30")]
fn bound(octave: usize, eighth: usize) -> u64 {
    ((octave as f64) + (eighth as f64) / 8.0).exp2().floor() as u64
}

/// The bucket of a value.
pub(crate) fn bucket(us: u64) -> usize {
    UPPER.partition_point(|upper| *upper < us).min(BUCKETS - 1)
}

/// Counts, stored only between the lowest and the highest bucket that was hit: a series of a real service needs 20 to 60
/// of the 240.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    first: usize,
    counts: Vec<u64>,
}

impl Histogram {
    /// Counts one value.
    pub(crate) fn record(&mut self, us: u64) {
        self.add(bucket(us), 1);
    }

    /// Adds to a bucket; an index beyond the last one counts as the last.
    pub(crate) fn add(&mut self, index: usize, count: u64) {
        let index = index.min(BUCKETS - 1);
        if self.counts.is_empty() {
            self.first = index;
        } else if index < self.first {
            let missing = self.first - index;
            self.counts.splice(..0, std::iter::repeat_n(0, missing));
            self.first = index;
        }
        let at = index - self.first;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        if let Some(slot) = self.counts.get_mut(at) {
            *slot = slot.saturating_add(count);
        }
    }

    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (index, count) in other.iter() {
            self.add(index, count);
        }
    }

    /// Buckets that are not zero, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(at, count)| (self.first + at, *count))
    }

    /// Sum of the counts.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Zeroes the counts and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_belong_to_the_lower_bucket() {
        for octave in 1..=30 {
            let value = 1u64 << octave;
            assert_eq!(bucket(value), octave * 8 - 1, "{value}");
            assert!(bucket(value + 1) > octave * 8 - 1 || octave == 30, "{value}");
        }
        assert_eq!((bucket(0), bucket(1)), (0, 0));
        assert_eq!((bucket(u64::MAX), bucket(1 << 40)), (BUCKETS - 1, BUCKETS - 1));
    }

    proptest! {
        #[test]
        fn a_value_is_within_its_bucket(us in 2u64..(1 << 30)) {
            let index = bucket(us) as f64;
            prop_assert!(us as f64 <= ((index + 1.0) / 8.0).exp2() + 1e-6);
            prop_assert!(us as f64 > (index / 8.0).exp2() - 1e-6);
        }

        #[test]
        fn merging_is_counting_all_together(a in prop::collection::vec(0u64..10_000_000, 0..50),
                                            b in prop::collection::vec(0u64..10_000_000, 0..50)) {
            let of = |values: &[u64]| {
                let mut histogram = Histogram::default();
                for us in values {
                    histogram.record(*us);
                }
                histogram
            };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let all = of(&[a, b].concat());
            prop_assert_eq!(merged.iter().collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
            prop_assert_eq!(merged.count(), all.count());
        }
    }
}
