//! How fast statuses are written: so many a second, with a reserve for bursts, each object at most so often, and those that failed later.
//! Pure: time is an argument.

use std::collections::BTreeMap;

use crate::api::ObjectKey;

/// Writes a second, and how many may be saved up.
const RATE: u64 = 40;
const BURST: u64 = 100;
/// Between two writes of one object of which only counts have changed.
const COUNTS_MS: u64 = 10_000;
/// After a write that failed.
const FAILED_MS: u64 = 30_000;

/// What has changed of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// What is said.
    Meaning,
    /// On how many proxies it is in force, and no more.
    Counts,
}

/// What may be written now.
#[derive(Debug)]
pub struct Budget {
    /// Thousandths of a write.
    saved: u64,
    at: u64,
    /// No write of these before.
    not_before: BTreeMap<ObjectKey, u64>,
    counts_not_before: BTreeMap<ObjectKey, u64>,
}

impl Budget {
    /// Begins with a full reserve.
    pub fn new(now: u64) -> Self {
        Self { saved: BURST * 1000, at: now, not_before: BTreeMap::new(), counts_not_before: BTreeMap::new() }
    }

    /// Whether this one may be written now; counts as written if it may.
    pub fn take(&mut self, key: &ObjectKey, change: Change, now: u64) -> bool {
        self.saved = (self.saved + now.saturating_sub(self.at).saturating_mul(RATE)).min(BURST * 1000);
        self.at = now;
        let wait = |times: &BTreeMap<ObjectKey, u64>| times.get(key).is_some_and(|until| *until > now);
        if self.saved < 1000 || wait(&self.not_before) {
            return false;
        }
        if change == Change::Counts && wait(&self.counts_not_before) {
            return false;
        }
        self.saved -= 1000;
        self.counts_not_before.insert(key.clone(), now + COUNTS_MS);
        true
    }

    /// Writing it failed.
    pub fn failed(&mut self, key: &ObjectKey, now: u64) {
        self.not_before.insert(key.clone(), now + FAILED_MS);
    }

    /// Whether anything may be written now.
    pub fn is_spent(&self) -> bool {
        self.saved < 1000
    }

    /// Forgets what is over.
    pub fn sweep(&mut self, now: u64) {
        self.not_before.retain(|_, until| *until > now);
        self.counts_not_before.retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Kind;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(Kind::HttpRoute, "shop", name)
    }

    #[test]
    fn a_burst_is_written_at_once_and_then_so_many_a_second() {
        let mut budget = Budget::new(0);
        let written = |budget: &mut Budget, now| {
            (0..500).filter(|n| budget.take(&key(&n.to_string()), Change::Meaning, now)).count()
        };
        assert_eq!(written(&mut budget, 0), 100);
        assert!(budget.is_spent());
        assert_eq!(written(&mut budget, 1_000), 40);
        assert_eq!(written(&mut budget, 100_000), 100, "no more is saved up");
    }

    #[test]
    fn counts_wait_and_meanings_do_not() {
        let mut budget = Budget::new(0);
        let web = key("web");
        assert!(budget.take(&web, Change::Counts, 0));
        assert!(!budget.take(&web, Change::Counts, 9_999), "87 of 90, 88 of 90, ...");
        assert!(budget.take(&web, Change::Meaning, 9_999));
        assert!(!budget.take(&web, Change::Counts, 19_998));
        assert!(budget.take(&web, Change::Counts, 19_999));
    }

    #[test]
    fn what_failed_waits_whatever_it_is() {
        let mut budget = Budget::new(0);
        let web = key("web");
        budget.failed(&web, 0);
        assert!(!budget.take(&web, Change::Meaning, 29_999));
        assert!(budget.take(&web, Change::Meaning, 30_000));
        budget.sweep(60_000);
        assert!(budget.not_before.is_empty() && budget.counts_not_before.is_empty());
    }
}
