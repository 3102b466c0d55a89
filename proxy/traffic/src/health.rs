//! Active health checks as decisions: when an endpoint is probed next, and what the answers make of it. It must not know how a probe
//! is sent.
//!
//! An endpoint is usable until a probe says otherwise. One that no probe has vouched for yet is taken out by its first failed
//! probe; later it takes `unhealthy_after` in a row. Probes are jittered by a tenth, so that proxies do not probe in step.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use mesh_model::traffic::HealthCheck;

/// The first probe of an endpoint comes within this time.
const FIRST: Duration = Duration::from_secs(1);

/// Probes are not sent more often.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// As it should.
    Passed,
    /// Otherwise, or not in time.
    Failed,
}

/// What probes say of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// No probe has ended: it is used.
    #[default]
    Unknown,
    /// It is used.
    Healthy,
    /// It is not used.
    Unhealthy,
}

/// The probes of one endpoint.
#[derive(Debug)]
pub struct Probes {
    verdict: Verdict,
    /// Probes in a row that speak against the verdict.
    against: u32,
    due: Instant,
}

impl Probes {
    /// `random` is even in 0..1.
    pub fn new(check: &HealthCheck, now: Instant, random: f64) -> Self {
        let due = now + check.interval.min(FIRST).mul_f64(random.clamp(0.0, 1.0));
        Self { verdict: Verdict::Unknown, against: 0, due }
    }

    /// When the next probe is to be sent.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// What the probes so far say.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// A probe could not be sent, for reasons that say nothing about the endpoint: it is left out.
    pub fn skipped(&mut self, check: &HealthCheck, now: Instant, random: f64) {
        let jitter = 0.9 + 0.2 * random.clamp(0.0, 1.0);
        self.due = now + check.interval.max(LEAST_INTERVAL).mul_f64(jitter);
    }

    /// A probe ended. Gives the verdict if it is a new one.
    pub fn ended(
        &mut self,
        check: &HealthCheck,
        probed: Probed,
        now: Instant,
        random: f64,
    ) -> Option<Verdict> {
        self.skipped(check, now, random);
        let (other, needed) = match (self.verdict, probed) {
            (Verdict::Unknown, Probed::Passed) => (Verdict::Healthy, 1),
            (Verdict::Unknown, Probed::Failed) => (Verdict::Unhealthy, 1),
            (Verdict::Healthy, Probed::Failed) => (Verdict::Unhealthy, check.unhealthy_after),
            (Verdict::Unhealthy, Probed::Passed) => (Verdict::Healthy, check.healthy_after),
            (Verdict::Healthy, Probed::Passed) | (Verdict::Unhealthy, Probed::Failed) => {
                self.against = 0;
                return None;
            }
        };
        self.against = self.against.saturating_add(1);
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.verdict = other;
        Some(other)
    }
}
