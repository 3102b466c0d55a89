//! Settings about a request: timeouts, retries, hedging, faults, answers without a backend, rates. They must not know endpoints.

use kube::core::Rule;
use serde::{Deserialize, Serialize};

use super::{GrpcStatus, HeaderIs};
use crate::api::scalars::{DurationText, Size};

/// How long requests may take. `0s`, and what is left out: no limit of this kind.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("!has(self.request) || !has(self.attempt) || duration(self.request) == duration('0s') || duration(self.attempt) <= duration(self.request)").message("attempt is longer than request")]))]
#[serde(rename_all = "camelCase", default)]
pub struct RequestTimeouts {
    /// From the request's head to the end of the answer, over all attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<DurationText>,
    /// For one attempt at a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<DurationText>,
    /// Without a byte in either direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<DurationText>,
    /// The longest life of a stream (gRPC streaming, WebSocket).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<DurationText>,
}

/// When a request is sent again. How many retries a proxy sends in all is bounded by `retryBudget`.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retries {
    /// Attempts after the first one. 0 switches retries off.
    #[schemars(range(min = 0, max = 10))]
    pub attempts: u32,
    /// Kinds of failure that are retried.
    pub retry_on: Vec<RetryOn>,
    /// HTTP statuses that are retried.
    #[schemars(length(max = 32), inner(range(min = 400, max = 599)))]
    pub statuses: Vec<u16>,
    /// gRPC statuses that are retried.
    #[schemars(length(max = 16))]
    pub grpc_statuses: Vec<GrpcStatus>,
    /// Which requests may be repeated once they may have reached the application.
    pub methods: RetryMethods,
    /// The longest that one attempt may take before it counts as failed, 1ms to 1h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<DurationText>,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// The most of a request's body that is kept to send it again; requests with more are not retried. At most 16Mi.
    pub body_bytes: Size,
    /// Whether a pause that the server asks for (`Retry-After`, `grpc-retry-pushback-ms`) is kept.
    pub respect_retry_after: bool,
    /// The longest such pause; if the server asks for more, the request is not sent again. At most 1h.
    pub max_retry_after: DurationText,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 2,
            retry_on: vec![
                RetryOn::ConnectFailure,
                RetryOn::RefusedStream,
                RetryOn::Reset,
                RetryOn::AttemptTimeout,
            ],
            statuses: vec![503],
            grpc_statuses: vec![GrpcStatus::Unavailable],
            methods: RetryMethods::default(),
            per_try_timeout: None,
            backoff: Backoff::default(),
            body_bytes: "64Ki".into(),
            respect_retry_after: true,
            max_retry_after: "1s".into(),
        }
    }
}

/// A kind of failure.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryOn {
    /// No connection came about.
    ConnectFailure,
    /// The peer says that it did not look at the request.
    RefusedStream,
    /// The connection broke before an answer began.
    Reset,
    /// The attempt took longer than it may.
    AttemptTimeout,
    /// 502, 503 or 504.
    GatewayError,
    /// Any 5xx.
    ServerError,
}

/// Which requests may be repeated once they may have reached the application.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryMethods {
    /// GET, HEAD, OPTIONS, TRACE, PUT and DELETE, and gRPC calls whose status is in `grpcStatuses`.
    #[default]
    Idempotent,
    /// All of them, POST too: the application bears it.
    All,
}

/// Pauses that double from `base` to `max`, each drawn between nothing and itself.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("duration(self.base) <= duration(self.max)").message("base is longer than max")]))]
#[serde(rename_all = "camelCase", default)]
pub struct Backoff {
    /// The shortest pause, at most 1m.
    pub base: DurationText,
    /// The longest pause, at most 1h.
    pub max: DurationText,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: "25ms".into(), max: "250ms".into() }
    }
}

/// Another attempt while the first one has no answer yet. Only for requests that may be repeated.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hedging {
    /// How long the earlier attempt is waited for, 1ms to 1m.
    pub delay: DurationText,
    /// Attempts beside the first one.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 4))]
    pub attempts: u32,
}

fn one() -> u32 {
    1
}

/// Faults on purpose.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("has(self.delay) || has(self.abort)").message("needs delay, abort or both")]))]
#[serde(rename_all = "camelCase", default)]
pub struct FaultInjection {
    /// A pause before the request goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<FaultDelay>,
    /// An answer in place of the backend's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<FaultAbort>,
    /// Only requests with all these headers. Absent: every request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<HeaderIs>,
}

/// A pause before the request goes on.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultDelay {
    /// How long, 1ms to 1h.
    pub duration: DurationText,
    /// Of how many requests in a hundred.
    #[serde(default = "all")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: f64,
}

/// An answer in place of the backend's.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("has(self.httpStatus) != has(self.grpcStatus)").message("needs either httpStatus or grpcStatus")]))]
#[serde(rename_all = "camelCase")]
pub struct FaultAbort {
    /// An HTTP status; a gRPC call gets the gRPC status that belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 599))]
    pub http_status: Option<u16>,
    /// A gRPC status; plain HTTP gets 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<GrpcStatus>,
    /// Of how many requests in a hundred.
    #[serde(default = "all")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: f64,
}

fn all() -> f64 {
    100.0
}

/// An answer without a backend.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectResponse {
    /// Its status.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Its body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub body: String,
    /// The body's media type.
    #[serde(default = "plain_text")]
    #[schemars(length(min = 1, max = 128))]
    pub content_type: String,
}

fn plain_text() -> String {
    "text/plain; charset=utf-8".to_owned()
}

/// So many requests in so much time. A request beyond it is answered 429 (gRPC: RESOURCE_EXHAUSTED).
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("!has(self.burst) || self.burst >= self.requests").message("burst is below requests")]))]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Its name, for answers' headers and metrics; unique within the policy.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Requests.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests: u32,
    /// In this time, 1ms to 24h.
    #[serde(default = "a_second")]
    pub per: DurationText,
    /// Requests that may come at once, at least `requests`. Absent: `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub burst: Option<u32>,
    /// What has a bucket of its own: each different combination. Absent: one bucket for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub keys: Vec<RateKey>,
    /// Only requests with all these headers. Absent: every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<HeaderIs>,
}

fn a_second() -> DurationText {
    "1s".into()
}

/// A part of a bucket's key.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [Rule::new("has(self.name) == (self.type == 'Header')").message("name is for type Header, which needs it")]))]
#[serde(rename_all = "camelCase")]
pub struct RateKey {
    /// What is told apart.
    #[serde(rename = "type")]
    pub kind: RateKeyKind,
    /// The header's name, for `Header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
}

/// What requests are told apart by.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateKeyKind {
    /// Who calls, from the certificate.
    ClientIdentity,
    /// The value of a header.
    Header,
    /// The rule that the request takes.
    Route,
    /// The method.
    Method,
}
