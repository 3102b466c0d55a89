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

use crate::live::Seen;
use crate::rotation::Step;
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
struct Federated {
    trust_domain: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Issued {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AtStep {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

/// Handles of the metrics; clones count into the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    jwts: Counter,
    fetched: Family<Federated, Gauge<u64, AtomicU64>>,
    fetch_failures: Family<Federated, Counter>,
    endpoint_answers: Counter,
    endpoint_full: Counter,
    issued: Family<Issued, Counter>,
    refused: Family<Refused, Counter>,
    reviews: Family<Reviewed, Counter>,
    in_sync: Gauge<u64, AtomicU64>,
    root_expiry: Gauge<u64, AtomicU64>,
    issuer_expiry: Gauge<u64, AtomicU64>,
    own_expiry: Gauge<u64, AtomicU64>,
    step: Family<AtStep, Gauge<u64, AtomicU64>>,
    step_since: Gauge<u64, AtomicU64>,
    generation: Gauge<u64, AtomicU64>,
    members: Gauge<u64, AtomicU64>,
    members_in_step: Gauge<u64, AtomicU64>,
    keeper_failures: Counter,
    untracked: Counter,
    audit_failures: Counter,
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
        let help = "When the bundle of a federated trust domain was last fetched";
        registry.register("mesh_ca_federation_fetched_timestamp_seconds", help, self.fetched.clone());
        let help = "Attempts to fetch the bundle of a federated trust domain that failed";
        registry.register("mesh_ca_federation_failures", help, self.fetch_failures.clone());
        let help = "Answers of the bundle endpoint";
        registry.register("mesh_ca_bundle_endpoint_answers", help, self.endpoint_answers.clone());
        let help = "Times that the bundle endpoint waited for a place";
        registry.register("mesh_ca_bundle_endpoint_full", help, self.endpoint_full.clone());
        registry.register("mesh_ca_jwts_issued", "JWT-SVIDs signed for members", self.jwts.clone());
        registry.register("mesh_ca_requests_refused", "Requests refused, by reason", self.refused.clone());
        self.register_rotation(registry);
    }

    fn register_rotation(&self, registry: &mut Registry) {
        registry.register(
            "mesh_ca_rotation_step",
            "1 for the step that the rotation is at",
            self.step.clone(),
        );
        let help = "When the step began";
        registry.register("mesh_ca_rotation_step_since_timestamp_seconds", help, self.step_since.clone());
        let help = "Generation of the trust bundle";
        registry.register("mesh_ca_bundle_generation", help, self.generation.clone());
        let help = "Members with a living certificate";
        registry.register("mesh_ca_members", help, self.members.clone());
        let help = "Members that trust the bundle of now";
        registry.register("mesh_ca_members_in_step", help, self.members_in_step.clone());
        let help = "Looks at the kept keys, or steps of a rotation, that failed";
        registry.register("mesh_ca_rotation_failures", help, self.keeper_failures.clone());
        let help = "Certificates of members for whom the table had no place";
        registry.register("mesh_ca_members_untracked", help, self.untracked.clone());
        let help = "Decisions that could not be written to the audit log";
        registry.register("mesh_ca_audit_failures", help, self.audit_failures.clone());
    }

    /// What the keeper saw.
    pub(crate) fn rotation(&self, seen: &Seen, now: u64) {
        let rotation = &seen.rotation;
        for step in [Step::Steady, Step::RootPrepared, Step::RootPublished, Step::IssuerMoved] {
            let gauge = self.step.get_or_create(&AtStep { step: step.label() });
            gauge.set(u64::from(step == rotation.step));
        }
        self.step_since.set(rotation.since);
        self.generation.set(rotation.generation);
        let (all, in_step) = seen.counts(rotation.point(), now);
        self.members.set(all);
        self.members_in_step.set(in_step);
    }

    pub(crate) fn keeper_failed(&self) {
        self.in_sync.set(0);
        self.keeper_failures.inc();
    }

    pub(crate) fn untracked(&self) {
        self.untracked.inc();
    }

    pub(crate) fn audit_failed(&self) {
        self.audit_failures.inc();
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

    /// `trust_domain` is from configuration; Unix seconds.
    pub(crate) fn federation_fetched(&self, trust_domain: &str, at: u64) {
        self.fetched.get_or_create(&Federated { trust_domain: trust_domain.to_owned() }).set(at);
    }

    pub(crate) fn federation_failed(&self, trust_domain: &str) {
        self.fetch_failures.get_or_create(&Federated { trust_domain: trust_domain.to_owned() }).inc();
    }

    pub(crate) fn endpoint_answered(&self) {
        self.endpoint_answers.inc();
    }

    pub(crate) fn endpoint_full(&self) {
        self.endpoint_full.inc();
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
