//! The application's own metrics in the scrape of its sidecar, so that one scrape of a pod has both, also where strict mutual TLS lets
//! nobody else reach the application. Whatever the application answers, and whether it does, our own series are there. The shell; `text`
//! and `merge` decide. It must not know what a series means.

mod ask;
mod merge;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_lifecycle::admin::{self, Answer, Exposition, Scrape};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::config::ApplicationMetrics;
use crate::net::Dial;

/// Scrapes at once for which the application is asked; more get our own series alone.
const PLACES: usize = 2;
/// Most bytes of the application's answer.
const MAX_BODY: usize = 8 << 20;
/// Longest wait for the application, and which part of the scraper's patience that is at most.
const DEADLINE: Duration = Duration::from_secs(5);
const PART: f64 = 0.7;

/// Why a scrape is without the application's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Unreachable,
    Timeout,
    Status,
    TooLarge,
    Unreadable,
    Busy,
}

impl Missing {
    const ALL: [Self; 6] =
        [Self::Unreachable, Self::Timeout, Self::Status, Self::TooLarge, Self::Unreadable, Self::Busy];

    fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
            Self::Busy => "busy",
        }
    }
}

/// Clones share everything.
#[derive(Debug, Clone)]
pub struct Application(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: ApplicationMetrics,
    dial: Dial,
    places: Semaphore,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Whether the last scrape had them.
    up: AtomicU64,
    missing: [AtomicU64; Missing::ALL.len()],
    left_out: AtomicU64,
}

impl Application {
    /// Of an application that serves metrics there.
    pub fn new(metrics: ApplicationMetrics, dial: Dial) -> Self {
        let (places, counts) = (Semaphore::new(PLACES), Arc::default());
        Self(Arc::new(Inner { metrics, dial, places, counts }))
    }

    /// How it goes.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Collected(Arc::clone(&self.0.counts))));
    }

    /// Answers a scrape.
    pub async fn scraped(&self, scrape: Scrape) -> Answer {
        let deadline = scrape.patience.mul_f64(PART).min(DEADLINE);
        let theirs = self.theirs(scrape.reads, deadline).await;
        let counts = &self.0.counts;
        let readable = match &theirs {
            Ok((body, format)) => {
                text::read(body, *format).map(|families| (families, *format)).map_err(|wrong| {
                    tracing::debug!(%wrong, "the application's metrics cannot be read");
                    Missing::Unreadable
                })
            }
            Err(missing) => Err(*missing),
        };
        counts.note(readable.as_ref().err().copied());
        let own = scrape.own();
        let Some((mut families, theirs)) = readable.ok().filter(|_| own.status.is_success()) else {
            return own;
        };
        let format = match (scrape.reads, theirs) {
            (Exposition::OpenMetrics, Exposition::OpenMetrics) => Exposition::OpenMetrics,
            _ => Exposition::Plain,
        };
        if theirs != format {
            text::to_plain(&mut families);
        }
        let own = if format == Exposition::Plain { admin::plain(&own.body) } else { own.body };
        let merged = merge::merge(&own, families, format);
        counts.left_out.fetch_add(merged.left_out, Ordering::Relaxed);
        Answer::metrics(merged.body, format)
    }

    async fn theirs(&self, reads: Exposition, deadline: Duration) -> Result<(String, Exposition), Missing> {
        let Ok(_place) = self.0.places.try_acquire() else { return Err(Missing::Busy) };
        let ask = ask::Ask { metrics: &self.0.metrics, dial: &self.0.dial, limit: MAX_BODY };
        let answer = tokio::time::timeout(deadline, ask::ask(&ask, reads, deadline)).await;
        answer.unwrap_or(Err(Missing::Timeout)).inspect_err(|missing| {
            tracing::debug!(reason = missing.label(), "a scrape is without the application's metrics");
        })
    }
}

impl Counts {
    fn note(&self, missing: Option<Missing>) {
        self.up.store(u64::from(missing.is_none()), Ordering::Relaxed);
        let place = missing.and_then(|missing| Missing::ALL.iter().position(|known| *known == missing));
        if let Some(count) = place.and_then(|place| self.missing.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct Collected(Arc<Counts>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = &self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let up = ConstGauge::new(i64::try_from(read(&counts.up)).unwrap_or(0));
        let help = "1 if this scrape has the application's own metrics";
        up.encode(encoder.encode_descriptor("mesh_application_metrics_up", help, None, up.metric_type())?)?;
        let help = "Scrapes without the application's own metrics, and why";
        let mut missing =
            encoder.encode_descriptor("mesh_application_metrics_missing", help, None, MetricType::Counter)?;
        for (why, count) in Missing::ALL.iter().zip(&counts.missing) {
            let labels = [("reason", why.label())];
            ConstCounter::new(read(count)).encode(missing.encode_family(&labels)?)?;
        }
        let left_out = ConstCounter::new(read(&counts.left_out));
        let help = "Samples of the application that were left out because their name or series is the mesh's, or twice there";
        let name = "mesh_application_samples_left_out";
        left_out.encode(encoder.encode_descriptor(name, help, None, left_out.metric_type())?)
    }
}
