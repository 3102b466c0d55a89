//! What an owner promises of the requests to a target. The types only.
#![allow(unreachable_pub, reason = "types of a CRD")]

use serde::{Deserialize, Serialize};

use crate::api::scalars::{DaysText, DurationText};

/// Which share of requests is to be good, over a window.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    kube::core::Rule::new("has(self.availability) || has(self.latency)").message("the objective promises nothing")
]))]
#[serde(rename_all = "camelCase")]
pub struct Slo {
    /// Per cent of requests that do not fail: neither with 5xx, nor with a gRPC status that says that the server failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0, max = 99.9999))]
    pub availability: Option<f64>,
    /// How many requests are fast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyObjective>,
    /// For how long the promise is made, 1d to 366d. Absent: 30d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<DaysText>,
}

/// A promise about latency.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyObjective {
    /// A request is fast that takes no longer, 1ms to 1h.
    pub under: DurationText,
    /// Per cent of requests that are fast, 1 to 99.9999.
    #[schemars(range(min = 1.0, max = 99.9999))]
    pub percent: f64,
}
