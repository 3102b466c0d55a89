//! XBackendTrafficPolicy of the Gateway API (`gateway.networking.x-k8s.io/v1alpha1`): the share of retries among requests to a
//! Service, and sessions. It must not know the rules between fields (`lower`).
//!
//! Source: Gateway API v1.6, experimental channel; GEP-3388, GEP-1619.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::scalars::DurationText;
use super::traffic::SessionPersistence;

/// An XBackendTrafficPolicy.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct XBackendTrafficPolicy {
    /// Name, namespace, labels.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What it says.
    pub spec: XBackendTrafficPolicySpec,
}

/// What an XBackendTrafficPolicy says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendTrafficPolicySpec {
    /// What it is attached to, in its own namespace.
    pub target_refs: Vec<LocalTargetRef>,
    /// How many retries there may be.
    pub retry_constraint: Option<RetryConstraint>,
    /// Keeps a client on one endpoint.
    pub session_persistence: Option<SessionPersistence>,
}

/// What a policy is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LocalTargetRef {
    /// Empty for a Service.
    pub group: String,
    /// Only `Service` is supported; free text, so that others can be reported.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// How many retries there may be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryConstraint {
    /// Their share.
    pub budget: Budget,
    /// How many there may always be.
    pub min_retry_rate: RequestRate,
}

/// A share of retries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Retries per hundred requests.
    pub percent: i64,
    /// Over this time.
    pub interval: DurationText,
}

impl Default for Budget {
    fn default() -> Self {
        Self { percent: 20, interval: "10s".into() }
    }
}

/// So many requests in so much time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RequestRate {
    /// Requests.
    pub count: i64,
    /// In this time.
    pub interval: DurationText,
}

impl Default for RequestRate {
    fn default() -> Self {
        Self { count: 10, interval: "1s".into() }
    }
}
