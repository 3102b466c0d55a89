//! When requests are due: a Poisson process, and a timer that keeps to it within tens of microseconds. tokio's own timer
//! counts in milliseconds, which would make bursts of what should be single requests.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Planned times of independent clients that together ask `rate` times a second.
#[derive(Debug)]
pub(crate) struct Poisson {
    next: Instant,
    rate: f64,
    random: fastrand::Rng,
}

impl Poisson {
    /// `seed` makes two proxies see the same arrivals.
    pub(crate) fn new(begin: Instant, rate: f64, seed: u64) -> Self {
        Self { next: begin, rate, random: fastrand::Rng::with_seed(seed) }
    }

    /// The next planned time.
    pub(crate) fn next(&mut self) -> Instant {
        // 1 - x is never 0, so the logarithm is finite.
        let gap = -(1.0 - self.random.f64()).ln() / self.rate;
        self.next += Duration::from_secs_f64(gap);
        self.next
    }
}

/// A timer of the kernel's high resolution.
#[derive(Debug)]
pub(crate) struct Timer {
    descriptor: AsyncFd<OwnedFd>,
}

impl Timer {
    pub(crate) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags).context("make a timer")?;
        #[expect(
            deprecated,
            reason = "the new way is unsafe code; an `OwnedFd` that is never replaced keeps its promise"
        )]
        let descriptor = AsyncFd::new(descriptor).context("watch the timer")?;
        Ok(Self { descriptor })
    }

    /// Returns at `when`, or at once when that is past.
    pub(crate) async fn until(&self, when: Instant) -> Result<()> {
        let wait = when.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let value = Timespec::try_from(wait).context("a time too far away")?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
        timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::empty(), &once)
            .context("set the timer")?;
        let mut ready = self.descriptor.readable().await?;
        let mut count = [0; 8];
        rustix::io::read(self.descriptor.get_ref(), &mut count).context("read the timer")?;
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate_and_are_the_same_for_the_same_seed() {
        let begin = Instant::now();
        let last = |seed| {
            let mut plan = Poisson::new(begin, 1000.0, seed);
            (0..20_000).map(|_| plan.next()).last().unwrap().duration_since(begin).as_secs_f64()
        };
        assert!((19.0..21.0).contains(&last(7)), "{}", last(7));
        assert_eq!(last(7).to_bits(), last(7).to_bits());
    }
}
