//! `AuthenticationPolicy`, group `amime.io`: how the peers of workloads prove who they are. The CRD is generated from these types. They must
//! not know which workloads there are.
#![allow(unreachable_pub, reason = "`KubeSchema` repeats the struct inside of a function")]
#![allow(clippy::duplicated_attributes, reason = "two columns of a CRD may have the same type")]

use std::collections::BTreeMap;

use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::amime::{AmimeStatus, MtlsModeSetting};

/// How those who call workloads prove who they are.
///
/// A policy with neither `targetRefs` nor `selector` is for every workload of its namespace. What counts at a port is said by the policy
/// that names the port, then by one that names the workload, then by the namespace's, then by MeshConfig. Of two at the same level
/// the stricter one counts.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "amime.io",
    version = "v1alpha1",
    kind = "AuthenticationPolicy",
    plural = "authenticationpolicies",
    namespaced,
    shortname = "authn",
    category = "amime",
    derive = "PartialEq",
    status = "AmimeStatus",
    doc = "How those who call workloads prove who they are.",
    printcolumn(name = "mTLS", type_ = "string", json_path = ".spec.mtls.mode"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.targetRefs[0].kind", priority = 1),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRefs[0].name"),
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
    validation = Rule::new("has(self.mtls) || has(self.jwt)").message("the policy sets nothing"),
    validation = Rule::new("!(has(self.targetRefs) && has(self.selector))").message("targetRefs and selector exclude each other"),
    validation = Rule::new("has(self.targetRefs) || has(self.selector) || !has(self.mtls) || !has(self.mtls.ports)").message("mtls.ports needs targetRefs or a selector: a port is one of a workload"),
    validation = Rule::new("has(self.targetRefs) || has(self.selector) || !has(self.jwt) || !has(self.jwt.ports)").message("jwt.ports needs targetRefs or a selector: a port is one of a workload")
)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationPolicySpec {
    /// The workloads that it is for, in its own namespace. Absent, without a selector: all of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Option<Vec<WorkloadTarget>>,
    /// The workloads that it is for, by their labels, instead of `targetRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<WorkloadSelector>,
    /// Mutual TLS with other members of the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls: Option<MtlsPolicy>,
    /// Tokens of users. Of two policies at the same level one that requires tokens counts, else the first by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtPolicy>,
}

/// Which tokens (JWT, RFC 7519) requests must or may have.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JwtPolicy {
    /// Whose tokens are good.
    #[schemars(length(min = 1, max = 16))]
    pub issuers: Vec<JwtIssuer>,
    /// Whether a request without a token is refused. One with a token that is not good always is.
    #[serde(default = "yes")]
    pub required: bool,
    /// Ports on which the application listens, where this counts. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub ports: Option<Vec<u16>>,
}

fn yes() -> bool {
    true
}

/// An issuer of tokens.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.jwks) != has(self.jwksUri)").message("an issuer has either jwks or jwksUri")
]))]
#[serde(rename_all = "camelCase")]
pub struct JwtIssuer {
    /// The claim `iss` of its tokens, literally.
    #[schemars(length(min = 1, max = 2048))]
    pub issuer: String,
    /// The claim `aud` of a token must name one of these, literally.
    #[schemars(length(min = 1, max = 32))]
    pub audiences: Vec<String>,
    /// Its public keys, a JWKS (RFC 7517).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub jwks: Option<String>,
    /// Where the controller fetches its public keys: an https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub jwks_uri: Option<String>,
    /// Where in a request its tokens are. Absent: `Authorization: Bearer TOKEN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub from: Option<Vec<TokenSource>>,
    /// Whether the application gets the token too.
    #[serde(default)]
    pub forward: bool,
    /// Headers that are made of claims. A client's own headers of these names are always taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub claim_to_headers: Option<Vec<ClaimToHeader>>,
}

/// A place in a request.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("(has(self.header) ? 1 : 0) + (has(self.cookie) ? 1 : 0) + (has(self.query) ? 1 : 0) == 1")
        .message("a place is one of header, cookie and query")
]))]
#[serde(rename_all = "camelCase")]
pub struct TokenSource {
    /// A header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderSource>,
    /// The name of a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub cookie: Option<String>,
    /// The name of a parameter of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub query: Option<String>,
}

/// A header with a token.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderSource {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// What is before the token, in any case of letters, as `Bearer `.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub prefix: String,
}

/// A header made of a claim.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimToHeader {
    /// The name of a claim; or, from `/` on, a JSON Pointer into the claims (RFC 6901).
    #[schemars(length(min = 1, max = 512))]
    pub claim: String,
    /// The name of the header.
    #[schemars(length(min = 1, max = 256))]
    pub header: String,
}

/// Whether mutual TLS is required.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.mode) || has(self.ports)").message("mtls says neither a mode nor ports")
]))]
#[serde(rename_all = "camelCase")]
pub struct MtlsPolicy {
    /// `Strict` takes mTLS only, `Permissive` takes plaintext too, `Disabled` tells members to use none. Absent: as the next wider level says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<MtlsModeSetting>,
    /// Ports of the workload where another mode counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["port"]))]
    pub ports: Option<Vec<PortMtls>>,
}

/// The mode of one port.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMtls {
    /// The port on which the application listens, not the one of a Service.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The mode there.
    pub mode: MtlsModeSetting,
}

/// What a policy for workloads is attached to. Source: GEP-713.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("!has(self.group) || (self.kind == 'Service' ? self.group in ['', 'core'] : self.group == 'amime.io')").message("group is \"\" for a Service and amime.io for a Workload")
]))]
#[serde(rename_all = "camelCase")]
pub struct WorkloadTarget {
    /// `""` for a Service, `amime.io` for a Workload; absent: what belongs to the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What it is.
    pub kind: WorkloadTargetKind,
    /// Its name, in the policy's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What a policy for workloads may be attached to.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkloadTargetKind {
    /// Every workload that serves the Service.
    Service,
    /// One Workload.
    Workload,
}

/// Workloads by their labels: those of pods, and of Workload objects.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Labels that a workload must have, every one with this very value.
    #[schemars(length(min = 1, max = 32))]
    pub match_labels: BTreeMap<String, String>,
}
