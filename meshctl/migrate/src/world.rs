//! What the files say of Kubernetes: Services and the pods behind them, which routes and policies of other meshes refer to. It must not
//! know any mesh.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::documents::Document;

/// A Service of the files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service {
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) ports: Vec<Port>,
}

/// A port of a Service.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) port: u16,
    /// As written: a number or a name.
    pub(crate) target: Option<Value>,
    /// As written.
    pub(crate) value: Value,
}

/// A template of pods.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pods {
    namespace: String,
    labels: BTreeMap<String, String>,
    ports: Vec<(Option<String>, u16)>,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    services: BTreeMap<(String, String), Service>,
    pods: Vec<Pods>,
    namespaces: BTreeSet<String>,
}

fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    let map = value.and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn number(value: Option<&Value>) -> Option<u16> {
    value.and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())
}

fn service(document: &Document) -> Service {
    let ports = document.value.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let port = |value: &Value| {
        Some(Port {
            port: number(value.get("port"))?,
            target: value.get("targetPort").cloned(),
            value: value.clone(),
        })
    };
    Service {
        selector: texts(document.value.pointer("/spec/selector")),
        ports: ports.filter_map(port).collect(),
    }
}

fn pods(document: &Document) -> Option<Pods> {
    let template = match document.kind() {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "Rollout" => {
            document.value.pointer("/spec/template")?
        }
        "Pod" => &document.value,
        _ => return None,
    };
    let containers = template.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let ports = containers
        .flat_map(|container| container.get("ports").and_then(Value::as_array).into_iter().flatten());
    let port = |value: &Value| {
        Some((
            value.get("name").and_then(Value::as_str).map(str::to_owned),
            number(value.get("containerPort"))?,
        ))
    };
    Some(Pods {
        namespace: document.namespace().to_owned(),
        labels: texts(template.pointer("/metadata/labels")),
        ports: ports.filter_map(port).collect(),
    })
}

/// Whether labels have all that a selector asks for.
pub(crate) fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl World {
    pub(crate) fn of(documents: &[Document]) -> Self {
        let mut world = Self::default();
        for document in documents {
            if document.kind() == "Namespace" {
                world.namespaces.insert(document.name().to_owned());
                continue;
            }
            world.namespaces.insert(document.namespace().to_owned());
            if document.kind() == "Service" && document.group().is_empty() {
                let key = (document.namespace().to_owned(), document.name().to_owned());
                world.services.insert(key, service(document));
            }
            world.pods.extend(pods(document));
        }
        world
    }

    pub(crate) fn namespaces(&self) -> &BTreeSet<String> {
        &self.namespaces
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Services of a namespace that select exactly by these labels.
    pub(crate) fn selecting(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<&str> {
        let fits = |((of, name), service): (&'_ (String, String), &Service)| {
            (of == namespace && service.selector == *labels).then_some(name.as_str().to_owned())
        };
        let names: Vec<String> = self.services.iter().filter_map(fits).collect();
        self.services
            .keys()
            .filter(|(of, name)| of == namespace && names.contains(name))
            .map(|(_, name)| name.as_str())
            .collect()
    }

    /// The number of a named port of the pods that a selector selects; all of them must agree.
    pub(crate) fn pod_port(
        &self,
        namespace: &str,
        selector: &BTreeMap<String, String>,
        name: &str,
    ) -> Option<u16> {
        let pods =
            self.pods.iter().filter(|pods| pods.namespace == namespace && selects(selector, &pods.labels));
        let found: BTreeSet<Option<u16>> = pods
            .map(|pods| {
                pods.ports.iter().find(|(known, _)| known.as_deref() == Some(name)).map(|(_, port)| *port)
            })
            .collect();
        match found.len() {
            1 => found.into_iter().next().flatten(),
            _ => None,
        }
    }
}

/// A name in a cluster: `reviews`, `reviews.shop`, `reviews.shop.svc`, `reviews.shop.svc.cluster.local`.
pub(crate) fn host(text: &str, namespace: &str) -> Option<(String, String)> {
    let text = text.strip_suffix(".cluster.local").unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let parts: Vec<&str> = text.split('.').collect();
    let (name, of) = match parts.as_slice() {
        [name] => (*name, namespace),
        [name, of, "svc"] => (*name, *of),
        [name, of] => (*name, *of),
        _ => return None,
    };
    (label(name) && label(of)).then(|| (of.to_owned(), name.to_owned()))
}
