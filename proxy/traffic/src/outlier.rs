//! When an endpoint that fails is left alone, and for how long: the rules, on plain numbers. It must not know endpoints; who they are
//! and what leaving alone means is [`crate::balance`]'s.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use mesh_model::traffic::{LatencyOutlier, OutlierDetection, Ppm, SuccessRate};

/// How a request ended, as far as the endpoint is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that is not an error of the endpoint.
    Success,
    /// 5xx, a reset, a timeout; gRPC UNAVAILABLE, INTERNAL, UNKNOWN, DEADLINE_EXCEEDED. Failed connects are counted elsewhere.
    Error,
}

/// Why an endpoint is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Errors in a row.
    Errors,
    /// Its success rate is far below the others'.
    SuccessRate,
    /// Its latency is far above the others'.
    Latency,
}

/// What an endpoint did in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Requests that ended.
    pub requests: u32,
    /// Those that failed.
    pub errors: u32,
    /// Sum of the latencies of those that did not, in seconds.
    pub latency: f64,
}

impl Sample {
    fn rate(&self) -> f64 {
        1.0 - f64::from(self.errors) / f64::from(self.requests.max(1))
    }

    fn successes(&self) -> u32 {
        self.requests.saturating_sub(self.errors)
    }

    fn mean_latency(&self) -> f64 {
        self.latency / f64::from(self.successes().max(1))
    }
}

/// How many of so many endpoints may be left alone at once: the share, but at least one unless the share is 0, and never all.
pub(crate) fn ejectable(endpoints: u32, share: Ppm) -> u32 {
    let part = u64::from(endpoints) * u64::from(share.0) / 1_000_000;
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    let least = u32::from(share.0 > 0);
    part.max(least).min(endpoints.saturating_sub(1))
}

/// How long, with this ejection as the `times`th one of late.
pub(crate) fn ejection(rules: &OutlierDetection, times: u32) -> Duration {
    rules.base_ejection.saturating_mul(times.max(1)).min(rules.max_ejection.max(rules.base_ejection))
}

/// The number of this ejection when the last one, the `times`th, ended at `returned`: each interval (or base time, if longer) without
/// trouble makes one forgotten.
pub(crate) fn next_times(
    rules: &OutlierDetection,
    times: u32,
    returned: Option<Instant>,
    now: Instant,
) -> u32 {
    let step = rules.interval.max(rules.base_ejection).as_secs_f64().max(0.001);
    let quiet = returned.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and it is not negative"
    )]
    let forgotten = (quiet / step) as u32;
    times.saturating_sub(forgotten).saturating_add(1)
}

/// Those whose success rate is more than so many standard deviations below the mean, worst first.
///
/// Source: the rule that Envoy calls success rate ejection; the deviation is that of the population.
pub(crate) fn low_rates<K: Copy>(samples: &[(K, Sample)], rule: &SuccessRate) -> Vec<K> {
    let enough: Vec<(K, f64)> = samples
        .iter()
        .filter(|(_, sample)| sample.requests >= rule.min_requests.max(1))
        .map(|(key, sample)| (*key, sample.rate()))
        .collect();
    if enough.len() < (rule.min_endpoints as usize).max(2) {
        return Vec::new();
    }
    let count = enough.len() as f64;
    let mean = enough.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = enough.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
    let least = mean - f64::from(rule.deviations) / 1000.0 * variance.sqrt();
    // All alike is no outlier, whatever the rounding says.
    let mut low: Vec<_> = enough.into_iter().filter(|(_, rate)| *rate < least - 1e-9).collect();
    low.sort_by(|(_, one), (_, two)| one.total_cmp(two));
    low.into_iter().map(|(key, _)| key).collect()
}

/// Those whose mean latency is more than so many times the median of the means, worst first. Takes at least three to tell.
pub(crate) fn slow<K: Copy>(samples: &[(K, Sample)], rule: LatencyOutlier) -> Vec<K> {
    let mut enough: Vec<(K, f64)> = samples
        .iter()
        .filter(|(_, sample)| sample.successes() >= rule.min_requests.max(1))
        .map(|(key, sample)| (*key, sample.mean_latency()))
        .collect();
    if enough.len() < 3 {
        return Vec::new();
    }
    enough.sort_by(|(_, one), (_, two)| two.total_cmp(one));
    let middle = enough.len() / 2;
    let at = |at: usize| enough.get(at).map_or(0.0, |(_, latency)| *latency);
    let median = if enough.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle - 1), at(middle)) };
    let most = median * f64::from(rule.factor.max(1000)) / 1000.0;
    enough.into_iter().take_while(|(_, latency)| *latency > most).map(|(key, _)| key).collect()
}
