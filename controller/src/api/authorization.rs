//! `AuthorizationPolicy`, group `amime.io`: who may call what. The CRD is generated from these types. They must not know what a verdict
//! is; [`super::lower::authorization`] reads them into the model.
//!
//! Every list is absent or has an entry: an empty one could be meant as "nobody" or as "everybody", and a template that renders to
//! nothing must not open anything.
#![allow(unreachable_pub, reason = "`KubeSchema` repeats the struct inside of a function")]
#![allow(dead_code, reason = "`KubeSchema` repeats the struct, and reads no field of the copy")]
#![allow(clippy::duplicated_attributes, reason = "two columns of a CRD may have the same type")]

use std::collections::BTreeMap;

use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::amime::AmimeStatus;
use super::asking::ExternalAuth;

/// Who may call what.
///
/// Policies that deny decide first. Then, as soon as one policy with `action: Allow` protects a port of a workload, one such policy must
/// allow a call. What goes on by these is asked of the services of policies with `action: External`. Policies with `action: Audit` only
/// record.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "amime.io",
    version = "v1alpha1",
    kind = "AuthorizationPolicy",
    plural = "authorizationpolicies",
    namespaced,
    shortname = "authz",
    category = "amime",
    derive = "PartialEq",
    status = "AmimeStatus",
    doc = "Who may call what: identities, addresses, ports, methods, paths, hosts, headers and claims.",
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRefs[0].name"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Accepted')].status"
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Programmed')].message"
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
    validation = Rule::new("!(has(self.targetRefs) && has(self.selector))").message("targetRefs and selector exclude each other"),
    validation = Rule::new("self.action == 'Allow' || (has(self.rules) && size(self.rules) > 0)").message("without rules only Allow means something: it allows nothing"),
    validation = Rule::new("!has(self.auditAs) || self.action == 'Audit'").message("auditAs is for action: Audit"),
    validation = Rule::new("has(self.external) == (self.action == 'External')").message("external is for action: External, which needs it")
)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationPolicySpec {
    /// What is protected, in the policy's own namespace. Absent, and without `selector`: every workload of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Option<Vec<AuthorizationTarget>>,
    /// Workloads and pods that are protected, by labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<WorkloadSelector>,
    /// What becomes of calls that fit a rule.
    pub action: AuthorizationAction,
    /// What `action: Audit` rehearses. Absent: `Allow`, so that calls which no rule fits are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_as: Option<AuditAs>,
    /// One that fits is enough. Absent with `action: Allow`: nothing is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rules: Option<Vec<AuthorizationRule>>,
    /// Who is asked, for `action: External`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalAuth>,
    /// Why what was written cannot be read; no object says this itself.
    #[serde(skip)]
    pub refused: Option<String>,
}

/// What becomes of calls that fit a rule.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorizationAction {
    /// They are allowed, and what no such policy allows is refused.
    Allow,
    /// They are refused, whatever other policies allow.
    Deny,
    /// Nothing; what would be refused is recorded.
    Audit,
    /// The service in `external` is asked about those that no other policy refuses; unless it says yes they are refused.
    External,
}

/// What an audit policy rehearses.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditAs {
    /// A policy that allows: calls that no rule fits are recorded.
    Allow,
    /// A policy that denies: calls that fit a rule are recorded.
    Deny,
}

/// What a policy protects. Source: GEP-713.
#[derive(schemars::JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("!has(self.group) || (self.kind == 'Service' ? self.group in ['', 'core'] : self.group == 'amime.io')").message("group is \"\" for a Service and amime.io for a Workload"),
    Rule::new("self.kind == 'Service' || !(has(self.port) || has(self.sectionName))").message("port and sectionName are for a Service; of a Workload name ports in rules[].to[].ports"),
    Rule::new("!(has(self.port) && has(self.sectionName))").message("port and sectionName exclude each other")
]))]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationTarget {
    /// `""` for a Service, `amime.io` for a Workload; absent: what belongs to the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What it is.
    pub kind: AuthorizationTargetKind,
    /// Its name, in the policy's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The name of a port of the Service. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// The number of a port of the Service, instead of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}

/// What a policy may protect.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorizationTargetKind {
    /// The workloads that a Service selects, at the ports where it reaches them.
    Service,
    /// One Workload.
    Workload,
}

/// Workloads and pods by labels.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Labels that a workload or pod must have, all of them.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 32))]
    pub match_labels: BTreeMap<String, String>,
}

/// Fits when some entry of `from`, some entry of `to` and all of `when` fit. A rule without any of them fits every call.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationRule {
    /// Who calls. Absent: anybody, also without a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub from: Option<Vec<Caller>>,
    /// What is called. Absent: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub to: Option<Vec<Call>>,
    /// What else must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub when: Option<Vec<Condition>>,
}

/// Callers that every list here has, and no list of `not`.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("minProperties" = 1))]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// Whole identities, as `spiffe://mesh.local/ns/shop/sa/web`. Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub identities: Option<Vec<String>>,
    /// Namespaces of the mesh's own trust domain, or of those in `trustDomains`. Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub namespaces: Option<Vec<String>>,
    /// Service accounts, `NAMESPACE/NAME`, or `NAME` of the policy's own namespace. Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub service_accounts: Option<Vec<String>>,
    /// Trust domains. Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub trust_domains: Option<Vec<String>>,
    /// Where the connection comes from, as `10.0.0.0/8`. An address proves nothing; it only narrows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub cidrs: Option<Vec<String>>,
    /// What they must not be: no list of it may have them. Who has no certificate could be anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<CallerLists>,
}

/// What callers are told apart by.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("minProperties" = 1))]
#[serde(rename_all = "camelCase")]
pub struct CallerLists {
    /// Whole identities, as `spiffe://mesh.local/ns/shop/sa/web`. Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub identities: Option<Vec<String>>,
    /// Namespaces of the mesh's own trust domain, or of those in `trustDomains`. Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub namespaces: Option<Vec<String>>,
    /// Service accounts, `NAMESPACE/NAME`, or `NAME` of the policy's own namespace. Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub service_accounts: Option<Vec<String>>,
    /// Trust domains. Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub trust_domains: Option<Vec<String>>,
    /// Where the connection comes from, as `10.0.0.0/8`. An address proves nothing; it only narrows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub cidrs: Option<Vec<String>>,
}

/// Calls that every list here has, and no list of `not`.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("minProperties" = 1))]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Ports of the application, not of a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), inner(range(min = 1, max = 65535)))]
    pub ports: Option<Vec<u16>>,
    /// Methods of HTTP, in capital letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub methods: Option<Vec<String>>,
    /// Paths as `/orders`, or `/orders/*` for `/orders` and everything below it. They are compared with the path that is forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub paths: Option<Vec<String>>,
    /// Hosts as `web.shop`, or `*.example.com` for everything below it. Case and port mean nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub hosts: Option<Vec<String>>,
    /// Calls of gRPC, `PACKAGE.SERVICE/METHOD`, or `PACKAGE.SERVICE/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub grpc: Option<Vec<String>>,
    /// Names that clients ask for in TLS of their own, written as hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub sni: Option<Vec<String>>,
    /// What they must not be: no list of it may have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not: Option<CallLists>,
}

/// What calls are told apart by.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("minProperties" = 1))]
#[serde(rename_all = "camelCase")]
pub struct CallLists {
    /// Ports of the application, not of a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), inner(range(min = 1, max = 65535)))]
    pub ports: Option<Vec<u16>>,
    /// Methods of HTTP, in capital letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub methods: Option<Vec<String>>,
    /// Paths as `/orders`, or `/orders/*` for `/orders` and everything below it. They are compared with the path that is forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub paths: Option<Vec<String>>,
    /// Hosts as `web.shop`, or `*.example.com` for everything below it. Case and port mean nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub hosts: Option<Vec<String>>,
    /// Calls of gRPC, `PACKAGE.SERVICE/METHOD`, or `PACKAGE.SERVICE/*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub grpc: Option<Vec<String>>,
    /// Names that clients ask for in TLS of their own, written as hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub sni: Option<Vec<String>>,
}

/// What else must hold. Exactly one of the fields.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// A header of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderCondition>,
    /// A claim of the caller's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimCondition>,
    /// An expression in CEL that must hold, as `request.path.startsWith('/v2/') && 'admin' in jwt.claims.groups`. What has no answer for a
    /// call, such as a header that is not there, fits a rule that denies and no rule that allows. See the reference of expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub cel: Option<String>,
}

/// A header that has one of the values, or is there, or is not. A rule that denies fits if any value of the header does, one that allows
/// only if all do.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    Rule::new("has(self.values) != has(self.present)").message("write either values or present")
]))]
#[serde(rename_all = "camelCase")]
pub struct HeaderCondition {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub values: Option<Vec<String>>,
    /// Whether it must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

/// A claim that has one of the values, or a list in which one of them is.
#[derive(schemars::JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimCondition {
    /// The name of a claim; or a JSON pointer, which begins with `/`, as `/realm_access/roles`.
    #[schemars(length(min = 1, max = 256))]
    pub path: String,
    /// Literals.
    #[schemars(length(min = 1, max = 128))]
    pub values: Vec<String>,
}

impl Caller {
    /// What callers must be.
    pub fn fits(&self) -> CallerLists {
        CallerLists {
            identities: self.identities.clone(),
            namespaces: self.namespaces.clone(),
            service_accounts: self.service_accounts.clone(),
            trust_domains: self.trust_domains.clone(),
            cidrs: self.cidrs.clone(),
        }
    }
}

impl Call {
    /// What calls must be.
    pub fn fits(&self) -> CallLists {
        CallLists {
            ports: self.ports.clone(),
            methods: self.methods.clone(),
            paths: self.paths.clone(),
            hosts: self.hosts.clone(),
            grpc: self.grpc.clone(),
            sni: self.sni.clone(),
        }
    }
}
