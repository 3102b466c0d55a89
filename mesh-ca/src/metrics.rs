//! What the CA counts. It must not know how it is scraped.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mesh_identity::incoming::IncomingCounters;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::tokens::JoinTokens;

/// By what an identity was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    JoinToken,
    Oidc,
    /// A token that the API server reviewed.
    Kubernetes,
    Renewal,
    /// The CA's own certificate.
    Own,
    /// Nothing that could be looked at.
    None,
}

impl Kind {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::JoinToken => "join_token",
            Self::Oidc => "oidc",
            Self::Kubernetes => "kubernetes",
            Self::Renewal => "renewal",
            Self::Own => "own",
            Self::None => "none",
        }
    }
}

/// How a token review ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Review {
    Accepted,
    Refused,
    /// The API server did not say.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reviewed {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Issued {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

/// Handles of the metrics; clones count into the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    jwts: Counter,
    issued: Family<Issued, Counter>,
    refused: Family<Refused, Counter>,
    reviews: Family<Reviewed, Counter>,
    in_sync: Gauge<u64, AtomicU64>,
    root_expiry: Gauge<u64, AtomicU64>,
    issuer_expiry: Gauge<u64, AtomicU64>,
    own_expiry: Gauge<u64, AtomicU64>,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, gauge: &Gauge<u64, AtomicU64>| {
            registry.register(name, help, gauge.clone());
        };
        add("mesh_ca_root_expiry_timestamp_seconds", "When the root ends", &self.root_expiry);
        add("mesh_ca_issuer_expiry_timestamp_seconds", "When the issuer ends", &self.issuer_expiry);
        add("mesh_ca_own_expiry_timestamp_seconds", "When the CA's own certificate ends", &self.own_expiry);
        registry.register(
            "mesh_ca_certificates_issued",
            "Certificates signed, by proof",
            self.issued.clone(),
        );
        registry.register("mesh_ca_jwts_issued", "JWT-SVIDs signed for members", self.jwts.clone());
        registry.register("mesh_ca_requests_refused", "Requests refused, by reason", self.refused.clone());
    }

    /// What a CA in a cluster counts beyond that.
    pub(crate) fn register_cluster(&self, registry: &mut Registry) {
        let help = "Service account tokens that the API server was asked about, by its answer";
        registry.register("mesh_ca_token_reviews", help, self.reviews.clone());
        let help = "1 while the keys in the cluster and the published root are this replica's";
        registry.register("mesh_ca_cluster_in_sync", help, self.in_sync.clone());
    }

    pub(crate) fn reviewed(&self, how: Review) {
        let result = match how {
            Review::Accepted => "accepted",
            Review::Refused => "refused",
            Review::Failed => "failed",
        };
        self.reviews.get_or_create(&Reviewed { result }).inc();
    }

    pub(crate) fn in_sync(&self, is_in_sync: bool) {
        self.in_sync.set(u64::from(is_in_sync));
    }

    pub(crate) fn issued(&self, kind: Kind) {
        self.issued.get_or_create(&Issued { kind: kind.label() }).inc();
    }

    pub(crate) fn jwt_issued(&self) {
        self.jwts.inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Refused { reason }).inc();
    }

    /// Unix seconds each.
    pub(crate) fn expiries(&self, root: u64, issuer: u64, own: u64) {
        self.root_expiry.set(root);
        self.issuer_expiry.set(issuer);
        self.own_expiry.set(own);
    }
}

/// What others count, read at each scrape.
#[derive(Debug)]
pub(crate) struct Scraped {
    pub(crate) connections: Arc<IncomingCounters>,
    pub(crate) tokens: Arc<JoinTokens>,
}

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut counter = |name, help, value| {
            let counter = ConstCounter::new(value);
            let encoder = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(encoder)
        };
        let connections = &self.connections;
        counter("mesh_ca_connections_accepted", "Handshakes that succeeded", connections.accepted())?;
        counter("mesh_ca_connections_refused", "Handshakes that failed", connections.failed())?;
        counter("mesh_ca_connections_full", "Times that accepting waited for a place", connections.full())?;
        let gauge = ConstGauge::new(u64::try_from(self.tokens.outstanding()).unwrap_or(u64::MAX));
        let help = "Join tokens that wait for their use";
        gauge.encode(encoder.encode_descriptor("mesh_ca_join_tokens", help, None, gauge.metric_type())?)
    }
}
