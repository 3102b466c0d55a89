//! Names of objects, and where an API server has them. It must not know what an object says.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// None for kinds of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// A kind that meshctl reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// `apps/v1`.
    pub api_version: &'static str,
    /// `Deployment`.
    pub kind: &'static str,
    /// `deployments`.
    pub plural: &'static str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

const fn kind(api_version: &'static str, kind: &'static str, plural: &'static str, namespaced: bool) -> Kind {
    Kind { api_version, kind, plural, namespaced }
}

/// Every kind that the chart makes.
pub const KINDS: &[Kind] = &[
    kind("v1", "Namespace", "namespaces", false),
    kind("v1", "ServiceAccount", "serviceaccounts", true),
    kind("v1", "Secret", "secrets", true),
    kind("v1", "ConfigMap", "configmaps", true),
    kind("v1", "Service", "services", true),
    kind("v1", "Pod", "pods", true),
    kind("apps/v1", "Deployment", "deployments", true),
    kind("apps/v1", "DaemonSet", "daemonsets", true),
    kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true),
    kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", true),
    kind("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false),
    kind("rbac.authorization.k8s.io/v1", "Role", "roles", true),
    kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", true),
    kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", false),
    kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", false),
    kind("coordination.k8s.io/v1", "Lease", "leases", true),
    kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    kind(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        false,
    ),
    kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        false,
    ),
    kind("amime.io/v1alpha1", "MeshConfig", "meshconfigs", false),
    kind("amime.io/v1alpha1", "Canary", "canaries", true),
    kind("gateway.networking.x-k8s.io/v1alpha1", "XMesh", "xmeshes", false),
    kind("monitoring.coreos.com/v1", "PodMonitor", "podmonitors", true),
    kind("monitoring.coreos.com/v1", "PrometheusRule", "prometheusrules", true),
];

impl Kind {
    /// The kind of that name.
    pub fn find(api_version: &str, kind: &str) -> Option<Self> {
        KINDS.iter().find(|known| known.api_version == api_version && known.kind == kind).copied()
    }

    /// Path of all its objects, or of those of a namespace.
    pub fn collection(&self, namespace: Option<&str>) -> String {
        let group = if self.api_version.contains('/') { "apis" } else { "api" };
        let namespace = namespace.filter(|_| self.namespaced);
        let inside = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        format!("/{group}/{}{inside}/{}", self.api_version, self.plural)
    }
}

impl ObjectRef {
    /// The name of this object; None for what is none.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
        Some(Self {
            api_version: text("/apiVersion")?,
            kind: text("/kind")?,
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name")?,
        })
    }

    /// An object of a namespace.
    pub fn namespaced(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..Self::cluster(api_version, kind, name) }
    }

    /// An object of the whole cluster.
    pub fn cluster(api_version: &str, kind: &str, name: &str) -> Self {
        let text = ToOwned::to_owned;
        Self { api_version: text(api_version), kind: text(kind), namespace: None, name: text(name) }
    }

    /// Its path; None for a kind that is not known.
    pub fn path(&self) -> Option<String> {
        let kind = Kind::find(&self.api_version, &self.kind)?;
        Some(format!("{}/{}", kind.collection(self.namespace.as_deref()), self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_api_servers() {
        for (object, path) in [
            (ObjectRef::namespaced("v1", "Secret", "a", "b"), "/api/v1/namespaces/a/secrets/b"),
            (
                ObjectRef::namespaced("apps/v1", "Deployment", "a", "b"),
                "/apis/apps/v1/namespaces/a/deployments/b",
            ),
            (ObjectRef::cluster("v1", "Namespace", "a"), "/api/v1/namespaces/a"),
            (
                ObjectRef::cluster("rbac.authorization.k8s.io/v1", "ClusterRole", "a"),
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/a",
            ),
        ] {
            assert_eq!(object.path().as_deref(), Some(path));
        }
        assert_eq!(ObjectRef::cluster("v2", "Namespace", "a").path(), None);
    }
}
