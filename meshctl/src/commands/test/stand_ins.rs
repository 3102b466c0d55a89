//! Members for Services that have none among the objects, so that a folder without pods can be judged: from the pod templates of
//! workload objects, and where there is none from the Service's own selector. Pure: texts in, a text out.

use std::collections::BTreeSet;

use mesh_controller::api::Kind;
use serde_json::{Map, Value, json};

use crate::commands::explain::objects::Objects;

/// The name of the file that holds them.
pub(super) const FILE: &str = "stand-ins";

/// Workload objects, as one text; empty where every Service has a member.
pub(super) fn text(objects: &Objects) -> String {
    let templates: Vec<Template> = objects.documents().filter_map(template).collect();
    let mut made = BTreeSet::new();
    let mut text = String::new();
    for (name, (service, endpoints)) in &objects.compiled.services {
        if endpoints.ports.iter().any(|port| !port.endpoints.is_empty()) {
            continue;
        }
        let Some(entry) = objects.index.services.find(name) else { continue };
        let Some(spec) = &entry.object.spec else { continue };
        let Some(selector) = spec.selector.as_ref().filter(|selector| !selector.is_empty()) else { continue };
        let namespace = service.name.0.namespace();
        let selected: Vec<&Template> = templates
            .iter()
            .filter(|template| {
                template.namespace == namespace
                    && selector.iter().all(|(key, value)| {
                        template.labels.get(key).and_then(Value::as_str) == Some(value.as_str())
                    })
            })
            .collect();
        let ports = json!(spec.ports).as_array().cloned().unwrap_or_default();
        if selected.is_empty() {
            let template = Template {
                namespace: namespace.to_owned(),
                name: name.0.name().to_owned(),
                labels: selector.iter().map(|(key, value)| (key.clone(), json!(value))).collect(),
                account: None,
                ports: Vec::new(),
            };
            add(&mut text, &mut made, &template, &ports, objects);
        }
        for template in selected {
            add(&mut text, &mut made, template, &ports, objects);
        }
    }
    text
}

/// What a pod of a workload object would be.
struct Template {
    namespace: String,
    name: String,
    labels: Map<String, Value>,
    account: Option<String>,
    /// Name and number.
    ports: Vec<(Option<String>, u16)>,
}

fn template(object: Value) -> Option<Template> {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str);
    if !matches!(text("/kind")?, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") {
        return None;
    }
    let containers = object.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let ports = containers.into_iter().flatten().flat_map(|container| {
        container.get("ports").and_then(Value::as_array).into_iter().flatten().filter_map(|port| {
            let number = u16::try_from(port.get("containerPort")?.as_u64()?).ok()?;
            Some((port.get("name").and_then(Value::as_str).map(str::to_owned), number))
        })
    });
    Some(Template {
        namespace: text("/metadata/namespace").unwrap_or("default").to_owned(),
        name: text("/metadata/name")?.to_owned(),
        labels: object
            .pointer("/spec/template/metadata/labels")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default(),
        account: Some(text("/spec/template/spec/serviceAccountName").unwrap_or("default").to_owned()),
        ports: ports.collect(),
    })
}

/// Every port that the Service asks for is there: a port that is named but not known listens at the Service's own number.
fn add(
    text: &mut String,
    made: &mut BTreeSet<(String, String)>,
    template: &Template,
    wanted: &[Value],
    objects: &Objects,
) {
    if !made.insert((template.namespace.clone(), template.name.clone())) {
        return;
    }
    let mut ports = template.ports.clone();
    for port in wanted {
        let number =
            |at: &str| port.get(at).and_then(Value::as_u64).and_then(|number| u16::try_from(number).ok());
        let Some(own) = number("port") else { continue };
        match port.get("targetPort") {
            Some(Value::String(name)) if !ports.iter().any(|(known, _)| known.as_ref() == Some(name)) => {
                ports.push((Some(name.clone()), own));
            }
            Some(Value::String(_)) => {}
            Some(_) | None => {
                let target = number("targetPort").unwrap_or(own);
                if !ports.iter().any(|(_, known)| *known == target) {
                    ports.push((None, target));
                }
            }
        }
    }
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port)| match name {
            Some(name) => json!({ "name": name, "port": port }),
            None => json!({ "port": port }),
        })
        .collect();
    // A name that no object has.
    let taken = |name: &str| {
        let mut known = objects.index.workloads.store.iter();
        known.any(|(key, _)| {
            key.kind == Kind::Workload && *key.namespace == *template.namespace && *key.name == *name
        })
    };
    let name =
        if taken(&template.name) { format!("{}-stand-in", template.name) } else { template.name.clone() };
    // Of the range for benchmarks (RFC 2544), each once: nobody is there, and nobody is called.
    let number = made.len();
    let address = format!("198.18.{}.{}", number / 250 % 256, number % 250 + 1);
    let mut spec = json!({ "address": address, "ports": ports });
    if let (Some(account), Some(spec)) = (&template.account, spec.as_object_mut()) {
        spec.insert("serviceAccount".to_owned(), json!(account));
    }
    let object = json!({
        "apiVersion": "amime.io/v1alpha1",
        "kind": "Workload",
        "metadata": { "name": name, "namespace": template.namespace, "labels": template.labels },
        "spec": spec,
    });
    text.push_str(&object.to_string());
    text.push_str("\n---\n");
}
