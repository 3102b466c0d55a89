//! What an installation consists of, what contradicts one that is there, and what it leaves behind. Pure.

use mesh_chart::{Chart, Document, Release, RenderError, values};
use serde_json::{Value, json};

use crate::object::ObjectRef;

mod existing;
mod inventory;
mod plugin;

pub use existing::{Existing, Gateway, Intent, gateway_plan, trust_domain_of, webhook_is_ready};
pub use inventory::{Inventory, NAME as INVENTORY};
pub use plugin::farewell;

/// Who owns the fields that meshctl writes, and what the label of its objects says.
pub const MANAGER: &str = "meshctl";

/// What people may say about an installation.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Files of values, later ones over earlier ones.
    pub files: Vec<Value>,
    /// `key=value` over the files.
    pub sets: Vec<String>,
    /// The values for a control plane of several replicas, under the files.
    pub ha: bool,
    /// Where the images are.
    pub image_hub: Option<String>,
    /// Which images.
    pub image_tag: Option<String>,
    /// The namespace of the mesh.
    pub namespace: String,
    /// Whether the cluster has the kind XMesh.
    pub has_xmesh: bool,
    /// Whether the namespace is somebody else's, who had it before: then it stays when the mesh goes.
    pub foreign_namespace: bool,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The chart, or values that it refuses.
    #[error(transparent)]
    Chart(#[from] RenderError),
    /// A `key=value`.
    #[error("--set {0}")]
    Set(#[from] values::SetError),
}

/// What will be in the cluster.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What was said, without defaults.
    pub given: Value,
    /// Every value in force.
    pub values: Value,
    /// The namespace of the mesh, unless it is somebody else's.
    pub namespace: Option<Document>,
    /// Definitions of our kinds: they come first and have to be established.
    pub crds: Vec<Document>,
    /// Everything else, in order.
    pub objects: Vec<Document>,
}

/// Makes the plan.
pub fn plan(options: &Options) -> Result<Plan, PlanError> {
    let chart = Chart::embedded();
    let given = given(&chart, options)?;
    let mut complete = chart.defaults()?;
    values::merge(&mut complete, given.clone());
    let said = given.pointer("/xmesh/create").is_some();
    if options.has_xmesh && !said {
        values::merge(&mut complete, json!({"xmesh": {"create": true}}));
    }
    let release = Release {
        name: "amime".to_owned(),
        namespace: options.namespace.clone(),
        service: MANAGER.to_owned(),
    };
    Ok(Plan {
        objects: chart.render(&complete, &release)?,
        crds: chart.crds()?,
        namespace: (!options.foreign_namespace).then(|| namespace(&options.namespace)),
        given,
        values: complete,
    })
}

fn given(chart: &Chart, options: &Options) -> Result<Value, PlanError> {
    let mut given = json!({});
    if options.ha {
        values::merge(&mut given, chart.preset("ha")?);
    }
    for file in &options.files {
        values::merge(&mut given, file.clone());
    }
    if let Some(hub) = &options.image_hub {
        values::merge(&mut given, json!({"image": {"hub": hub}}));
    }
    if let Some(tag) = &options.image_tag {
        values::merge(&mut given, json!({"image": {"tag": tag}}));
    }
    for pair in &options.sets {
        values::set(&mut given, pair)?;
    }
    Ok(given)
}

/// What is removed, in order: first what keeps Pods from being made while nobody answers, then what runs, then the rest.
pub fn removal_order(inventory: &Inventory, namespace: &str) -> Vec<ObjectRef> {
    let webhook = |object: &ObjectRef| object.kind.ends_with("WebhookConfiguration");
    let runs = |object: &ObjectRef| object.kind == "Deployment" || object.kind == "DaemonSet";
    let mut objects: Vec<ObjectRef> = inventory.objects.iter().rev().cloned().collect();
    objects.retain(|object| object.kind != "Namespace");
    // What the parts make by themselves.
    objects.push(ObjectRef::namespaced("coordination.k8s.io/v1", "Lease", namespace, "mesh-controller"));
    objects.push(ObjectRef::namespaced("v1", "ConfigMap", namespace, "amime-ca-roots"));
    objects.push(ObjectRef::namespaced("v1", "ConfigMap", namespace, "amime-ca-members"));
    objects.sort_by_key(|object| if webhook(object) { 0 } else { 1 + u8::from(!runs(object)) });
    objects
}

/// The namespace, in which Pod Security holds our own Pods to the strictest profile.
fn namespace(name: &str) -> Document {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/part-of": "amime",
                "app.kubernetes.io/managed-by": MANAGER,
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    });
    Document { source: "namespace".to_owned(), object }
}

impl Plan {
    /// Names of everything but the definitions, which stay when the mesh goes: objects of users hang on them.
    pub fn refs(&self) -> Vec<ObjectRef> {
        self.namespace
            .iter()
            .chain(&self.objects)
            .filter_map(|document| ObjectRef::of(&document.object))
            .collect()
    }

    /// The trust domain that members will have.
    pub fn trust_domain(&self) -> &str {
        self.values.pointer("/trustDomain").and_then(Value::as_str).unwrap_or_default()
    }

    /// What is remembered in the cluster.
    pub fn inventory(&self, version: &str, brought_gateway_api: bool) -> Inventory {
        let (version, given) = (version.to_owned(), self.given.clone());
        Inventory { version, given, objects: self.refs(), brought_gateway_api }
    }
}

#[cfg(test)]
mod tests;
