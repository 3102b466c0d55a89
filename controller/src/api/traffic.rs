//! `TrafficPolicy`, group `amime.io`: how requests to a Service, of a route or of one rule are balanced, repeated, bounded and
//! disturbed. The CRD is generated from these types. They must not know what a setting does; [`super::lower::traffic`] reads
//! them into the model.
#![allow(unreachable_pub, reason = "`KubeSchema` repeats the struct inside of a function")]
#![allow(clippy::duplicated_attributes, reason = "two columns of a CRD may have the same type")]

mod backend;
mod request;
mod session;
mod slo;

pub use backend::*;
pub use request::*;
pub use session::*;
pub use slo::*;

use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::amime::AmimeStatus;
use super::asking::GlobalRateLimit;
use super::compare::AnswerComparison;
use super::scalars::{DurationText, Size};

/// How requests to a Service, of a route or of one rule are handled.
///
/// What a policy leaves out comes from the next wider policy: the rule's own fields of the HTTPRoute count first, then the
/// policy on the named rule, on the route, on the Service's port, on the Service, and then the default.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "amime.io",
    version = "v1alpha1",
    kind = "TrafficPolicy",
    plural = "trafficpolicies",
    namespaced,
    shortname = "tp",
    category = "amime",
    derive = "PartialEq",
    status = "AmimeStatus",
    doc = "How requests to a Service, of a route or of one rule are balanced, repeated, bounded and disturbed.",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.targetRefs[0].kind"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRefs[0].name"),
    printcolumn(
        name = "Section",
        type_ = "string",
        json_path = ".spec.targetRefs[0].sectionName",
        priority = 1
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].reason",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("has(self.timeouts) || has(self.retries) || has(self.hedging) || has(self.fault) || has(self.directResponse) || has(self.requestBodyLimit) || has(self.responseBodyLimit) || has(self.sessionPersistence) || has(self.rateLimits) || has(self.globalRateLimit) || has(self.splitOn) || has(self.compare) || has(self.slo) || has(self.loadBalancer) || has(self.circuitBreaker) || has(self.retryBudget) || has(self.outlierDetection) || has(self.healthCheck) || has(self.connectTimeout) || has(self.protocol) || has(self.concurrency)").message("the policy sets nothing"),
    validation = Rule::new("self.targetRefs.exists(target, target.kind == 'Service') || !(has(self.loadBalancer) || has(self.circuitBreaker) || has(self.retryBudget) || has(self.outlierDetection) || has(self.healthCheck) || has(self.connectTimeout) || has(self.protocol) || has(self.concurrency))").message("loadBalancer, circuitBreaker, retryBudget, outlierDetection, healthCheck, connectTimeout, protocol and concurrency need a Service as target")
)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicySpec {
    /// What the policy is attached to, in its own namespace.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<TargetRef>,

    /// How long requests may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RequestTimeouts>,
    /// When a request is sent again. Absent everywhere: two more attempts, where nothing reached the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// A second attempt while the first one has no answer yet; the first answer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedging: Option<Hedging>,
    /// Faults on purpose, to see how callers bear them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultInjection>,
    /// An answer without a backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_response: Option<DirectResponse>,
    /// The largest body of a request, such as `1Mi`; a larger one is answered 413.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_body_limit: Option<Size>,
    /// The largest body of a response, such as `10Mi`; a larger one is broken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_body_limit: Option<Size>,
    /// Keeps a client on one endpoint, as GEP-1619 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// Bounds on requests per time, each with its own buckets; all must let a request pass. In force at the called workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub rate_limits: Option<Vec<RateLimit>>,
    /// A bound that a service counts for all proxies together. In force at the called workload, after `rateLimits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_rate_limit: Option<GlobalRateLimit>,
    /// What of a request decides to which backend of a split it goes, so that a user stays with a version; when weights change, only
    /// those move that must. Absent: chance, for each request anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_on: Option<HashOn>,
    /// How answers to the copies of `RequestMirror` are compared with those of the backend (`meshctl canary diff`). Absent: they are
    /// thrown away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<AnswerComparison>,
    /// What is promised of the requests to the target: how fast the promise is being used up is told, and nothing is done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,

    /// Which endpoint is picked. For Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// How much may be under way to the Service from one proxy. For Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The share of retries among requests. For Services. Absent everywhere: 20 %, and 10 a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<RetryBudget>,
    /// When an endpoint that fails is left alone for a while. For Services. Absent everywhere: after five errors in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_detection: Option<OutlierDetection>,
    /// Probes of endpoints. For Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// How long a connect to an endpoint may take, 1ms to 1m. For Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<DurationText>,
    /// What is spoken to the endpoints; counts before the port's `appProtocol`. For Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<BackendProtocol>,
    /// A bound on what a workload works on at once that follows its latency. For Services; in force at the called workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
}

/// What a policy is attached to. Source: GEP-713.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("!has(self.group) || (self.kind == 'Service' ? self.group in ['', 'core'] : self.group == 'gateway.networking.k8s.io')").message("group is \"\" for a Service and gateway.networking.k8s.io for a route"),
    Rule::new("!has(self.port) || self.kind == 'Service'").message("only a Service has ports; a rule of a route is named by sectionName"),
    Rule::new("!(has(self.port) && has(self.sectionName))").message("port and sectionName exclude each other")
]))]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// `""` for a Service, `gateway.networking.k8s.io` for a route; absent: what belongs to the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What it is.
    pub kind: TargetKind,
    /// Its name, in the policy's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The name of a port of the Service, or of a rule of the route. Absent: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// The number of a port of the Service, instead of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// What a policy may be attached to.
#[derive(
    schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum TargetKind {
    /// A Service: every request to it, whatever its route.
    Service,
    /// An HTTPRoute, or a named rule of it.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// A GRPCRoute, or a named rule of it.
    #[serde(rename = "GRPCRoute")]
    GrpcRoute,
}

/// What is spoken to a backend.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendProtocol {
    /// HTTP/1.1.
    #[serde(rename = "HTTP1")]
    Http1,
    /// HTTP/2 without TLS, prior knowledge.
    #[serde(rename = "HTTP2")]
    Http2,
    /// gRPC.
    #[serde(rename = "GRPC")]
    Grpc,
    /// Bytes that the mesh does not read.
    #[serde(rename = "TCP")]
    Tcp,
    /// The application's own TLS, carried as bytes.
    #[serde(rename = "TLS")]
    Tls,
}

/// A header with an exact value.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderIs {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its value, the very same.
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// A status of gRPC that is an error. Source: gRPC, status codes.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GrpcStatus {
    /// 1.
    Cancelled,
    /// 2.
    Unknown,
    /// 3.
    InvalidArgument,
    /// 4.
    DeadlineExceeded,
    /// 5.
    NotFound,
    /// 6.
    AlreadyExists,
    /// 7.
    PermissionDenied,
    /// 8.
    ResourceExhausted,
    /// 9.
    FailedPrecondition,
    /// 10.
    Aborted,
    /// 11.
    OutOfRange,
    /// 12.
    Unimplemented,
    /// 13.
    Internal,
    /// 14.
    Unavailable,
    /// 15.
    DataLoss,
    /// 16.
    Unauthenticated,
}
