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
    validation = Rule::new("has(self.mtls)").message("the policy sets nothing"),
    validation = Rule::new("!(has(self.targetRefs) && has(self.selector))").message("targetRefs and selector exclude each other"),
    validation = Rule::new("has(self.targetRefs) || has(self.selector) || !has(self.mtls) || !has(self.mtls.ports)").message("mtls.ports needs targetRefs or a selector: a port is one of a workload")
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
