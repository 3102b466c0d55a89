//! What balancing decided, as plain numbers. It must not know where they are shown.

/// Events of one balancer since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Endpoints left alone because of errors in a row.
    pub ejected_errors: u64,
    /// Because of their success rate.
    pub ejected_success_rate: u64,
    /// Because of their latency.
    pub ejected_latency: u64,
    /// Endpoints that would have been, had not as many been already as may be.
    pub spared: u64,
    /// Endpoints that came back after one of these.
    pub returned: u64,
    /// Endpoints that probes took out.
    pub unhealthy: u64,
    /// Endpoints that probes brought back.
    pub recovered: u64,
    /// Picks while too few endpoints were usable to look at health.
    pub panicked: u64,
    /// Picks outside of the own zone although it has endpoints.
    pub other_zone: u64,
    /// Picks of a lower priority than the first.
    pub lower_priority: u64,
    /// Picks of an endpoint that is not usable because nothing else was left.
    pub last_resort: u64,
    /// Picks that found every endpoint at its bound.
    pub at_bound: u64,
}

impl Counts {
    /// All endpoints that outlier detection left alone.
    pub fn ejected(&self) -> u64 {
        self.ejected_errors + self.ejected_success_rate + self.ejected_latency
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            ejected_errors: self.ejected_errors.saturating_sub(before.ejected_errors),
            ejected_success_rate: self.ejected_success_rate.saturating_sub(before.ejected_success_rate),
            ejected_latency: self.ejected_latency.saturating_sub(before.ejected_latency),
            spared: self.spared.saturating_sub(before.spared),
            returned: self.returned.saturating_sub(before.returned),
            unhealthy: self.unhealthy.saturating_sub(before.unhealthy),
            recovered: self.recovered.saturating_sub(before.recovered),
            panicked: self.panicked.saturating_sub(before.panicked),
            other_zone: self.other_zone.saturating_sub(before.other_zone),
            lower_priority: self.lower_priority.saturating_sub(before.lower_priority),
            last_resort: self.last_resort.saturating_sub(before.last_resort),
            at_bound: self.at_bound.saturating_sub(before.at_bound),
        }
    }
}
