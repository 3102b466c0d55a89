//! Our own kinds, group `amime.io`: what the Gateway API cannot express. CRDs are generated from these types.
//! It must not know who reads them.
#![allow(unreachable_pub, reason = "`KubeSchema` repeats the struct inside of a function")]
#![allow(clippy::duplicated_attributes, reason = "two columns of a CRD may have the same type")]

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::access_log::AccessLogSettings;
use super::telemetry::{OpenTelemetrySettings, TracingSettings};

/// Settings of the whole mesh. There is one, named `default`.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "amime.io",
    version = "v1alpha1",
    kind = "MeshConfig",
    plural = "meshconfigs",
    shortname = "mc",
    category = "amime",
    derive = "PartialEq",
    doc = "Settings of the whole mesh. There is one, named `default`.",
    status = "AmimeStatus",
    validation = kube::core::Rule::new("self.metadata.name == 'default'").message("the one MeshConfig of a mesh is named default"),
    printcolumn(name = "mTLS", type_ = "string", json_path = ".spec.mtls.mode"),
    printcolumn(name = "Outbound", type_ = "string", json_path = ".spec.outbound.mode"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MeshConfigSpec {
    /// The trust domain of every identity; must be the one of the certificate authority. Absent: taken from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
    /// Mutual TLS between workloads.
    #[serde(default)]
    pub mtls: MtlsSettings,
    /// Requests to hosts that the mesh does not know.
    #[serde(default)]
    pub outbound: OutboundSettings,
    /// Traces.
    #[serde(default)]
    pub tracing: TracingSettings,
    /// A collector of OpenTelemetry's that sidecars send traces, metrics and logs to. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_telemetry: Option<OpenTelemetrySettings>,
    /// The access log of proxies.
    #[serde(default)]
    pub access_log: AccessLogSettings,
    /// The metrics of proxies.
    #[serde(default)]
    pub metrics: MetricSettings,
}

/// Mutual TLS between workloads.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MtlsSettings {
    /// `Strict` takes mTLS only, `Permissive` takes plaintext too, `Disabled` uses none.
    pub mode: MtlsModeSetting,
}

/// How far mutual TLS is required.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MtlsModeSetting {
    /// Only mTLS.
    #[default]
    Strict,
    /// mTLS, and plaintext from clients outside the mesh.
    Permissive,
    /// No mTLS.
    Disabled,
}

/// Requests to hosts that the mesh does not know.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundSettings {
    /// `AllowAny` lets them pass, `RegistryOnly` answers 502.
    pub mode: OutboundModeSetting,
}

/// What happens to requests for hosts that the mesh does not know.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutboundModeSetting {
    /// They pass, and are counted.
    #[default]
    AllowAny,
    /// They are refused.
    RegistryOnly,
}

/// The metrics of proxies.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricSettings {
    /// Names that the metrics of traffic have too, so that dashboards made for another mesh go on. Absent: none.
    #[schemars(length(max = 2))]
    pub also_as: Vec<MetricNames>,
}

/// Whose names.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricNames {
    /// `istio_requests_total`, `istio_request_duration_milliseconds`, ...
    Istio,
    /// `request_total`, `response_total`, `response_latency_ms`, ...
    Linkerd,
}

/// A member of the mesh outside Kubernetes: a process on a laptop, a VM, bare metal.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "amime.io",
    version = "v1alpha1",
    kind = "Workload",
    plural = "workloads",
    namespaced,
    shortname = "wl",
    category = "amime",
    derive = "PartialEq",
    status = "AmimeStatus",
    doc = "A member of the mesh outside Kubernetes: a process on a laptop, a VM, bare metal.",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(name = "Mesh", type_ = "boolean", json_path = ".spec.mesh"),
    printcolumn(name = "Zone", type_ = "string", json_path = ".spec.zone", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// Where it is reached.
    #[schemars(with = "String", length(min = 2, max = 45))]
    #[x_kube(validation = kube::core::Rule::new("isIP(self)").message("must be an IPv4 or IPv6 address"))]
    pub address: IpAddr,
    /// What it serves.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub ports: Vec<WorkloadPort>,
    /// The service account of its identity. Absent: the workload's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// The trust domain of its identity, where it is a member of a federated mesh. Absent: our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub trust_domain: Option<String>,
    /// Where it runs, for locality.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether it has a sidecar: mTLS with its identity. Absent: yes.
    #[serde(default = "yes")]
    pub mesh: bool,
    /// Its share of requests relative to the other endpoints of a Service. Absent: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10_000))]
    pub weight: u32,
    /// Endpoints of priority 0 are used first; those of higher numbers take what they cannot. Absent: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 127))]
    pub priority: u32,
}

/// A port of a workload.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadPort {
    /// Its name, for a Service's `targetPort`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where the application listens.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Where its sidecar takes connections for this port. Absent: the same port (traffic is captured).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub mesh_port: Option<u16>,
}

/// What the controller says about an object.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AmimeStatus {
    /// Of which generation of the object this is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `ResolvedRefs`, `Programmed`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

impl WorkloadSpec {
    /// The service account of its identity.
    pub fn account<'a>(&'a self, name: &'a str) -> &'a str {
        self.service_account.as_deref().unwrap_or(name)
    }
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}
