//! Where the two versions are if one Service has both, and whose requests are the cohort's. It must not know endpoints or routes.

use std::collections::BTreeMap;

use kube::core::Rule;
use serde::{Deserialize, Serialize};

/// One Service with both versions behind it.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryTarget {
    /// The Service, in the same namespace. Its selector selects both versions. What is called there is divided, with a route or without.
    #[schemars(length(min = 1, max = 63))]
    pub service: String,
    /// Which of its endpoints are the version that serves. Absent: all that are not the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<CanaryEndpoints>,
    /// Which of its endpoints are the new version.
    pub canary: CanaryEndpoints,
}

/// Endpoints of a Service. All that is said must fit.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("has(self.deployment) || has(self.labels)").message("needs deployment, labels or both")]))]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryEndpoints {
    /// Pods of this Deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub deployment: Option<String>,
    /// Pods or Workloads with all of these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub labels: BTreeMap<String, String>,
}

/// Requests of a cohort: those with this header or cookie.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.header) != has(self.cookie)").message("needs either header or cookie"),
    Rule::new("has(self.value) != has(self.pattern)").message("needs either value or pattern")
]))]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryCohort {
    /// The name of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub header: Option<String>,
    /// The name of a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub cookie: Option<String>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub value: Option<String>,
    /// A regular expression that fits its whole value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,
}
