//! How many names that the mesh turns out not to know may be asked of the controller: each stays there as a question, and an
//! application that resolves any number of outer hosts must not fill the table of its own services. It must not know the names.

use std::time::{Duration, Instant};

/// A bucket that fills with time.
#[derive(Debug)]
pub struct Budget {
    burst: u32,
    /// Time for one more.
    each: Duration,
    left: u32,
    since: Instant,
}

impl Budget {
    /// `burst` at once, then one each `each`.
    pub fn new(burst: u32, each: Duration, now: Instant) -> Self {
        Self { burst, each: each.max(Duration::from_millis(1)), left: burst, since: now }
    }

    /// Takes one. `false`: there is none left.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let more = u32::try_from(passed.as_nanos() / self.each.as_nanos()).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(self.burst);
        self.since = if self.left == self.burst { now } else { self.since + self.each * more };
        let took = self.left > 0;
        self.left = self.left.saturating_sub(1);
        took
    }

    /// Gives one back: the name was the mesh's.
    pub fn give_back(&mut self) {
        self.left = self.left.saturating_add(1).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_waits_for_time() {
        let start = Instant::now();
        let mut budget = Budget::new(3, Duration::from_secs(1), start);
        assert_eq!((0..5).filter(|_| budget.take(start)).count(), 3);
        assert!(!budget.take(start + Duration::from_millis(999)));
        let later = start + Duration::from_millis(2100);
        assert_eq!((0..5).filter(|_| budget.take(later)).count(), 2);
        assert_eq!((0..9).filter(|_| budget.take(start + Duration::from_hours(1))).count(), 3);
    }

    #[test]
    fn what_was_the_meshs_costs_nothing() {
        let start = Instant::now();
        let mut budget = Budget::new(1, Duration::from_secs(1), start);
        for _ in 0..5 {
            assert!(budget.take(start));
            budget.give_back();
        }
    }
}
