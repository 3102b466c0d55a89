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
    /// Streams refused because an identity opened too many at a time.
    pub openings: Counter,
    /// Streams refused because a workload had its share.
    pub share: Counter,
    /// Streams refused because a workload opened one after the other.
    pub often: Counter,
    /// Times that a proxy said so much that the next message had to wait.
    pub throttled: Counter,
    /// Streams ended for a message that is too large.
    pub large: Counter,
    /// Streams ended for acks that confirm nothing.
    pub idle_acks: Counter,
    /// Streams given up because the proxy read nothing.
    pub stalled: Counter,
    /// Updates that a comparison found, and no change was said to concern: always 0.
    pub missed: Counter,
    /// Times that a proxy did not hold what it was told.
    pub resyncs: Counter,
    /// Services that proxies asked for anew since none of their endpoints could be reached.
    pub asked_again: Counter,
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
        let bounds = [
            ("openings_refused", "Streams refused: its identity opened too many at a time", &self.openings),
            ("workload_streams_full", "Streams refused: the workload had its share", &self.share),
            (
                "workload_streams_too_often",
                "Streams refused: the workload opened one after the other",
                &self.often,
            ),
            (
                "streams_throttled",
                "Times that a proxy said so much that its next message had to wait",
                &self.throttled,
            ),
            ("messages_too_large", "Streams ended for a message that is too large", &self.large),
            ("streams_idle_acks", "Streams ended for acks that confirm nothing", &self.idle_acks),
        ];
        for (name, help, counter) in bounds {
            family.register(name, help, counter.clone());
        }
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
        family.register(
            "resyncs",
            "Times that a proxy did not hold what it was told, and was sent what is missing or different",
            self.resyncs.clone(),
        );
        family.register(
            "asked_again",
            "Services that proxies asked for anew since none of their endpoints could be reached",
            self.asked_again.clone(),
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
