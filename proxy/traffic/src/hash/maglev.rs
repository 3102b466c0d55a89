//! A Maglev table: endpoints take entries in turn, each in an order of its own, until the table is full.

use super::{Entry, mix};

/// Most entries of a table, a prime: 20 MiB.
const MOST: u32 = 5_000_011;

/// Which endpoint has which entry.
#[derive(Debug)]
pub(crate) struct Maglev {
    table: Box<[u32]>,
}

/// An endpoint while the table is filled.
struct Taker {
    index: u32,
    next: u64,
    skip: u64,
    /// Of the heaviest one's weight; each round adds it, and a whole one is a turn.
    weight: f64,
    credit: f64,
}

const FREE: u32 = u32::MAX;

/// Tells the steps of a walk apart; odd.
const P: u64 = 0xD6E8_FEB8_6659_FD93;

impl Maglev {
    /// With `size` entries, or the next prime: only with a prime does each endpoint's order reach every entry.
    pub(crate) fn new(entries: &[Entry], size: u32) -> Self {
        if entries.is_empty() {
            return Self { table: Box::default() };
        }
        let size = prime_from(size.clamp(2, MOST));
        let modulus = u64::from(size);
        let heaviest = entries.iter().map(|entry| entry.weight).max().unwrap_or(1).max(1);
        let mut takers: Vec<Taker> = entries
            .iter()
            .map(|entry| Taker {
                index: entry.index,
                next: mix(entry.hash) % modulus,
                skip: mix(entry.hash ^ 0xA5A5_5A5A_C3C3_3C3C) % (modulus - 1) + 1,
                weight: f64::from(entry.weight.max(1)) / f64::from(heaviest),
                credit: 0.0,
            })
            .collect();
        // In an order that does not depend on numbers, which shift when an endpoint leaves.
        takers.sort_by_key(|taker| (taker.next, taker.skip));
        let mut table = vec![FREE; size as usize].into_boxed_slice();
        let mut left = table.len();
        while left > 0 {
            for taker in &mut takers {
                taker.credit += taker.weight;
                if taker.credit < 1.0 {
                    continue;
                }
                taker.credit -= 1.0;
                taker.take(&mut table, modulus);
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        Self { table }
    }

    /// Endpoints in the order in which they answer for a key; one may come several times. Places are drawn by hash: orders of endpoints
    /// are regular, so that the neighbours of one's entries are not evenly the others'.
    pub(crate) fn walk(&self, key: u64) -> impl Iterator<Item = u32> {
        let size = (self.table.len() as u64).max(1);
        let places = (0..self.table.len() as u64).map(move |step| mix(key ^ step.wrapping_mul(P)) % size);
        places.filter_map(|at| self.table.get(usize::try_from(at).ok()?).copied())
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

impl Taker {
    /// Takes its next free entry; there is one.
    fn take(&mut self, table: &mut [u32], modulus: u64) {
        for _ in 0..table.len() {
            let at = usize::try_from(self.next).unwrap_or_default();
            self.next = (self.next + self.skip) % modulus;
            if let Some(entry) = table.get_mut(at)
                && *entry == FREE
            {
                *entry = self.index;
                return;
            }
        }
    }
}

/// The first prime that is not smaller, or [`MOST`].
fn prime_from(number: u32) -> u32 {
    let has_divisor = |number: u32| (2..=number.isqrt()).any(|divisor| number.is_multiple_of(divisor));
    (number..MOST).find(|number| !has_divisor(*number)).unwrap_or(MOST)
}
