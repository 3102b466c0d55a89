//! HTTPRoute and GRPCRoute of the Gateway API (`gateway.networking.k8s.io/v1`), as far as the model covers them. Parts that
//! the mesh does not do are kept as plain values, so that their presence can be reported and never passes unnoticed.
//!
//! It must not know the rules between fields (`check`, `lower`). Source: Gateway API v1.6, specification of HTTPRoute and
//! GRPCRoute.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::asking::ExternalAuth;
use super::traffic::SessionPersistence;

/// An HTTPRoute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct HttpRoute {
    /// Name, namespace, labels.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What it says.
    pub spec: HttpRouteSpec,
}

/// What an HTTPRoute says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// What it is attached to.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// Of no effect for routes of Services (GEP-1294).
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// In order.
    #[serde(default)]
    pub rules: Vec<HttpRule>,
    /// Whether default Gateways take the route too. Of no effect for routes of Services.
    pub use_default_gateways: Option<Value>,
}

/// A GRPCRoute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GrpcRoute {
    /// Name, namespace, labels.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What it says.
    pub spec: GrpcRouteSpec,
}

/// What a GRPCRoute says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteSpec {
    /// What it is attached to.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// Of no effect for routes of Services (GEP-1294).
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// In order.
    #[serde(default)]
    pub rules: Vec<GrpcRule>,
    /// Whether default Gateways take the route too. Of no effect for routes of Services.
    pub use_default_gateways: Option<Value>,
}

/// What a route is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Absent: `gateway.networking.k8s.io`. A Service needs `""`.
    pub group: Option<String>,
    /// Absent: `Gateway`.
    pub kind: Option<String>,
    /// Absent: the route's own.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// Name of a port or listener.
    pub section_name: Option<String>,
    /// Absent: every port.
    pub port: Option<u16>,
}

/// A rule of an HTTPRoute.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRule {
    /// Its own name.
    pub name: Option<String>,
    /// Any of them suffices; none fits everything.
    pub matches: Vec<HttpMatch>,
    /// In order.
    pub filters: Vec<RouteFilter>,
    /// Where requests go.
    pub backend_refs: Vec<BackendRef>,
    /// Limits.
    pub timeouts: Option<RuleTimeouts>,
    /// When a request is sent again.
    pub retry: Option<RuleRetry>,
    /// Keeps a client on one endpoint.
    pub session_persistence: Option<SessionPersistence>,
}

/// A rule of a GRPCRoute.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRule {
    /// Its own name.
    pub name: Option<String>,
    /// Any of them suffices; none fits everything.
    pub matches: Vec<GrpcRouteMatch>,
    /// In order.
    pub filters: Vec<RouteFilter>,
    /// Where calls go.
    pub backend_refs: Vec<BackendRef>,
    /// Keeps a client on one endpoint.
    pub session_persistence: Option<SessionPersistence>,
}

/// Limits of a rule, as GEP-2257 durations.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleTimeouts {
    /// For the whole request.
    pub request: Option<String>,
    /// For one attempt at a backend.
    pub backend_request: Option<String>,
}

/// When a request of a rule is sent again. Source: GEP-1731.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(default)]
pub struct RuleRetry {
    /// HTTP statuses that are retried.
    pub codes: Vec<u16>,
    /// Attempts after the first one.
    pub attempts: Option<i64>,
    /// The least pause between attempts.
    pub backoff: Option<String>,
}

/// One match of an HTTP rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Absent: every path.
    pub path: Option<PathValue>,
    /// All must fit.
    pub headers: Vec<NamedValue>,
    /// All must fit.
    pub query_params: Vec<NamedValue>,
    /// Absent: every method.
    pub method: Option<String>,
}

/// How a path must look.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PathValue {
    /// Absent: prefix.
    #[serde(rename = "type", default)]
    pub kind: PathKind,
    /// Absent: `/`.
    pub value: Option<String>,
}

/// How the value of a path match is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum PathKind {
    /// The very same.
    Exact,
    /// By segments.
    #[default]
    PathPrefix,
    /// An expression for the whole path.
    RegularExpression,
}

/// How a header or query parameter must look.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NamedValue {
    /// Absent: exact.
    #[serde(rename = "type", default)]
    pub kind: ValueKind,
    /// The name.
    pub name: String,
    /// The value or the expression.
    pub value: String,
}

/// How a value is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum ValueKind {
    /// The very same.
    #[default]
    Exact,
    /// An expression for the whole value.
    RegularExpression,
}

/// One match of a gRPC rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(default)]
pub struct GrpcRouteMatch {
    /// Absent: every call.
    pub method: Option<GrpcMethod>,
    /// All must fit.
    pub headers: Vec<NamedValue>,
}

/// Which calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GrpcMethod {
    /// Absent: exact.
    #[serde(rename = "type", default)]
    pub kind: ValueKind,
    /// `package.Service`.
    pub service: Option<String>,
    /// The method's name.
    pub method: Option<String>,
}

/// A filter of a rule or of a backend.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteFilter {
    /// Which one; free text, so that a type of tomorrow is reported and not a reading error.
    #[serde(rename = "type")]
    pub kind: String,
    /// For `RequestHeaderModifier`.
    pub request_header_modifier: Option<HeaderModifier>,
    /// For `ResponseHeaderModifier`.
    pub response_header_modifier: Option<HeaderModifier>,
    /// For `RequestRedirect`.
    pub request_redirect: Option<RequestRedirect>,
    /// For `URLRewrite`.
    pub url_rewrite: Option<UrlRewriteFilter>,
    /// For `RequestMirror`.
    pub request_mirror: Option<RequestMirror>,
    /// For `CORS`.
    pub cors: Option<CorsFilter>,
    /// For `ExternalAuth`.
    pub external_auth: Option<ExternalAuth>,
    /// Not done: the rule answers 500.
    pub extension_ref: Option<Value>,
}

/// Sends a copy of a share of the requests elsewhere. Source: GEP-3171.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMirror {
    /// Where the copies go.
    pub backend_ref: ObjectRef,
    /// Of a hundred requests; absent: all, unless there is a fraction.
    pub percent: Option<i64>,
    /// The share as a fraction.
    pub fraction: Option<Fraction>,
}

/// A share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fraction {
    /// How many.
    pub numerator: i64,
    /// Of how many; absent: 100.
    pub denominator: Option<i64>,
}

/// A reference to something that takes requests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ObjectRef {
    /// Absent: the core group.
    pub group: Option<String>,
    /// Absent: `Service`.
    pub kind: Option<String>,
    /// The name.
    pub name: String,
    /// Absent: the route's own.
    pub namespace: Option<String>,
    /// Needed for a Service.
    pub port: Option<u16>,
}

/// Which scripts of which origins may call. Source: GEP-1767.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct CorsFilter {
    /// `*`, or `SCHEME://HOST[:PORT]` with `*` in the host for any labels.
    pub allow_origins: Vec<String>,
    /// Absent: no.
    pub allow_credentials: Option<bool>,
    /// Beside GET, HEAD and POST.
    pub allow_methods: Vec<String>,
    /// Request headers.
    pub allow_headers: Vec<String>,
    /// Response headers.
    pub expose_headers: Vec<String>,
    /// Seconds; absent: 5.
    pub max_age: Option<i64>,
}

/// Header changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(default)]
pub struct HeaderModifier {
    /// Replaced or created.
    pub set: Vec<HeaderValue>,
    /// Appended.
    pub add: Vec<HeaderValue>,
    /// Taken away.
    pub remove: Vec<String>,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HeaderValue {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Answers with a redirect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestRedirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host without port.
    pub hostname: Option<String>,
    /// The new path.
    pub path: Option<PathModifier>,
    /// The new port.
    pub port: Option<u16>,
    /// Absent: 302.
    pub status_code: Option<u16>,
}

/// Changes path or host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(default)]
pub struct UrlRewriteFilter {
    /// The new authority.
    pub hostname: Option<String>,
    /// The new path.
    pub path: Option<PathModifier>,
}

/// How a path changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathModifier {
    /// Which of the two.
    #[serde(rename = "type")]
    pub kind: PathModifierKind,
    /// The whole path.
    pub replace_full_path: Option<String>,
    /// What the matched prefix becomes.
    pub replace_prefix_match: Option<String>,
}

/// How the value of a path modifier is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum PathModifierKind {
    /// The whole path.
    ReplaceFullPath,
    /// The part that the match's prefix covered.
    ReplacePrefixMatch,
}

/// Where a share of a rule's requests goes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BackendRef {
    /// Absent: the core group.
    pub group: Option<String>,
    /// Absent: `Service`.
    pub kind: Option<String>,
    /// The name.
    pub name: String,
    /// Absent: the route's own.
    pub namespace: Option<String>,
    /// Needed for a Service.
    pub port: Option<u16>,
    /// Absent: 1.
    pub weight: Option<i64>,
    /// For this backend alone.
    #[serde(default)]
    pub filters: Vec<RouteFilter>,
}
