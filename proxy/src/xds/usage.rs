//! What the workload has stopped using: destinations, addresses. Pure; time comes as an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// When each was last used.
#[derive(Debug)]
pub(super) struct Usage<K> {
    last: BTreeMap<K, Instant>,
}

impl<K> Default for Usage<K> {
    fn default() -> Self {
        Self { last: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Usage<K> {
    /// Notes a use.
    pub(super) fn used(&mut self, one: &K, now: Instant) {
        self.last.insert(one.clone(), now);
    }

    /// Takes the marks of a sweep in and gives what was not used for `limit`; it is forgotten here.
    pub(super) fn sweep(&mut self, marks: Vec<(K, bool)>, now: Instant, limit: Duration) -> Vec<K> {
        let mut unused = Vec::new();
        for (one, used) in marks {
            let last = self.last.entry(one.clone()).or_insert(now);
            if used {
                *last = now;
            } else if now.saturating_duration_since(*last) >= limit {
                unused.push(one);
            }
        }
        for one in &unused {
            self.last.remove(one);
        }
        unused
    }

    /// Of these, the one that was not used for the longest time.
    pub(super) fn oldest<'a>(&self, among: impl Iterator<Item = &'a K>) -> Option<&'a K> {
        among.min_by_key(|one| self.last.get(one))
    }

    /// Forgets one.
    pub(super) fn forget(&mut self, one: &K) {
        self.last.remove(one);
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::name::ServiceName;

    use super::*;

    fn service(name: &str) -> ServiceName {
        ServiceName::new("shop", name).unwrap()
    }

    #[test]
    fn only_what_is_unused_for_the_whole_limit_goes() {
        let (start, limit) = (Instant::now(), Duration::from_mins(15));
        let at = |secs| start + Duration::from_secs(secs);
        let marks = |used: bool| vec![(service("a"), used), (service("b"), false)];
        let mut usage = Usage::default();
        usage.used(&service("a"), at(0));
        usage.used(&service("b"), at(0));
        assert!(usage.sweep(marks(true), at(600), limit).is_empty());
        assert_eq!(usage.sweep(marks(false), at(900), limit), [service("b")]);
        assert!(usage.sweep(vec![(service("a"), false)], at(1499), limit).is_empty());
        assert_eq!(usage.sweep(vec![(service("a"), false)], at(1500), limit), [service("a")]);
    }

    #[test]
    fn the_oldest_is_the_least_recently_used() {
        let start = Instant::now();
        let mut usage = Usage::default();
        usage.used(&service("a"), start + Duration::from_secs(2));
        usage.used(&service("b"), start + Duration::from_secs(1));
        let (a, b) = (service("a"), service("b"));
        assert_eq!(usage.oldest([&a, &b].into_iter()), Some(&b));
        usage.used(&b, start + Duration::from_secs(3));
        assert_eq!(usage.oldest([&a, &b].into_iter()), Some(&a));
    }
}
