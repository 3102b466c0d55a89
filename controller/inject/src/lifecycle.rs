//! The end of a pod without a failed request: application containers go on until every caller has learnt that they end. It must not
//! know the rest of the patch.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ADDED_ANNOTATION;
use crate::probes::Change;
use crate::scrape::Before;

/// What Kubernetes takes where nothing is written.
const DEFAULT_GRACE: i64 = 30;

/// What injection changed of what is not its own, as its annotation says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Added {
    /// Containers that got a `preStop`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pre_stop: Vec<String>,
    /// The grace period that was written before, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grace: Option<i64>,
    /// Annotations that lead to metrics, as they were.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) scrape: Before,
}

impl Added {
    /// As an earlier injection wrote it.
    pub(crate) fn read(annotations: &BTreeMap<String, String>) -> Self {
        let text = annotations.get(ADDED_ANNOTATION);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

/// The `preStop` that a container gets. `None`: it has one of its own, or may end at once.
pub(crate) fn delay(container: &Container, seconds: u32, grace: i64) -> Option<Change> {
    let has = container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
    // A pod without any grace is killed, whatever it would like to do before.
    (seconds > 0 && !has && grace > 0).then(|| Change {
        path: vec!["lifecycle", "preStop"],
        value: json!({ "sleep": { "seconds": seconds } }),
    })
}

/// How long the pod may take to end, as written or by default.
pub(crate) fn grace(spec: &PodSpec) -> i64 {
    spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE)
}

/// The grace period in which the application has as much time as before.
pub(crate) fn longer(grace: i64, seconds: u32) -> Value {
    json!(grace.saturating_add(i64::from(seconds)))
}
