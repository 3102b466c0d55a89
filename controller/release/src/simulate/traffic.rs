//! Requests of an interval, made up. It must not know how they are judged.

use super::{Scenario, observation};
use crate::observation::{Figures, Latency, Observation, Side, bucket_of_micros};

/// A service as its stable version is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// Requests an interval, of both versions together.
    pub requests: u64,
    /// The share that fails.
    pub failures: f64,
    /// The median latency, microseconds.
    pub median_us: f64,
    /// The standard deviation of the latency's natural logarithm.
    pub spread: f64,
}

impl Default for Service {
    fn default() -> Self {
        Self { requests: 3_000, failures: 0.002, median_us: 20_000.0, spread: 0.6 }
    }
}

/// Latencies that are drawn from.
const TABLE: usize = 8_192;

pub(super) struct Traffic {
    service: Service,
    scenario: Scenario,
    usual: Vec<u16>,
    slow: Vec<u16>,
    /// How many requests there are now, relative to the mean: it wanders as traffic does.
    level: f64,
    /// Intervals that the outage or the gap goes on.
    trouble: u32,
}

impl Traffic {
    pub(super) fn new(service: &Service, scenario: Scenario, chance: &mut fastrand::Rng) -> Self {
        let mut values: Vec<f64> =
            (0..TABLE).map(|_| service.median_us * (service.spread * normal(chance)).exp()).collect();
        values.sort_by(f64::total_cmp);
        let bucket = |value: f64| bucket_of_micros(value as u64);
        // What was fast stays fast: only the slowest twentieth takes twice as long.
        let tail = TABLE - TABLE / 20;
        let slow =
            values.iter().enumerate().map(|(at, value)| bucket(if at < tail { *value } else { value * 2.0 }));
        let slow = slow.collect();
        let usual = values.into_iter().map(bucket).collect();
        Self { service: *service, scenario, usual, slow, level: 1.0, trouble: 0 }
    }

    /// An interval in which the versions get these shares of the requests.
    pub(super) fn interval(
        &mut self,
        (canary, stable): (f64, f64),
        chance: &mut fastrand::Rng,
    ) -> Observation {
        self.level = (self.level * (0.1 * normal(chance)).exp()).clamp(0.4, 2.5);
        self.trouble = match self.trouble {
            0 if chance.f64() < 0.15 => chance.u32(1..4),
            left => left.saturating_sub(1),
        };
        let is_outage = self.scenario == Scenario::SharedOutage && self.trouble > 0;
        let is_gap = self.scenario == Scenario::MissingReports && self.trouble > 0;
        let failing = if is_outage { 0.08 } else { self.service.failures };
        let all = self.service.requests as f64 * self.level;
        let crashes = self.scenario == Scenario::Crashes;
        let of_canary = match self.scenario {
            Scenario::Errors => 0.02,
            Scenario::Crashes => 0.4,
            Scenario::FailsUnderLoad if canary >= 0.25 => 0.05,
            _ => failing,
        };
        let slow = self.scenario == Scenario::DoubledP99;
        let stable_requests = around(all * stable, chance);
        let canary_requests = around(all * canary, chance);
        let figures = |requests, failing, table: &[u16], chance: &mut fastrand::Rng| {
            (!is_gap).then(|| draw(requests, failing, table, chance))
        };
        let stable_side = Side { ready: 3, figures: figures(stable_requests, failing, &self.usual, chance) };
        let table = if slow { &self.slow } else { &self.usual };
        let is_down = crashes && canary > 0.0 && chance.f64() < 0.5;
        let canary_side =
            Side { ready: u32::from(!is_down), figures: figures(canary_requests, of_canary, table, chance) };
        observation(stable_side, canary_side)
    }
}

fn draw(requests: u64, failing: f64, table: &[u16], chance: &mut fastrand::Rng) -> Figures {
    let mut figures = Figures { requests, ..Figures::default() };
    // A bucket's count by index first: a map would be asked for every request.
    let mut counts = [0_u64; 512];
    for _ in 0..requests {
        figures.failures += u64::from(chance.f64() < failing);
        if let Some(bucket) = table.get(chance.usize(..table.len()))
            && let Some(count) = counts.get_mut(usize::from(*bucket))
        {
            *count += 1;
        }
    }
    let filled = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
    figures.latency = Latency(filled.map(|(bucket, count)| (bucket as u16, count)).collect());
    figures
}

/// A whole number near this one, as far away as chance has it.
fn around(mean: f64, chance: &mut fastrand::Rng) -> u64 {
    (mean + mean.sqrt() * normal(chance)).round().max(0.0) as u64
}

/// A draw from the standard normal distribution (Box and Muller, 1958).
fn normal(chance: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - chance.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * chance.f64()).cos()
}
