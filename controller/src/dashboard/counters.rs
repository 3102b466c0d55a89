//! What the dashboard counts: how many look, and what was refused because of a bound. It must not know who counts.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::access::sessions::Desk;

/// Counters of the dashboard. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct DashboardCounters {
    /// Taps and traces that are being read.
    pub streams: Gauge,
    /// Streams refused: too many are read already.
    pub streams_refused: Counter,
    /// Requests refused: from another page, for another host, without a session, too large.
    pub requests_refused: Counter,
    /// Times that accepting had to wait for a connection to end.
    pub connections_full: Counter,
    desk: Arc<OnceLock<Desk>>,
}

impl DashboardCounters {
    /// Makes them part of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let family = registry.sub_registry_with_prefix("mesh_controller_dashboard");
        family.register("streams", "Taps and traces that browsers read", self.streams.clone());
        family.register(
            "streams_refused",
            "Taps and traces refused because as many are read as may be",
            self.streams_refused.clone(),
        );
        family.register(
            "requests_refused",
            "Requests refused: of another page, for another host, without a session, too large",
            self.requests_refused.clone(),
        );
        family.register(
            "connections_full",
            "Times that accepting had to wait for the bound",
            self.connections_full.clone(),
        );
        registry.register_collector(Box::new(AtScrape(Arc::clone(&self.desk))));
    }

    /// Whose sessions are counted.
    pub fn watch(&self, desk: &Desk) {
        // A second dashboard in one process would keep the first; there is none.
        let _ = self.desk.set(desk.clone());
    }
}

#[derive(Debug)]
struct AtScrape(Arc<OnceLock<Desk>>);

impl Collector for AtScrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(desk) = self.0.get() else { return Ok(()) };
        let counts = desk.counts();
        let sessions = ConstGauge::new(i64::try_from(counts.sessions).unwrap_or(i64::MAX));
        let name = "mesh_controller_dashboard_sessions";
        sessions.encode(encoder.encode_descriptor(
            name,
            "Sessions of the dashboard",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter = ConstCounter::new(value);
            let kind = prometheus_client::metrics::MetricType::Counter;
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)
        };
        counter(
            "mesh_controller_dashboard_sign_ins_refused",
            "Sign-ins refused: a ticket or token that is not good, or too many attempts",
            counts.refused,
        )?;
        counter(
            "mesh_controller_dashboard_tickets_dropped",
            "Tickets that made room for others before they were used",
            counts.tickets_dropped,
        )?;
        counter(
            "mesh_controller_dashboard_sessions_dropped",
            "Sessions that made room for others",
            counts.sessions_dropped,
        )
    }
}
