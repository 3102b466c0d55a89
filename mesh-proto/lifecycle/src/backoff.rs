//! How long to wait before trying again. It must not know what is tried, and it does not wait.

use std::time::Duration;

/// Exponential back-off with jitter over the whole range, so that peers that failed together do not return together.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Waits are at least `min` and at most `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min), ceiling: min }
    }

    /// The next wait: random between the least one and a ceiling that doubles with every call.
    #[allow(
        clippy::should_implement_trait,
        reason = "it never ends, and an iterator would invite collecting it"
    )]
    pub fn next(&mut self) -> Duration {
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        let span = self.ceiling.saturating_sub(self.min);
        self.min + span.mul_f64(fastrand::f64())
    }

    /// It worked: start from the least wait again.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_between_least_and_most() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut backoff = Backoff::new(min, max);
        assert!((0..200).map(|_| backoff.next()).all(|wait| (min..=max).contains(&wait)));
    }

    #[test]
    fn the_ceiling_doubles_and_reset_takes_it_back() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        assert!(backoff.next() <= Duration::from_secs(2));
        assert!(backoff.next() <= Duration::from_secs(4));
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(2));
    }

    #[test]
    fn a_most_below_the_least_is_the_least() {
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(backoff.next(), Duration::from_secs(2));
    }
}
