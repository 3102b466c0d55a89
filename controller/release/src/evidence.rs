//! Tests that may be looked at after every interval, for as long as one likes, without more false alarms than were allowed.
//!
//! Everything is a question of bad requests among all: failures, or requests slower than a limit. Two tests answer it.
//!
//! **Beside the stable version** ([`Evidence::beside`]): of the bad requests of one interval, how many would be the new version's if both
//! were equally good? Given how many requests each had and how many were bad in all, that number is hypergeometric, whatever the rate was
//! (Fisher's exact test), so an outage that hits both versions alike says nothing against either. If the odds of the new version are ψ
//! times as high, it has Fisher's noncentral hypergeometric distribution. The ratio of the two probabilities is one factor of a bet
//! against "not worse"; it has the mean 1 at most whenever the odds are not higher, because it grows with the count.
//!
//! **By itself** ([`Evidence::alone`]): the same with binomial probabilities against a limit.
//!
//! The factors of successive intervals are multiplied, for a grid of ψ; the mean over the grid is a nonnegative supermartingale that begins
//! with 1. Ville: the chance that it ever reaches 1/α is at most α. So it may be looked at as often as one likes, and the whole of it is
//! the numbers that are kept in [`Evidence`].
//!
//! Sources: Ville, "Étude critique de la notion de collectif" (1939); Robbins, "Statistical Methods Related to the Law of the Iterated
//! Logarithm" (1970), for the mixture; Johari, Koomen, Pekelis and Walsh, "Always Valid Inference" (Operations Research, 2022); Grünwald,
//! de Heide and Koolen, "Safe Testing" (JRSS B, 2024); Fisher, "The Logic of Inductive Inference" (1935), for the conditional distribution.

use serde::{Deserialize, Serialize};

/// Odds of the alternatives, relative to those that are allowed: from slightly worse to broken.
const GRID: [f64; 8] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// Logarithms are kept in thousandths, rounded down, so that a state is whole numbers and a restart changes nothing.
const SCALE: f64 = 1000.0;

/// What speaks against a version so far: the logarithm of the wealth of each bet, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Evidence {
    wealth: [i64; GRID.len()],
}

/// Counts of one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that were bad.
    pub bad: u64,
    /// All requests.
    pub all: u64,
}

impl Evidence {
    /// Adds an interval of both versions.
    #[must_use]
    pub fn beside(mut self, stable: Counts, canary: Counts) -> Self {
        let bad = stable.bad.min(stable.all) + canary.bad.min(canary.all);
        if stable.all == 0 || canary.all == 0 || bad == 0 {
            return self;
        }
        let split = Split { canary: canary.all, stable: stable.all, bad };
        let equal = split.log_sum(0.0);
        for (wealth, odds) in self.wealth.iter_mut().zip(GRID) {
            let factor = canary.bad.min(canary.all) as f64 * odds.ln() - (split.log_sum(odds.ln()) - equal);
            add(wealth, factor);
        }
        self
    }

    /// Adds an interval of one version, of whose requests the share `limit` may be bad.
    #[must_use]
    pub fn alone(mut self, limit: f64, canary: Counts) -> Self {
        // A limit of nothing would make one bad request infinite evidence; of all, none would be any.
        let limit = limit.clamp(1e-6, 1.0 - 1e-6);
        let (bad, good) = (canary.bad.min(canary.all) as f64, canary.all.saturating_sub(canary.bad) as f64);
        for (wealth, odds) in self.wealth.iter_mut().zip(GRID) {
            // With odds times as high: p' = odds p / (1 - p + odds p).
            let spread = (1.0 - limit) + odds * limit;
            add(wealth, bad * odds.ln() - (bad + good) * spread.ln());
        }
        self
    }

    /// The natural logarithm of the mean wealth.
    pub fn log_mean(&self) -> f64 {
        let logs = self.wealth.map(|wealth| wealth as f64 / SCALE);
        log_sum_exp(logs.into_iter()) - (GRID.len() as f64).ln()
    }

    /// Whether the evidence suffices when false alarms may have this chance.
    pub fn suffices(&self, alarm: f64) -> bool {
        self.log_mean() >= -alarm.ln()
    }
}

fn add(wealth: &mut i64, factor: f64) {
    // Beyond a million nothing changes any more, and it stays exact as a number of any format.
    *wealth = wealth.saturating_add((factor * SCALE).floor() as i64).clamp(-1_000_000_000, 1_000_000_000);
}

/// How `bad` requests may be divided between two versions.
#[derive(Debug, Clone, Copy)]
struct Split {
    canary: u64,
    stable: u64,
    bad: u64,
}

impl Split {
    /// The logarithm of the sum over all divisions of their number of ways times `odds^(bad ones of the canary)`.
    fn log_sum(self, log_odds: f64) -> f64 {
        let low = self.bad.saturating_sub(self.stable);
        let high = self.bad.min(self.canary);
        // The ratio of a term to the one before falls, so the largest term is where it crosses 1.
        let (mut from, mut to) = (low, high);
        while from < to {
            let middle = from + (to - from) / 2;
            if self.log_ratio(middle, log_odds) > 0.0 { from = middle + 1 } else { to = middle }
        }
        let peak = from;
        let at_peak =
            ln_choose(self.canary, peak) + ln_choose(self.stable, self.bad - peak) + peak as f64 * log_odds;
        // Terms beside the largest one fall faster than geometrically; what is below e^-40 of it is nothing.
        let mut sum = 1.0;
        let mut term = 0.0_f64;
        for at in peak..high {
            term += self.log_ratio(at, log_odds);
            if term < -40.0 {
                break;
            }
            sum += term.exp();
        }
        term = 0.0;
        for at in (low..peak).rev() {
            term -= self.log_ratio(at, log_odds);
            if term < -40.0 {
                break;
            }
            sum += term.exp();
        }
        at_peak + sum.ln()
    }

    /// The logarithm of the term after `at` divided by the one at `at`.
    fn log_ratio(self, at: u64, log_odds: f64) -> f64 {
        let above = (self.canary - at) as f64 * (self.bad - at) as f64;
        let below = (at + 1) as f64 * (self.stable + at + 1 - self.bad) as f64;
        (above / below).ln() + log_odds
    }
}

fn ln_choose(all: u64, some: u64) -> f64 {
    ln_factorial(all) - ln_factorial(some) - ln_factorial(all - some)
}

/// By Stirling's series; by multiplication where that is not exact enough.
fn ln_factorial(n: u64) -> f64 {
    if n < 20 {
        return (2..=n).map(|factor| factor as f64).product::<f64>().ln();
    }
    let x = n as f64;
    (x + 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x * x * x)
}

fn log_sum_exp(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let most = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    most + logs.map(|log| (log - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests;
