//! What is counted about names, and the families of it. It must not know why.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::{Dns, lock};

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Mesh,
    Cache,
    Resolver,
    /// Kept beyond its time, because the resolvers fail.
    Stale,
}

/// Why a query, or a reply, was not used as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A query that cannot be read or is not answered.
    Malformed,
    /// From another machine that is not named in `--dns-client`.
    Stranger,
    /// More queries than there is room for.
    Overload,
    /// No resolver answered.
    Unanswered,
    /// A resolver did not answer in time, refused, or failed.
    Resolver,
    /// A reply to another question, or to nobody's.
    Spoofed,
    /// No virtual address is left.
    NoAddress,
    /// A name was not asked of the controller, since too many were in vain.
    NotAsked,
    /// The controller did not say in time whether it knows a name.
    Unknown,
    /// A connection to resolve by did what it must not.
    Connection,
}

const FROM: [(From, &str); 4] =
    [(From::Mesh, "mesh"), (From::Cache, "cache"), (From::Resolver, "resolver"), (From::Stale, "stale")];

const TROUBLES: [(Trouble, &str); 10] = [
    (Trouble::Malformed, "malformed"),
    (Trouble::Stranger, "stranger"),
    (Trouble::Overload, "overload"),
    (Trouble::Unanswered, "unanswered"),
    (Trouble::Resolver, "resolver"),
    (Trouble::Spoofed, "spoofed"),
    (Trouble::NoAddress, "no_address"),
    (Trouble::NotAsked, "not_asked"),
    (Trouble::Unknown, "controller_silent"),
    (Trouble::Connection, "connection"),
];

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    from: [AtomicU64; FROM.len()],
    troubles: [AtomicU64; TROUBLES.len()],
}

impl Counters {
    pub(super) fn answered(&self, from: From) {
        if let Some(counter) = self.from.get(from as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn trouble(&self, trouble: Trouble) {
        if let Some(counter) = self.troubles.get(trouble as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes the families at each scrape.
#[derive(Debug)]
pub(super) struct Collected(pub(super) Dns);

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
        let from: Vec<_> = FROM.iter().map(|(_, name)| *name).zip(&shared.counters.from).collect();
        counters("mesh_dns_answers", "Names answered, by where the answer came from", "from", &from)?;
        let troubles: Vec<_> =
            TROUBLES.iter().map(|(_, name)| *name).zip(&shared.counters.troubles).collect();
        counters(
            "mesh_dns_troubles",
            "Queries and replies that were not used as they came",
            "reason",
            &troubles,
        )?;
        let (entries, bytes, evicted) = {
            let cache = lock(&shared.cache);
            (cache.len(), cache.bytes(), cache.evicted())
        };
        let in_flight = shared.config.exchanges.saturating_sub(shared.exchanges.available_permits());
        let hosts = lock(&shared.addresses).len();
        let gauges = [
            ("mesh_dns_cache_entries", "Replies of resolvers that are kept", entries),
            ("mesh_dns_cache_bytes", "Bytes of replies that are kept", bytes),
            ("mesh_dns_queries_in_flight", "Queries to resolvers that are not answered yet", in_flight),
            ("mesh_dns_virtual_addresses", "Hosts that have a virtual address of this proxy", hosts),
        ];
        for (name, help, value) in gauges {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&(value as f64))?;
        }
        let help = "Replies that had to make room for others before their time";
        let family = encoder.encode_descriptor("mesh_dns_cache_evicted", help, None, MetricType::Counter)?;
        ConstCounter::new(evicted).encode(family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_place() {
        for (place, (from, _)) in FROM.iter().enumerate() {
            assert_eq!(*from as usize, place);
        }
        for (place, (trouble, _)) in TROUBLES.iter().enumerate() {
            assert_eq!(*trouble as usize, place);
        }
    }
}
