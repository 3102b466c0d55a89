//! `/metrics`. Counters are counted where things happen; sizes are asked for when they are scraped.

mod objectives;
mod staleness;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mesh_identity::incoming::IncomingCounters;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::sync::watch;

use crate::canary::counters::ReleaseCounters;
use crate::clock::now_ms;
use crate::compile::incremental::Followed;
use crate::dashboard::counters::DashboardCounters;
use crate::keys::KeyCounters;
use crate::observe::{Counts, Observatory};
use crate::serve::{Registry, Snapshot};
use crate::sources::freshness::Freshness;
use crate::status::counters::{AnnounceCounters, ServeCounters};

/// The controller's metrics. Clones are handles of the same.
#[derive(Debug, Clone)]
pub struct Metrics {
    compile: Histogram,
    resources: Gauge,
    problems: Gauge,
    revision: Gauge,
    without_meaning: Counter,
    whole: Counter,
    sizes: Arc<Sizes>,
    counters: ServeCounters,
    announce: AnnounceCounters,
    keys: KeyCounters,
    dashboard: DashboardCounters,
    releases: ReleaseCounters,
}

/// Filled in once the parts are there.
#[derive(Default)]
struct Sizes {
    parts: OnceLock<Parts>,
    source_time_ms: std::sync::atomic::AtomicU64,
}

/// What is asked for sizes.
pub struct Parts {
    /// All configuration streams.
    pub registry: Registry,
    /// What proxies reported.
    pub observatory: Observatory,
    /// Connections.
    pub incoming: Arc<IncomingCounters>,
    /// How new what the source says is.
    pub freshness: Freshness,
    /// The newest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl fmt::Debug for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sizes").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            // A tenth of a millisecond to three seconds.
            compile: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            resources: Gauge::default(),
            problems: Gauge::default(),
            revision: Gauge::default(),
            without_meaning: Counter::default(),
            whole: Counter::default(),
            sizes: Arc::default(),
            counters: ServeCounters::default(),
            announce: AnnounceCounters::default(),
            keys: KeyCounters::default(),
            dashboard: DashboardCounters::default(),
            releases: ReleaseCounters::default(),
        }
    }
}

impl Metrics {
    /// Makes them part of `/metrics`.
    pub fn register(&self, registry: &mut MetricsRegistry) {
        let own = registry.sub_registry_with_prefix("mesh_controller");
        own.register(
            "compile_duration_seconds",
            "Time from a change of the source to its snapshot",
            self.compile.clone(),
        );
        own.register("resources", "Resources that proxies can be told", self.resources.clone());
        own.register(
            "object_problems",
            "Problems with objects and files of the source",
            self.problems.clone(),
        );
        own.register("revision", "Revision of the source", self.revision.clone());
        own.register(
            "changes_without_meaning",
            "Changes of the source after which every resource was the same",
            self.without_meaning.clone(),
        );
        own.register(
            "compiled_whole",
            "Changes of the source after which everything was compiled, not only what they concern",
            self.whole.clone(),
        );
        self.counters().register(registry);
        self.announce.register(registry);
        self.keys.register(registry);
        self.dashboard.register(registry);
        self.releases.register(registry);
        registry.register_collector(Box::new(AtScrape(Arc::clone(&self.sizes))));
    }

    /// What serving counts; the same for all clones.
    pub fn counters(&self) -> ServeCounters {
        self.counters.clone()
    }

    /// What writing to a cluster counts; the same for all clones.
    pub fn announce(&self) -> AnnounceCounters {
        self.announce.clone()
    }

    /// What fetching keys counts; the same for all clones.
    pub fn keys(&self) -> KeyCounters {
        self.keys.clone()
    }

    /// What deciding about releases counts; the same for all clones.
    pub fn releases(&self) -> ReleaseCounters {
        self.releases.clone()
    }

    /// What the dashboard counts; the same for all clones.
    pub fn dashboard(&self) -> DashboardCounters {
        self.dashboard.clone()
    }

    /// Where sizes are asked for.
    pub fn observe(&self, parts: Parts) {
        // A second start in the same process would keep the first; there is none.
        let _ = self.sizes.parts.set(parts);
    }

    /// A snapshot was made.
    pub fn compiled(&self, duration: Duration, followed: &Followed, problems: usize, snapshot: &Snapshot) {
        let gauge = |gauge: &Gauge, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        self.compile.observe(duration.as_secs_f64());
        if *followed == Followed::Whole {
            self.whole.inc();
        }
        gauge(&self.resources, snapshot.len());
        gauge(&self.problems, problems);
        self.revision.set(i64::try_from(snapshot.revision).unwrap_or(i64::MAX));
        self.sizes.source_time_ms.store(snapshot.time_ms, std::sync::atomic::Ordering::Relaxed);
    }

    /// A change made no difference.
    pub fn without_meaning(&self) {
        self.without_meaning.inc();
    }
}

#[derive(Debug)]
struct AtScrape(Arc<Sizes>);

impl Collector for AtScrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(parts) = self.0.parts.get() else { return Ok(()) };
        let Parts { registry, observatory, incoming, freshness, snapshots } = parts;
        let counts = observatory.counts();
        let source = self.0.source_time_ms.load(std::sync::atomic::Ordering::Relaxed);
        let lag = registry.lag(source, now_ms());
        let snapshot = Arc::clone(&snapshots.borrow());
        staleness::write(&mut encoder, &registry.stalest(&snapshot), &freshness.now_lost())?;
        objectives::write(&mut encoder, &observatory.promises(|promises| promises.exported()))?;
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)
        };
        gauge("mesh_controller_config_streams", "Open configuration streams", registry.streams() as u64)?;
        gauge(
            "mesh_controller_config_lag_milliseconds",
            "Age of the newest revision while some proxy has not confirmed it, else 0",
            lag,
        )?;
        gauge(
            "mesh_controller_source_staleness_milliseconds",
            "How long some part of the source could not be followed, else 0",
            now_ms().saturating_sub(freshness.as_of(now_ms())),
        )?;
        gauge("mesh_controller_report_streams", "Open report streams", counts.reporters)?;
        gauge("mesh_controller_report_series", "Series kept", counts.series)?;
        gauge("mesh_controller_report_open_traces", "Traces that wait for more spans", counts.open_traces)?;
        gauge("mesh_controller_report_failures", "Kinds of failures kept with an example", counts.failures)?;
        gauge("mesh_controller_objectives", "Objectives that are counted for", counts.objectives)?;
        gauge("mesh_controller_taps", "Open tap sessions", counts.taps)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter = ConstCounter::new(value);
            let encoder = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(encoder)
        };
        counter(
            "mesh_controller_config_streams_full",
            "Configuration streams that found no room",
            registry.full(),
        )?;
        overflows(&mut counter, &counts)?;
        counter("mesh_controller_report_streams_refused", "Report streams refused", counts.refused)?;
        let (trials, refused) = counts.trials;
        counter("mesh_controller_trials", "Requests that operators had proxies send", trials)?;
        counter("mesh_controller_trials_refused", "Those for which there was no room", refused)?;
        for (name, help, value) in [
            ("mesh_controller_connections_accepted", "TLS handshakes that succeeded", incoming.accepted()),
            ("mesh_controller_connections_failed", "TLS handshakes that failed", incoming.failed()),
            (
                "mesh_controller_connections_crowded_out",
                "TLS handshakes that took long and had to make room for others",
                incoming.crowded_out(),
            ),
            (
                "mesh_controller_connections_full",
                "Times that accepting had to wait for the bound",
                incoming.full(),
            ),
        ] {
            counter(name, help, value)?;
        }
        Ok(())
    }
}

/// What found no room.
fn overflows(
    counter: &mut impl FnMut(&str, &str, u64) -> Result<(), fmt::Error>,
    counts: &Counts,
) -> Result<(), fmt::Error> {
    counter(
        "mesh_controller_report_series_overflow",
        "Reported series that found no room",
        counts.series_overflow,
    )?;
    counter(
        "mesh_controller_report_series_without_history",
        "Series that have no history for want of room",
        counts.without_history,
    )?;
    counter(
        "mesh_controller_report_failures_overflow",
        "Kinds of failures that had to make room",
        counts.failures_overflow,
    )?;
    counter(
        "mesh_controller_report_comparisons_overflow",
        "Comparisons of answers that found no room",
        counts.comparisons_overflow,
    )?;
    counter(
        "mesh_controller_objectives_overflow",
        "Objectives that found no room",
        counts.objectives_overflow,
    )?;
    counter(
        "mesh_controller_report_costs_overflow",
        "Reports of what a proxy takes that found no room",
        counts.costs_overflow,
    )?;
    counter(
        "mesh_controller_report_spans_dropped",
        "Reported spans that found no room, or came too late",
        counts.spans_dropped,
    )?;
    counter(
        "mesh_controller_report_traces_lagged",
        "Traces that a reader was too slow for",
        counts.traces_lagged,
    )
}
