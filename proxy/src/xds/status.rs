//! How the configuration stream is doing, for metrics. It must not know the stream.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mesh_lifecycle::Clock;
use mesh_model::matter::Matter;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::age::Ages;

/// Written by the client, read by scrapes.
#[derive(Debug)]
pub(super) struct Status {
    clock: Clock,
    ages: Ages,
    connected: AtomicBool,
    destinations: AtomicU64,
    rejects: AtomicU64,
    resyncs: AtomicU64,
    asked_again: AtomicU64,
    not_asked_again: AtomicU64,
    queue_full: AtomicU64,
    destinations_refused: AtomicU64,
    sought: AtomicU64,
    sought_refused: AtomicU64,
    /// As of when the saved state holds that is served from, Unix milliseconds; 0: none is.
    saved_as_of_ms: AtomicU64,
    saved_ignored: AtomicU64,
    saved_failed: AtomicU64,
}

impl Default for Status {
    fn default() -> Self {
        Self::new(Clock::default())
    }
}

impl Status {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            ages: Ages::default(),
            connected: AtomicBool::new(false),
            destinations: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
            resyncs: AtomicU64::new(0),
            asked_again: AtomicU64::new(0),
            not_asked_again: AtomicU64::new(0),
            queue_full: AtomicU64::new(0),
            destinations_refused: AtomicU64::new(0),
            sought: AtomicU64::new(0),
            sought_refused: AtomicU64::new(0),
            saved_as_of_ms: AtomicU64::new(0),
            saved_ignored: AtomicU64::new(0),
            saved_failed: AtomicU64::new(0),
        }
    }

    /// The controller has proved that nothing is missing, so long ago; but for what it has lost, and for how long.
    pub(super) fn fresh(&self, ago: Duration, lost: &[(Matter, Duration)]) {
        self.ages.proved(ago, lost);
    }

    /// How long ago that was by the wall clock: of a controller that says nothing else.
    pub(super) fn since(&self, sent_ms: u64) -> Duration {
        Duration::from_millis(self.clock.now_ms().saturating_sub(sent_ms))
    }

    /// What is held was not what the controller said.
    pub(super) fn resync(&self) {
        self.resyncs.fetch_add(1, Ordering::Relaxed);
    }

    /// The controller is asked anew for a service of which nobody could be reached.
    pub(super) fn asked_again(&self) {
        self.asked_again.fetch_add(1, Ordering::Relaxed);
    }

    /// It is not: too much is asked already.
    pub(super) fn not_asked_again(&self) {
        self.not_asked_again.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connected(&self, connected: Connection) {
        self.connected.store(connected == Connection::Up, Ordering::Relaxed);
    }

    pub(super) fn destinations(&self, count: usize) {
        self.destinations.store(count as u64, Ordering::Relaxed);
    }

    /// So many resources of an update could not be used; what cannot be used now is about these.
    pub(super) fn rejected(&self, count: usize, about: &[Matter]) {
        self.rejects.fetch_add(count as u64, Ordering::Relaxed);
        self.ages.unusable(about);
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

    /// From now on the saved state of then is served from; None: what the controller says.
    pub(super) fn saved(&self, as_of_ms: Option<u64>) {
        self.saved_as_of_ms.store(as_of_ms.unwrap_or_default(), Ordering::Relaxed);
        if let Some(as_of_ms) = as_of_ms {
            self.ages.saved(self.since(as_of_ms));
        }
    }

    /// How old the saved state is that is served from.
    pub(super) fn saved_age(&self) -> Option<Duration> {
        let as_of_ms = self.saved_as_of_ms.load(Ordering::Relaxed);
        (as_of_ms != 0).then(|| Duration::from_millis(self.clock.now_ms().saturating_sub(as_of_ms)))
    }

    pub(super) fn saved_ignored(&self) {
        self.saved_ignored.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn saved_failed(&self) {
        self.saved_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// As of when this proxy is known to have all there is, Unix milliseconds.
    pub(super) fn fresh_as_of_ms(&self) -> u64 {
        let ago = u64::try_from(self.ages.proof().as_millis()).unwrap_or(u64::MAX);
        self.clock.now_ms().saturating_sub(ago)
    }

    pub(super) fn refusals(&self) -> u64 {
        let bounds = [&self.queue_full, &self.destinations_refused, &self.sought_refused];
        bounds.iter().map(|bound| bound.load(Ordering::Relaxed)).sum()
    }
}

/// Whether there is a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    Up,
    Down,
}

/// Writes the families at each scrape.
#[derive(Debug)]
pub(super) struct Collected(pub(super) Arc<Status>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.0;
        let help = "Since this proxy last had all there is, as the controller proved, and could use it";
        let name = "mesh_config_staleness_seconds";
        let mut staleness = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (matter, age) in status.ages.of() {
            staleness.encode_family(&[("kind", matter.word())])?.encode_gauge(&age.as_secs_f64())?;
        }
        let mut gauge = |name: &str, help: &str, value: f64| {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
        };
        let connected = if status.connected.load(Ordering::Relaxed) { 1.0 } else { 0.0 };
        gauge("mesh_config_connected", "Whether there is a stream to the controller", connected)?;
        let help = "Services that this proxy is subscribed to";
        gauge("mesh_config_destinations", help, status.destinations.load(Ordering::Relaxed) as f64)?;
        let help = "Addresses and hosts that this proxy asks about";
        gauge("mesh_config_sought", help, status.sought.load(Ordering::Relaxed) as f64)?;
        let help = "Age of the saved state that this proxy serves from, since its controller is away; 0 when it is not";
        let age = status.saved_age().unwrap_or_default().as_secs_f64();
        gauge("mesh_config_saved_state_age_seconds", help, age)?;
        let mut counter = |name: &str, help: &str, value: &AtomicU64| {
            encoder
                .encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, u64, u64>(&value.load(Ordering::Relaxed), None)
        };
        counter("mesh_config_rejects", "Resources of updates that could not be used", &status.rejects)?;
        let help =
            "Times that what this proxy held was not what its controller had told, and it was told anew";
        counter("mesh_config_resyncs", help, &status.resyncs)?;
        let help =
            "Services that the controller was asked for anew since none of their endpoints could be reached";
        counter("mesh_config_asked_again", help, &status.asked_again)?;
        let help = "Services of which none of the endpoints could be reached, and that were not asked for anew: too many were";
        counter("mesh_config_asked_again_refused", help, &status.not_asked_again)?;
        let help = "Requests for a destination that found the client's queue full";
        counter("mesh_config_queue_full", help, &status.queue_full)?;
        let help = "Requests for a destination beyond the bound on destinations";
        counter("mesh_config_destinations_refused", help, &status.destinations_refused)?;
        let help = "Questions about an address or a host beyond the bound on them";
        counter("mesh_config_sought_refused", help, &status.sought_refused)?;
        let help = "Saved states that were not used: damaged, too old, or of another version";
        counter("mesh_config_saved_state_ignored", help, &status.saved_ignored)?;
        let help = "Times that the configuration could not be saved for a restart";
        counter("mesh_config_saved_state_failures", help, &status.saved_failed)
    }
}
