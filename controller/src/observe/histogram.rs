//! Exponential histograms with base 2^(1/8): merging and quantiles. Pure. Source: `mesh.report.v1.Histogram`.

use mesh_proto::report::v1::Histogram as Wire;

/// Buckets of an octave.
const PER_OCTAVE: f64 = 8.0;
/// The highest bucket: about 2^48 microseconds, nine years. What is above is counted in it.
const MAX_INDEX: u16 = 384;

/// Counts per bucket, ascending by index, without empty ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    buckets: Vec<(u16, u32)>,
}

impl Histogram {
    /// From the wire. What cannot be (more indices than counts, wrong order) is taken for what it can mean.
    pub fn from_wire(wire: &Wire) -> Self {
        let mut histogram = Self::default();
        for (index, count) in wire.indices.iter().zip(&wire.counts).take(usize::from(MAX_INDEX) + 1) {
            histogram
                .add(u16::try_from(*index).unwrap_or(MAX_INDEX), u32::try_from(*count).unwrap_or(u32::MAX));
        }
        histogram
    }

    /// For the wire.
    pub fn to_wire(&self) -> Wire {
        let (indices, counts) =
            self.buckets.iter().map(|(index, count)| (u32::from(*index), u64::from(*count))).unzip();
        Wire { indices, counts }
    }

    /// Counts `count` values of bucket `index`.
    pub fn add(&mut self, index: u16, count: u32) {
        if count == 0 {
            return;
        }
        let index = index.min(MAX_INDEX);
        match self.buckets.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => {
                if let Some((_, now)) = self.buckets.get_mut(at) {
                    *now = now.saturating_add(count);
                }
            }
            Err(at) => self.buckets.insert(at, (index, count)),
        }
    }

    /// Index and count of each bucket that is not empty, ascending.
    pub fn buckets(&self) -> &[(u16, u32)] {
        &self.buckets
    }

    /// Adds all counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (index, count) in &other.buckets {
            self.add(*index, *count);
        }
    }

    /// How many values are above so many microseconds; of the bucket that they are in, its part.
    pub fn above(&self, us: u64) -> f64 {
        let place = (us.max(1) as f64).log2() * PER_OCTAVE;
        let part = |(index, count): &(u16, u32)| {
            f64::from(*count) * (f64::from(*index) + 1.0 - place).clamp(0.0, 1.0)
        };
        self.buckets.iter().map(part).sum()
    }

    /// How many values.
    pub fn total(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// The value, in microseconds, below which the share `q` (0 to 1) of all values is; 0 when there are none. Within a bucket
    /// values are taken to be spread evenly on the logarithmic scale; so it is off by 9 % at most.
    pub fn quantile(&self, q: f64) -> f64 {
        let total = self.total();
        if total == 0 {
            return 0.0;
        }
        let rank = q.clamp(0.0, 1.0) * total as f64;
        let mut below = 0.0;
        for (index, count) in &self.buckets {
            let count = f64::from(*count);
            if below + count >= rank {
                let within = ((rank - below) / count).clamp(0.0, 1.0);
                return bound(f64::from(*index) + within);
            }
            below += count;
        }
        self.buckets.last().map_or(0.0, |(index, _)| bound(f64::from(*index) + 1.0))
    }
}

fn bound(index: f64) -> f64 {
    (index / PER_OCTAVE).exp2()
}

#[cfg(test)]
mod tests;
