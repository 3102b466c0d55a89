//! What serving counts. It must not know who counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of configuration streams. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ServeCounters {
    /// Updates sent.
    pub pushes: Counter,
    /// Resources in them.
    pub resources_sent: Counter,
    /// Resources that proxies could not use.
    pub rejects: Counter,
    /// Streams refused: someone else's identity, no room, too much asked for.
    pub refused: Counter,
    /// Streams given up because the proxy read nothing.
    pub stalled: Counter,
    /// Updates that a comparison found, and no change was said to concern: always 0.
    pub missed: Counter,
}

impl ServeCounters {
    /// Makes them part of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let family = registry.sub_registry_with_prefix("mesh_controller_config");
        family.register("pushes", "Updates sent to proxies", self.pushes.clone());
        family.register(
            "resources_sent",
            "Resources in updates sent to proxies",
            self.resources_sent.clone(),
        );
        family.register("rejects", "Resources that proxies could not use", self.rejects.clone());
        family.register("streams_refused", "Configuration streams refused", self.refused.clone());
        family.register(
            "streams_stalled",
            "Configuration streams given up because nothing was read",
            self.stalled.clone(),
        );
        family.register(
            "updates_missed",
            "Updates that only the regular comparison of a stream found; any is a fault of the controller",
            self.missed.clone(),
        );
    }
}

/// Counters of what is written to a cluster. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct AnnounceCounters {
    /// Whether this controller leads.
    pub leads: Gauge,
    /// Statuses written.
    pub writes: Counter,
    /// Statuses that the API server did not take.
    pub failures: Counter,
}

impl AnnounceCounters {
    /// Makes them part of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let family = registry.sub_registry_with_prefix("mesh_controller");
        family.register("leads", "1 on the replica that writes to the cluster, else 0", self.leads.clone());
        family.register("status_writes", "Statuses written", self.writes.clone());
        family.register(
            "status_failures",
            "Statuses that the API server did not take",
            self.failures.clone(),
        );
    }
}
