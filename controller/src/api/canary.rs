//! `Canary`: the release of a new version beside the one that serves. It must not know other objects.
#![allow(unreachable_pub, reason = "`KubeSchema` repeats the struct inside of a function")]
#![allow(clippy::duplicated_attributes, reason = "two columns of a CRD may have the same type")]

mod asks;
mod versions;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use mesh_release::state::State;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::compare::AnswerComparison;
use super::scalars::DurationText;
pub use asks::{CanaryHook, CanaryQuery, HookAt};
pub use versions::{CanaryCohort, CanaryEndpoints, CanaryTarget};

/// The release of a new version: requests of one Service go to another one step by step, as long as the figures of both allow it, and
/// back in one change when they do not. Routes keep the weights that they say; this object lies over them.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "amime.io",
    version = "v1alpha1",
    kind = "Canary",
    plural = "canaries",
    namespaced,
    category = "amime",
    derive = "PartialEq",
    status = "CanaryStatus",
    doc = "The release of a new version: requests of one Service go to another one step by step, as long as the figures of both allow it, and back in one change when they do not.",
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.release.phase"),
    printcolumn(name = "Step", type_ = "integer", json_path = ".status.release.step"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.release.why.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("!has(self.stable) || !has(self.canary) || self.stable != self.canary").message("stable and canary are the same Service"))]
#[x_kube(validation = Rule::new("has(self.target) ? !has(self.stable) && !has(self.canary) : has(self.stable) && has(self.canary)").message("needs either stable and canary, or target"))]
#[serde(rename_all = "camelCase")]
pub struct CanarySpec {
    /// The Service of the version that serves, in the same namespace. What routes send there is divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub stable: Option<String>,
    /// The Service of the new version, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub canary: Option<String>,
    /// In place of two Services: one that has both versions behind it, and how they are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<CanaryTarget>,
    /// Which version it is: an image tag, a commit. Another text begins a release.
    #[schemars(length(min = 1, max = 253))]
    pub version: String,
    /// What the new version is exposed to, one after the other. After the last one it is promoted.
    #[schemars(length(min = 1, max = 32))]
    pub steps: Vec<CanaryStep>,
    /// Requests that the new version gets in every step beside a shadow's: those that one of these fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub cohort: Vec<CanaryCohort>,
    /// How figures are judged.
    #[serde(default)]
    pub analysis: CanaryAnalysis,
    /// The longest that it may take from the first step to the promotion; then it is taken back. Absent: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<DurationText>,
    /// When the exposure may grow, in UTC. Absent: always. Taking back is always allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub windows: Vec<CanaryWindow>,
    /// How answers to the copies of steps with `shadow` are compared with the stable version's (`meshctl canary diff`). Absent: they
    /// are thrown away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<AnswerComparison>,
    /// Webhooks that have a say, or are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub hooks: Vec<CanaryHook>,
}

/// A step.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("(has(self.weight) ? 1 : 0) + (has(self.shadow) ? 1 : 0) + (has(self.cohort) && self.cohort ? 1 : 0) == 1").message("needs one of weight, shadow and cohort: true")]))]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStep {
    /// Per cent of the requests. 0 and 100 are blue and green.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<f64>,
    /// Per cent of the requests of which the new version gets a copy; its answers reach nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub shadow: Option<f64>,
    /// The requests of the cohort, and no others.
    #[serde(skip_serializing_if = "is_false")]
    pub cohort: bool,
    /// How long at least. Absent: one interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<DurationText>,
    /// What comes after it: the next step, or somebody's word.
    pub gate: CanaryGate,
}

/// What comes after a step that passed.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CanaryGate {
    /// The next step.
    #[default]
    Open,
    /// Somebody has to say that it goes on (`meshctl canary promote`).
    Manual,
}

/// How figures are judged.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryAnalysis {
    /// Between checks, 5s to 30m.
    pub interval: DurationText,
    /// Requests that the new version must have answered in a step before it passes.
    pub min_requests: u32,
    /// Checks that may fail in a release; one more takes the version back.
    #[schemars(range(min = 0, max = 100))]
    pub failed_checks: u32,
    /// The chance, in per cent, that a version as good as it must be is taken back by evidence.
    #[schemars(range(min = 0.0001, max = 20))]
    pub false_alarm: f64,
    /// At least so many per cent of the new version's requests do not fail. 0: not looked at.
    #[schemars(range(min = 0, max = 100))]
    pub success_rate: f64,
    /// Limits of the new version's latency.
    #[schemars(length(max = 8))]
    pub latency: Vec<LatencyLimit>,
    /// Limits of failures with certain codes of the mesh.
    #[schemars(length(max = 4))]
    pub failure_codes: Vec<CodesLimit>,
    /// What may not be worse than with the stable version.
    pub compare: CanaryComparison,
    /// Figures that Prometheus is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub queries: Vec<CanaryQuery>,
}

impl Default for CanaryAnalysis {
    fn default() -> Self {
        Self {
            interval: "1m".into(),
            min_requests: 500,
            failed_checks: 3,
            false_alarm: 0.5,
            success_rate: 99.0,
            latency: Vec::new(),
            failure_codes: Vec::new(),
            compare: CanaryComparison::default(),
            queries: Vec::new(),
        }
    }
}

/// A limit of latency.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyLimit {
    /// Per cent of the requests, as in p99.
    #[schemars(range(min = 1, max = 99.99))]
    pub quantile: f64,
    /// They take at most this long.
    pub at_most: DurationText,
}

/// A limit of failures with certain codes.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CodesLimit {
    /// Codes, as `meshctl error` lists them.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 40)))]
    pub codes: Vec<String>,
    /// At most so many per cent of the requests. Absent: none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub at_most: f64,
}

/// What may not be worse than with the stable version.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryComparison {
    /// Whether failures are compared; percentage points by which they may be more. Null: not compared.
    #[schemars(range(min = 0, max = 100))]
    pub failures_margin: Option<f64>,
    /// Quantiles that are compared, each with per cent by which it may be longer.
    #[schemars(length(max = 4))]
    pub latency: Vec<LatencyMargin>,
}

impl Default for CanaryComparison {
    fn default() -> Self {
        Self { failures_margin: Some(0.2), latency: vec![LatencyMargin { quantile: 99.0, margin: 25.0 }] }
    }
}

/// A quantile that is compared.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyMargin {
    /// Per cent of the requests, as in p99.
    #[schemars(range(min = 1, max = 99.99))]
    pub quantile: f64,
    /// Per cent by which it may be longer.
    #[schemars(range(min = 0, max = 1000))]
    pub margin: f64,
}

/// Hours in which the exposure may grow, in UTC.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryWindow {
    /// On which days. Absent: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub days: Vec<Day>,
    /// The first minute, as in `09:00`.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// The minute after the last one, as in `17:00`; `24:00` is the end of the day. Before `from`: on the next day.
    #[schemars(regex(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))]
    pub to: String,
}

/// A day of the week.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// Where the release stands.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// Of which generation of the object this is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `ResolvedRefs`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The state of the release: phase, step, counts and evidence. The controller goes on from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque")]
    pub release: Option<State>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn opaque(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
