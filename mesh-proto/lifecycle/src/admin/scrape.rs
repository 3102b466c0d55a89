//! A scrape, as a daemon sees it that adds to its metrics. It must not know what is added.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use prometheus_client::registry::Registry;

use super::exposition::{Exposition, reads_openmetrics};
use super::{Answer, accept};

/// How long a scrape may take where who asks does not say: Prometheus waits for 10 s.
const USUAL: Duration = Duration::from_secs(10);

/// One.
pub struct Scrape {
    /// What who asks reads; who reads OpenMetrics reads the older format too.
    pub reads: Exposition,
    /// How long who asks waits.
    pub patience: Duration,
    registry: Arc<Registry>,
}

impl Scrape {
    pub(super) fn new(headers: &HeaderMap, registry: Arc<Registry>) -> Self {
        let open = reads_openmetrics(accept(headers));
        let seconds =
            headers.get("x-prometheus-scrape-timeout-seconds").and_then(|value| value.to_str().ok());
        let seconds = seconds.and_then(|text| text.parse::<f64>().ok());
        let patience = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self {
            reads: if open { Exposition::OpenMetrics } else { Exposition::Plain },
            patience: patience.filter(|patience| !patience.is_zero()).unwrap_or(USUAL).min(USUAL),
            registry,
        }
    }

    /// The daemon's own, as they are now, in OpenMetrics.
    pub fn own(&self) -> Answer {
        super::metrics(&self.registry)
    }
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape")
            .field("reads", &self.reads)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
