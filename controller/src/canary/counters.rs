//! What deciding about releases counts. It must not know who counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters of releases. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ReleaseCounters {
    /// Questions to webhooks and Prometheus.
    pub asks: Counter,
    /// Those without an answer that can be used.
    pub asks_unanswered: Counter,
    /// Those that had to wait because too many were under way.
    pub asks_delayed: Counter,
    /// Events written to the cluster.
    pub events: Counter,
    /// Events that were not: too many in a short time, or the API server did not take them.
    pub events_lost: Counter,
}

impl ReleaseCounters {
    /// Makes them part of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let family = registry.sub_registry_with_prefix("mesh_controller_canary");
        family.register("asks", "Questions to webhooks and Prometheus", self.asks.clone());
        family.register(
            "asks_unanswered",
            "Questions without an answer that can be used",
            self.asks_unanswered.clone(),
        );
        family.register(
            "asks_delayed",
            "Questions that had to wait because too many were under way",
            self.asks_delayed.clone(),
        );
        family.register("events", "Events written to the cluster", self.events.clone());
        family.register(
            "events_lost",
            "Events that were too many in a short time, or that the API server did not take",
            self.events_lost.clone(),
        );
    }
}
