//! What is counted about the Workload API, and its families. It must not know why.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::WorkloadApi;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    X509Svid,
    X509Bundles,
    JwtSvid,
    JwtBundles,
    ValidateJwtSvid,
}

/// Why something is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// A connection of another user.
    User,
    /// A connection that waited for a place.
    Connections,
    /// A stream beyond the bound.
    Streams,
    /// A call without the standard's header.
    Header,
    /// A call that asks for what is not there or not the caller's.
    Request,
    /// The CA gave nothing.
    Authority,
}

const METHODS: [(Method, &str); 5] = [
    (Method::X509Svid, "x509_svid"),
    (Method::X509Bundles, "x509_bundles"),
    (Method::JwtSvid, "jwt_svid"),
    (Method::JwtBundles, "jwt_bundles"),
    (Method::ValidateJwtSvid, "validate_jwt_svid"),
];

const REFUSED: [(Refused, &str); 6] = [
    (Refused::User, "user"),
    (Refused::Connections, "connections_full"),
    (Refused::Streams, "streams_full"),
    (Refused::Header, "header"),
    (Refused::Request, "request"),
    (Refused::Authority, "authority"),
];

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    answered: [AtomicU64; METHODS.len()],
    refused: [AtomicU64; REFUSED.len()],
}

impl Counters {
    /// An answer, or one more message of a stream.
    pub(super) fn answered(&self, method: Method) {
        if let Some(counter) = self.answered.get(method as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn refused(&self, why: Refused) {
        if let Some(counter) = self.refused.get(why as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes the families at each scrape.
#[derive(Debug)]
pub(super) struct Collected(pub(super) WorkloadApi);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let shared = &self.0.shared;
        let mut counters = |name: &str, help: &str, label: &str, all: &[(&str, &AtomicU64)]| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (value, counter) in all {
                let labels = [(label, *value)];
                let counter = ConstCounter::new(counter.load(Ordering::Relaxed));
                counter.encode(family.encode_family(&labels)?)?;
            }
            Ok::<_, fmt::Error>(())
        };
        let answered: Vec<_> = METHODS.iter().map(|(_, name)| *name).zip(&shared.counters.answered).collect();
        counters("mesh_workload_api_answers", "Answers of the SPIFFE Workload API", "method", &answered)?;
        let refused: Vec<_> = REFUSED.iter().map(|(_, name)| *name).zip(&shared.counters.refused).collect();
        let help = "Connections and calls of the SPIFFE Workload API that were not answered";
        counters("mesh_workload_api_refused", help, "reason", &refused)?;
        let open = shared.config.streams.saturating_sub(shared.streams.available_permits());
        let end = shared.svid.borrow().as_ref().map_or(0, |held| held.svid.not_after);
        let gauges = [
            ("mesh_workload_api_streams", "Streams of the SPIFFE Workload API that are open", open as f64),
            (
                "mesh_workload_api_svid_expiry_timestamp_seconds",
                "When the application's own certificate ends; 0: there is none yet",
                end as f64,
            ),
        ];
        for (name, help, value) in gauges {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_place() {
        for (place, (method, _)) in METHODS.iter().enumerate() {
            assert_eq!(*method as usize, place);
        }
        for (place, (refused, _)) in REFUSED.iter().enumerate() {
            assert_eq!(*refused as usize, place);
        }
    }
}
