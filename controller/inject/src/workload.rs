//! Which objects hold pods, and where in them. It must not know what is done with a pod.

use serde_json::Value;

/// A kind of object that makes pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// `apiVersion`.
    pub api_version: &'static str,
    /// `kind`.
    pub kind: &'static str,
    /// Where what has `metadata` and `spec` of the pod is.
    pub template: &'static [&'static str],
}

const TEMPLATE: &[&str] = &["spec", "template"];

/// All of them.
pub const WORKLOADS: [Workload; 8] = [
    Workload { api_version: "v1", kind: "Pod", template: &[] },
    Workload { api_version: "v1", kind: "ReplicationController", template: TEMPLATE },
    Workload { api_version: "apps/v1", kind: "Deployment", template: TEMPLATE },
    Workload { api_version: "apps/v1", kind: "ReplicaSet", template: TEMPLATE },
    Workload { api_version: "apps/v1", kind: "StatefulSet", template: TEMPLATE },
    Workload { api_version: "apps/v1", kind: "DaemonSet", template: TEMPLATE },
    Workload { api_version: "batch/v1", kind: "Job", template: TEMPLATE },
    Workload {
        api_version: "batch/v1",
        kind: "CronJob",
        template: &["spec", "jobTemplate", "spec", "template"],
    },
];

/// What kind of them an object is.
pub fn of(object: &Value) -> Option<Workload> {
    let text = |field| object.get(field).and_then(Value::as_str);
    let (version, kind) = (text("apiVersion")?, text("kind")?);
    WORKLOADS.into_iter().find(|known| known.api_version == version && known.kind == kind)
}

/// `Deployment shop/cart`, as messages name an object.
pub fn name(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let kind = text("/kind").unwrap_or("object without kind");
    let name = text("/metadata/name").or_else(|| text("/metadata/generateName")).unwrap_or("without name");
    match text("/metadata/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
