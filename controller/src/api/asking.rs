//! Services that are asked about requests: whether one may go on, in the filter of an HTTPRoute (GEP-1494) and in an AuthorizationPolicy, and
//! whether there were too many, in a TrafficPolicy. They must not know what an answer means.

use kube::core::Rule;
use serde::{Deserialize, Serialize};

use super::scalars::DurationText;

/// Who is asked whether requests may go on. Source: GEP-1494.
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("self.protocol == 'GRPC' ? !has(self.http) : !has(self.grpc)").message("grpc is for protocol GRPC, http for protocol HTTP")
]))]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuth {
    /// `GRPC`: Envoy's `ext_authz` API. `HTTP`: the request itself, without its body, is sent and status 200 allows it.
    #[schemars(extend("enum" = ["GRPC", "HTTP"]))]
    pub protocol: String,
    /// Who is asked. The question goes through the mesh, as any request.
    pub backend_ref: AskedService,
    /// For `GRPC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcAuth>,
    /// For `HTTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpAuth>,
    /// Whether bodies are sent along. Absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward_body: Option<ForwardBody>,
    /// How long the service has for its answer, 1ms to 1m. Absent: 2s. Not in filters of routes, since the Gateway API has it not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
}

/// A Service that is asked.
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedService {
    /// Absent: the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Absent: `Service`, and nothing else is supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Absent: the object's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The port of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// How a service is asked by Envoy's API.
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcAuth {
    /// Headers that are sent; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub allowed_headers: Vec<String>,
}

/// How a service is asked in HTTP.
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuth {
    /// Before the path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub path: Option<String>,
    /// Headers that are sent beside `Host` and `Authorization`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub allowed_headers: Vec<String>,
    /// Headers of the answer that go on with the request; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub allowed_response_headers: Vec<String>,
}

/// Whether bodies are sent.
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardBody {
    /// Of at most so many bytes, and requests with larger ones are answered 413; 0: none is sent.
    pub max_size: u16,
}

/// A limit that a service counts for all proxies together, by Envoy's rate limit API. A request beyond it is answered 429 (gRPC:
/// `RESOURCE_EXHAUSTED`).
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalRateLimit {
    /// Who counts. The question goes through the mesh, as any request.
    pub backend_ref: AskedService,
    /// Which of the service's configurations counts.
    #[schemars(length(min = 1, max = 253))]
    pub domain: String,
    /// What requests are told apart by: all of them are sent with each request, and the service has limits for those that it knows.
    #[schemars(length(min = 1, max = 16))]
    pub descriptors: Vec<RateDescriptor>,
    /// How long the service has for its answer, 1ms to 10s. Absent: 200ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<DurationText>,
    /// Without an answer refuse requests with 503, in place of letting them pass.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fail_closed: bool,
}

/// A descriptor: its parts in the order of the service's configuration. A request that does not have all of them has not this one.
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateDescriptor {
    /// The parts.
    #[schemars(length(min = 1, max = 8))]
    pub entries: Vec<RateEntry>,
}

/// A part of a descriptor.
#[derive(schemars::JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.name) == (self.type in ['Header', 'Claim'])").message("name is for types Header and Claim, which need it"),
    Rule::new("has(self.value) == (self.type == 'Literal')").message("value is for type Literal, which needs it")
]))]
pub struct RateEntry {
    /// By which the service's configuration names it.
    #[schemars(length(min = 1, max = 256))]
    pub key: String,
    /// Where the value comes from.
    #[serde(rename = "type")]
    pub kind: RateEntryKind,
    /// The name of the header, or of the claim; from `/` on a pointer into a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
    /// The text, for `Literal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
}

/// Where the value of a part comes from.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateEntryKind {
    /// Always the same text.
    Literal,
    /// A header.
    Header,
    /// A claim of the caller's token.
    Claim,
    /// The method.
    Method,
    /// The path, without the query.
    Path,
    /// The host.
    Host,
    /// The rule that the request takes.
    Route,
    /// Who calls, from the certificate.
    ClientIdentity,
    /// The namespace of who calls.
    ClientNamespace,
    /// `NAMESPACE/NAME` of who calls.
    ClientWorkload,
}
