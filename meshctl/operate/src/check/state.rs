//! What is collected of a cluster before anything is judged: objects as the API server sends them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::object::ObjectRef;

/// Whether somebody may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `create clusterroles`.
    pub what: String,
    /// The API server's answer.
    pub allowed: bool,
}

/// What became of a Pod that was sent for creation without being stored.
#[derive(Debug, Clone, PartialEq)]
pub enum DryRun {
    /// The Pod as it would be stored.
    Pod(Box<Value>),
    /// Why it was refused.
    Refused(String),
}

/// A proxy that is connected to the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `namespace/pod`.
    pub workload: String,
    /// Its version.
    pub version: String,
}

/// What the controller said of the proxies that are connected to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Proxies {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It could not be asked, and why.
    Unanswered(String),
    /// These are connected.
    Connected(Vec<Proxy>),
}

/// What is there of the CNI plugin.
#[derive(Debug, Clone, Default)]
pub struct Plugin {
    /// Its DaemonSet, where the mesh brings it.
    pub set: Option<Value>,
    /// Its Pods.
    pub pods: Vec<Value>,
    /// Whether somebody else brings it (value `cni.external`); None where the values are not known.
    pub external: Option<bool>,
}

/// A cluster at one moment. What is None could not be asked, or was not.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Unix time of this machine.
    pub now: i64,
    /// Unix time of the API server.
    pub server_time: Option<i64>,
    /// Version of this program.
    pub version: String,
    /// Where the mesh is.
    pub mesh_namespace: String,
    /// Kubernetes, major and minor.
    pub server: (u32, u32),
    /// What an installation has to be allowed.
    pub access: Vec<Access>,
    /// Nodes.
    pub nodes: Vec<Value>,
    /// Metadata of all definitions.
    pub crds: Vec<Value>,
    /// Our definitions, whole.
    pub own_crds: Vec<Value>,
    /// Metadata of all namespaces.
    pub namespaces: Vec<Value>,
    /// The controller's and the authority's Deployment, by name.
    pub deployments: BTreeMap<String, Value>,
    /// Pods in the namespace of the mesh.
    pub control_pods: Vec<Value>,
    /// Warnings in the namespace of the mesh, by Pod, newest last.
    pub warnings: Vec<Value>,
    /// EndpointSlices in the namespace of the mesh.
    pub slices: Vec<Value>,
    /// What the inventory names and is not there.
    pub missing: Vec<ObjectRef>,
    /// Whether there is an inventory: an installation by meshctl.
    pub inventory: bool,
    /// Roles as they are, beside what the chart says, by name.
    pub roles: Vec<(String, Option<Value>, Value)>,
    /// The webhook configurations, by name.
    pub webhooks: BTreeMap<String, Value>,
    /// The certificate that the controller shows to the API server, PEM.
    pub webhook_certificate: Option<String>,
    /// What a Pod that opts in becomes.
    pub dry_run: Option<DryRun>,
    /// The controller's Lease.
    pub lease: Option<Value>,
    /// MeshConfigs.
    pub mesh_configs: Vec<Value>,
    /// ConfigMaps with roots, of all namespaces.
    pub roots: Vec<Value>,
    /// The ConfigMap with the injector's values.
    pub injection: Option<Value>,
    /// ResourceQuotas of all namespaces.
    pub quotas: Vec<Value>,
    /// LimitRanges of all namespaces.
    pub limit_ranges: Vec<Value>,
    /// Pods with a sidecar.
    pub members: Vec<Value>,
    /// Metadata of the Pods of namespaces that opted in.
    pub opted_in: Vec<Value>,
    /// Proxies that the controller knows.
    pub proxies: Proxies,
    /// The CNI plugin.
    pub plugin: Plugin,
}
