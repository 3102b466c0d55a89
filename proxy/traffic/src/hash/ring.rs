//! A hash ring: each endpoint has points on it, a key belongs to the next point.

use super::{Entry, mix};

/// Most points on a ring: 8 MiB.
const MOST: u32 = 1 << 20;

/// Points in order, each with its endpoint.
#[derive(Debug)]
pub(crate) struct Ring {
    /// Upper half: where on the ring; lower half: which endpoint.
    points: Box<[u64]>,
}

impl Ring {
    /// About `size` points, by weight, at least one an endpoint.
    ///
    /// The points of an endpoint are the same in every ring in which it has as many, and their number per weight is a power of two:
    /// it stays while the set changes a little, and then only the keys of what came or went move.
    pub(crate) fn new(entries: &[Entry], size: u32) -> Self {
        let size = u64::from(size.clamp(1, MOST));
        let total = entries.iter().map(|entry| u64::from(entry.weight)).sum::<u64>().max(1);
        let per_weight = size / total;
        let mut points = Vec::new();
        for entry in entries {
            let count = match per_weight {
                0 => (u64::from(entry.weight) * size / total).max(1),
                many => u64::from(entry.weight) << many.ilog2(),
            };
            points.extend((0..count).map(|replica| {
                let place = mix(entry.hash ^ mix(replica)) & 0xFFFF_FFFF_0000_0000;
                place | u64::from(entry.index)
            }));
        }
        points.sort_unstable();
        Self { points: points.into_boxed_slice() }
    }

    /// Endpoints in the order in which they answer for a key; one may come several times.
    pub(crate) fn walk(&self, key: u64) -> impl Iterator<Item = u32> {
        let place = mix(key) & 0xFFFF_FFFF_0000_0000;
        let at = self.points.partition_point(|point| *point < place);
        let (before, after) = self.points.split_at(at);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is the number")]
        after.iter().chain(before).map(|point| *point as u32)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }
}
