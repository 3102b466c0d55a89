//! A rate with a burst. Time is an argument.

use std::time::Instant;

/// Tokens that come back with time.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: f64,
    burst: f64,
    rate: f64,
    since: Option<Instant>,
}

impl Bucket {
    /// `burst` at once, and `rate` more each second.
    pub(crate) const fn new(burst: f64, rate: f64) -> Self {
        Self { tokens: burst, burst, rate, since: None }
    }

    /// Takes one; whether there was one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = self.since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        self.since = Some(now);
        self.tokens = (self.tokens + passed * self.rate).min(self.burst) - 1.0;
        if self.tokens < 0.0 {
            self.tokens = 0.0;
            return false;
        }
        true
    }

    /// Gives one back.
    pub(crate) fn earn(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let (mut bucket, start) = (Bucket::new(3.0, 2.0), Instant::now());
        assert!((0..3).all(|_| bucket.take(start)) && !bucket.take(start));
        let later = start + Duration::from_secs(1);
        assert!(bucket.take(later) && bucket.take(later) && !bucket.take(later));
        bucket.earn();
        assert!(bucket.take(later) && !bucket.take(later));
    }
}
