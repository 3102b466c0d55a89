//! What a `MeshConfig` says of traces, and of collectors of OpenTelemetry's. It must not know what proxies make of it.

use kube::core::Rule;
use serde::{Deserialize, Serialize};

use super::scalars::DurationText;

/// Traces.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TracingSettings {
    /// Share of traces to sample where the caller did not decide, parts per million. Absent: 10000 (1 %).
    #[schemars(range(min = 0, max = 1_000_000))]
    pub sample_ppm: u32,
    /// Headers that sidecars write; all are read. Absent: `W3C`.
    #[schemars(length(min = 1, max = 3))]
    pub propagation: Vec<Propagation>,
    /// Requests that are told because of how they ended, whether their trace is sampled or not. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<TailSettings>,
}

impl Default for TracingSettings {
    fn default() -> Self {
        Self { sample_ppm: 10_000, propagation: vec![Propagation::W3c], tail: None }
    }
}

/// Headers that carry a trace.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// `traceparent`.
    #[serde(rename = "W3C")]
    W3c,
    /// `b3`.
    B3,
    /// `X-B3-TraceId`, `X-B3-SpanId`, `X-B3-ParentSpanId`, `X-B3-Sampled`, `X-B3-Flags`.
    B3Multi,
}

/// Requests that are told because of how they ended.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TailSettings {
    /// Those that failed: by the mesh, with a status of 5xx, or with a gRPC status that says that the server failed.
    pub failed: bool,
    /// Those that took longer, 1ms to 1h. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<DurationText>,
}

/// A collector that takes OTLP.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenTelemetrySettings {
    /// `http://HOST:PORT` or, with TLS, `https://HOST:PORT`; for `Http` with a path before `/v1/traces`, if there is one. Sidecars dial it
    /// themselves, not through the mesh. Absent port: 4317 for `Grpc`, 4318 for `Http`.
    #[schemars(length(min = 8, max = 512))]
    pub endpoint: String,
    /// `Grpc` or `Http` (protobuf). Absent: `Grpc`.
    #[serde(default)]
    pub protocol: OtlpProtocolSetting,
    /// What is sent. Absent: all three.
    #[serde(default = "all_signals")]
    #[schemars(length(min = 1, max = 3))]
    pub signals: Vec<SignalSetting>,
    /// Sent along with each batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<OtlpHeaderSetting>,
    /// A Secret whose keys are the files that `headers` name, in the namespace of each Pod. Injection mounts it into the sidecar and into no other
    /// container; a Pod that was made before has it after its next start. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// Between two batches of metrics, 1s to 1h. Absent: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationText>,
    /// For `https`: certificates that the collector's must lead to, PEM. Absent: the well-known public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub ca_certificates: Option<String>,
}

/// How OTLP travels.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OtlpProtocolSetting {
    /// gRPC.
    #[default]
    Grpc,
    /// Protobuf in the body of HTTP/1.1.
    Http,
}

/// What can be sent.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalSetting {
    /// Spans of sampled requests.
    Traces,
    /// The metrics of sidecars.
    Metrics,
    /// The access log, where it asks for OTLP.
    Logs,
}

fn all_signals() -> Vec<SignalSetting> {
    vec![SignalSetting::Traces, SignalSetting::Metrics, SignalSetting::Logs]
}

/// A header for the collector.
#[derive(schemars::JsonSchema, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.value) != has(self.file)").message("one of value and file")
]))]
#[serde(rename_all = "camelCase")]
pub struct OtlpHeaderSetting {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its value. Whoever may read the object reads it: secrets belong into a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// The name of a file in each sidecar's folder of secrets (`--otlp-secrets`), read anew for each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub file: Option<String>,
}

impl std::fmt::Debug for OtlpHeaderSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpHeaderSetting").field("name", &self.name).finish_non_exhaustive()
    }
}
