//! The share of retries among requests: whatever a policy says of single requests, retries never multiply the load of a service that
//! fails. One a worker and backend. It must not know why a request is retried.
//!
//! Source: GEP-3388; "Handling Overload" (Site Reliability Engineering, chapter 21).

use std::time::{Duration, Instant};

use mesh_model::traffic::RetryBudget;

/// Parts that the window is counted in: one goes out at a time, so that the budget has no steps.
const PARTS: u32 = 10;

/// Counts requests and retries over a moving window.
#[derive(Debug, Clone)]
pub struct Budget {
    policy: RetryBudget,
    parts: [Counts; PARTS as usize],
    /// The part of now, counted from `start`.
    at: u64,
    start: Instant,
    /// When that part ends: until then counting is one comparison and one addition.
    until: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    requests: u64,
    retries: u64,
}

impl Budget {
    /// With nothing counted.
    pub fn new(policy: RetryBudget, now: Instant) -> Self {
        Self { policy, parts: [Counts::default(); PARTS as usize], at: 0, start: now, until: now }
    }

    /// Another policy is in force; what was counted stays, in the parts of the new window.
    pub fn set_policy(&mut self, policy: RetryBudget) {
        self.policy = policy;
        self.until = self.start;
    }

    /// Counts a request: its first attempt.
    pub fn request(&mut self, now: Instant) {
        if let Some(part) = self.part(now) {
            part.requests += 1;
        }
    }

    /// Whether one more retry fits, and counts it if so.
    pub fn take(&mut self, now: Instant) -> bool {
        self.advance(now);
        let sum = |of: fn(&Counts) -> u64| self.parts.iter().map(of).sum::<u64>();
        let (requests, retries) = (sum(|part| part.requests), sum(|part| part.retries));
        // In millionths, so that nothing is rounded away.
        let share = u128::from(requests) * u128::from(self.policy.share.0);
        let floor = u128::from(self.policy.min_per_second) * self.policy.window.as_micros();
        if (u128::from(retries) + 1) * 1_000_000 > share + floor {
            return false;
        }
        if let Some(part) = self.part(now) {
            part.retries += 1;
        }
        true
    }

    fn part(&mut self, now: Instant) -> Option<&mut Counts> {
        self.advance(now);
        let index = usize::try_from(self.at % u64::from(PARTS)).unwrap_or(0);
        self.parts.get_mut(index)
    }

    /// Empties the parts that went out since the last look.
    fn advance(&mut self, now: Instant) {
        if now < self.until {
            return;
        }
        let length = (self.policy.window / PARTS).max(Duration::from_millis(1));
        let passed = now.saturating_duration_since(self.start).as_nanos();
        let at = u64::try_from(passed / length.as_nanos()).unwrap_or(u64::MAX);
        // With a longer window in force the count of parts goes back: then nothing is emptied until it catches up.
        for gone in (self.at + 1..=at).take(PARTS as usize) {
            let index = usize::try_from(gone % u64::from(PARTS)).unwrap_or(0);
            if let Some(part) = self.parts.get_mut(index) {
                *part = Counts::default();
            }
        }
        self.at = self.at.max(at);
        let into = u64::try_from(passed % length.as_nanos()).unwrap_or(0);
        self.until = now + length.saturating_sub(Duration::from_nanos(into));
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::traffic::Ppm;
    use proptest::prelude::*;

    use super::*;

    fn policy(share: u32, min_per_second: u32, seconds: u64) -> RetryBudget {
        RetryBudget { share: Ppm(share), min_per_second, window: Duration::from_secs(seconds) }
    }

    fn taken(budget: &mut Budget, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.take(now)).count()
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
        let now = Instant::now();
        let mut budget = Budget::new(policy(200_000, 0, 10), now);
        assert!(!budget.take(now), "no request, no retry");
        (0..1000).for_each(|_| budget.request(now));
        assert_eq!(taken(&mut budget, now), 200);
    }

    #[test]
    fn a_quiet_service_has_its_floor() {
        let now = Instant::now();
        let mut budget = Budget::new(policy(200_000, 3, 10), now);
        assert_eq!(taken(&mut budget, now), 30);
    }

    #[test]
    fn what_left_the_window_counts_no_more() {
        let start = Instant::now();
        let mut budget = Budget::new(policy(500_000, 0, 10), start);
        (0..100).for_each(|_| budget.request(start));
        assert_eq!(taken(&mut budget, start), 50);
        let later = start + Duration::from_secs(11);
        assert!(!budget.take(later), "requests have left as well");
        (0..10).for_each(|_| budget.request(later));
        assert_eq!(taken(&mut budget, later), 5);
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        let now = Instant::now();
        let mut budget = Budget::new(policy(0, 0, 10), now);
        (0..100).for_each(|_| budget.request(now));
        assert_eq!(taken(&mut budget, now), 0);
    }

    proptest! {
        /// Over any run of requests and wishes, retries of a window stay below share and floor.
        #[test]
        fn retries_stay_within_share_and_floor(
            share in 0_u32..=1_000_000,
            floor in 0_u32..20,
            steps in proptest::collection::vec((0_u64..400, any::<bool>()), 1..400),
        ) {
            let start = Instant::now();
            let mut budget = Budget::new(policy(share, floor, 1), start);
            let (mut now, mut requests, mut retries) = (start, 0_u128, 0_u128);
            for (ms, request) in steps {
                now += Duration::from_millis(ms);
                if request {
                    budget.request(now);
                    requests += 1;
                } else if budget.take(now) {
                    retries += 1;
                }
                let seconds = (now - start).as_millis() / 900 + 2;
                let most = requests * u128::from(share) + u128::from(floor) * 1_000_000 * seconds;
                prop_assert!(retries * 1_000_000 <= most + 1_000_000);
            }
        }
    }
}
