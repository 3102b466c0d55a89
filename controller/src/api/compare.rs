//! Comparison of answers to copies of requests, in a TrafficPolicy and in a Canary. It must not know where copies come from.

use serde::{Deserialize, Serialize};

/// How the answers of a mirror are compared with those of the backend: the status always, headers, bodies.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerComparison {
    /// Headers whose values are compared.
    #[schemars(length(max = 32))]
    pub headers: Vec<String>,
    /// Whether bodies are compared: JSON place by place, anything else by length and hash.
    pub body: bool,
    /// Of the copies, how many per cent are compared.
    #[schemars(range(min = 0, max = 100))]
    pub sample: f64,
    /// Of those, if they are GET or HEAD, how many per cent the backend is sent a second time, to learn what differs by itself. 0: never.
    #[schemars(range(min = 0, max = 100))]
    pub noise: f64,
    /// Places in JSON that are not compared, with all below them, such as `$.generatedAt` or `$.items[*].id`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub ignore_paths: Vec<String>,
    /// Show values that differ, cut at 64 bytes. Otherwise only types, lengths and statuses leave the proxy.
    pub values: bool,
}

impl Default for AnswerComparison {
    fn default() -> Self {
        Self {
            headers: vec!["content-type".to_owned()],
            body: true,
            sample: 100.0,
            noise: 100.0,
            ignore_paths: Vec::new(),
            values: false,
        }
    }
}
