//! Who wants traces, and how many: proxies report the largest share that any reader asked for, and none when nobody reads.
//! It must not know readers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::clock::now_ms;

/// The shares that readers ask for. Clones are handles of the same state.
#[derive(Debug, Clone)]
pub struct Demand {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// How many readers ask for which share, parts per million.
    wanted: Mutex<BTreeMap<u32, usize>>,
    largest: watch::Sender<u32>,
    changed_ms: AtomicU64,
}

/// As long as it lives, its share is wanted.
#[derive(Debug)]
pub struct Wanted {
    shared: Arc<Shared>,
    ppm: u32,
}

impl Default for Demand {
    fn default() -> Self {
        let largest = watch::Sender::new(0);
        Self { shared: Arc::new(Shared { wanted: Mutex::default(), largest, changed_ms: AtomicU64::new(0) }) }
    }
}

impl Demand {
    /// Asks for a share of all traces, parts per million.
    pub fn want(&self, ppm: u32) -> Wanted {
        self.shared.change(|wanted| *wanted.entry(ppm).or_default() += 1);
        Wanted { shared: Arc::clone(&self.shared), ppm }
    }

    /// The largest share that is wanted, now and whenever it changes.
    pub fn largest(&self) -> watch::Receiver<u32> {
        self.shared.largest.subscribe()
    }

    /// When that last changed, Unix milliseconds; 0 if never. Traces of about that time may lack hops of proxies that had not
    /// heard of it.
    pub fn changed_ms(&self) -> u64 {
        self.shared.changed_ms.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn change(&self, edit: impl FnOnce(&mut BTreeMap<u32, usize>)) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        edit(&mut wanted);
        let largest = wanted.last_key_value().map_or(0, |(ppm, _)| *ppm);
        let changed = self.largest.send_if_modified(|now| std::mem::replace(now, largest) != largest);
        if changed {
            self.changed_ms.store(now_ms(), Ordering::Relaxed);
        }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.shared.change(|wanted| {
            if let Some(readers) = wanted.get_mut(&self.ppm) {
                *readers -= 1;
                if *readers == 0 {
                    wanted.remove(&self.ppm);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_wish_counts_and_ends_with_its_reader() {
        let demand = Demand::default();
        let largest = demand.largest();
        let small = demand.want(10);
        let large = demand.want(1000);
        let same = demand.want(1000);
        assert_eq!(*largest.borrow(), 1000);
        drop(large);
        assert_eq!(*largest.borrow(), 1000);
        drop(same);
        assert_eq!(*largest.borrow(), 10);
        drop(small);
        assert_eq!(*largest.borrow(), 0);
    }
}
