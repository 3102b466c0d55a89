//! Who has a say in a release beside the mesh's own figures: webhooks, and queries to Prometheus. It must not know how they are asked.

use serde::{Deserialize, Serialize};

use crate::api::scalars::DurationText;
use kube::core::Rule;

/// Somebody whose word is asked for, or who is told.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryHook {
    /// What it is called in reasons and events.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// When it is asked or told.
    pub at: HookAt,
    /// Where. The state of the release is posted there as JSON. An answer with a status of 200 to 299 is a yes, unless it is
    /// `{"pass": false, "reason": "..."}`.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub url: String,
    /// How long an answer may take. Absent: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

/// When a hook is called.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookAt {
    /// Before the first step: as long as the answer is no yes, nothing begins.
    Start,
    /// With every check: a no is a failed check; without an answer the release is frozen.
    Check,
    /// Before every further step: as long as the answer is no yes, the step stays.
    Step,
    /// Before the promotion: as long as the answer is no yes, the last step stays.
    Promotion,
    /// After the promotion. The answer decides nothing; it is told again until there is one, ten times at most.
    Promoted,
    /// After it was taken back, in the same way.
    RolledBack,
}

/// A figure that Prometheus is asked for with every check.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("has(self.atLeast) || has(self.atMost)").message("needs atLeast, atMost or both")]))]
#[serde(rename_all = "camelCase")]
pub struct CanaryQuery {
    /// What it is called in reasons and events.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Where Prometheus is, without `/api/v1/query`.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^https?://"))]
    pub url: String,
    /// In PromQL, with one number as its answer. `$namespace`, `$name`, `$version`, `$stable`, `$canary` and `$interval` are filled in.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// Less is a failed check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// More is a failed check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// How long an answer may take. Absent: 5s. Without an answer, or with none that is a number, the release is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}
