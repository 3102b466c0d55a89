//! Which destinations the workload has stopped using. Pure; time comes as an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_model::name::ServiceName;

/// When each destination was last used.
#[derive(Debug, Default)]
pub(super) struct Usage {
    last: BTreeMap<ServiceName, Instant>,
}

impl Usage {
    /// Notes a use.
    pub(super) fn used(&mut self, service: &ServiceName, now: Instant) {
        self.last.insert(service.clone(), now);
    }

    /// Takes the marks of a sweep in and gives the destinations that were not used for `limit`; they are forgotten here.
    pub(super) fn sweep(
        &mut self,
        marks: Vec<(ServiceName, bool)>,
        now: Instant,
        limit: Duration,
    ) -> Vec<ServiceName> {
        let mut unused = Vec::new();
        for (service, used) in marks {
            let last = self.last.entry(service.clone()).or_insert(now);
            if used {
                *last = now;
            } else if now.saturating_duration_since(*last) >= limit {
                unused.push(service);
            }
        }
        for service in &unused {
            self.last.remove(service);
        }
        unused
    }

    /// Of these, the one that was not used for the longest time.
    pub(super) fn oldest<'a>(&self, among: impl Iterator<Item = &'a ServiceName>) -> Option<&'a ServiceName> {
        among.min_by_key(|service| self.last.get(service))
    }

    /// Forgets a destination.
    pub(super) fn forget(&mut self, service: &ServiceName) {
        self.last.remove(service);
    }
}

#[cfg(test)]
mod tests {
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
