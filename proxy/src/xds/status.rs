//! How the configuration stream is doing, for metrics. It must not know the stream.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Written by the client, read by scrapes.
#[derive(Debug)]
pub(super) struct Status {
    /// When the controller last proved that nothing is missing, Unix milliseconds; at first when this process began.
    fresh_ms: AtomicU64,
    connected: AtomicBool,
    destinations: AtomicU64,
    rejects: AtomicU64,
    queue_full: AtomicU64,
    destinations_refused: AtomicU64,
    sought: AtomicU64,
    sought_refused: AtomicU64,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            fresh_ms: AtomicU64::new(now_ms()),
            connected: AtomicBool::new(false),
            destinations: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
            queue_full: AtomicU64::new(0),
            destinations_refused: AtomicU64::new(0),
            sought: AtomicU64::new(0),
            sought_refused: AtomicU64::new(0),
        }
    }
}

impl Status {
    /// A watermark came that was sent at that time.
    pub(super) fn fresh(&self, sent_ms: u64) {
        self.fresh_ms.fetch_max(sent_ms, Ordering::Relaxed);
    }

    pub(super) fn connected(&self, connected: Connection) {
        self.connected.store(connected == Connection::Up, Ordering::Relaxed);
    }

    pub(super) fn destinations(&self, count: usize) {
        self.destinations.store(count as u64, Ordering::Relaxed);
    }

    pub(super) fn rejected(&self, count: usize) {
        self.rejects.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn queue_full(&self) {
        self.queue_full.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn destination_refused(&self) {
        self.destinations_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sought(&self, count: usize) {
        self.sought.store(count as u64, Ordering::Relaxed);
    }

    pub(super) fn sought_refused(&self) {
        self.sought_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refusals(&self) -> u64 {
        let bounds = [&self.queue_full, &self.destinations_refused, &self.sought_refused];
        bounds.iter().map(|bound| bound.load(Ordering::Relaxed)).sum()
    }

    /// Seconds since the controller last proved that this proxy has all there is.
    pub(super) fn staleness_seconds(&self, now_ms: u64) -> f64 {
        now_ms.saturating_sub(self.fresh_ms.load(Ordering::Relaxed)) as f64 / 1e3
    }
}

/// Whether there is a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    Up,
    Down,
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// Writes the families at each scrape.
#[derive(Debug)]
pub(super) struct Collected(pub(super) Arc<Status>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.0;
        let mut gauge = |name: &str, help: &str, value: f64| {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
        };
        let help = "Since the controller last proved that this proxy has all there is";
        gauge("mesh_config_staleness_seconds", help, status.staleness_seconds(now_ms()))?;
        let connected = if status.connected.load(Ordering::Relaxed) { 1.0 } else { 0.0 };
        gauge("mesh_config_connected", "Whether there is a stream to the controller", connected)?;
        let help = "Services that this proxy is subscribed to";
        gauge("mesh_config_destinations", help, status.destinations.load(Ordering::Relaxed) as f64)?;
        let help = "Addresses and hosts that this proxy asks about";
        gauge("mesh_config_sought", help, status.sought.load(Ordering::Relaxed) as f64)?;
        let mut counter = |name: &str, help: &str, value: &AtomicU64| {
            encoder
                .encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, u64, u64>(&value.load(Ordering::Relaxed), None)
        };
        counter("mesh_config_rejects", "Resources of updates that could not be used", &status.rejects)?;
        let help = "Requests for a destination that found the client's queue full";
        counter("mesh_config_queue_full", help, &status.queue_full)?;
        let help = "Requests for a destination beyond the bound on destinations";
        counter("mesh_config_destinations_refused", help, &status.destinations_refused)?;
        let help = "Questions about an address or a host beyond the bound on them";
        counter("mesh_config_sought_refused", help, &status.sought_refused)
    }
}
