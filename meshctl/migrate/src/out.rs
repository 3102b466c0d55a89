//! The objects that come of it: named so that no two have one name, in an order that does not depend on chance. It must not know any mesh.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// The annotation that says where an object came from.
pub(crate) const ORIGIN: &str = "amime.io/migrated-from";

/// Kinds in the order in which they are written, with their versions.
const KINDS: [(&str, &str); 12] = [
    ("MeshConfig", "amime.io/v1alpha1"),
    ("Service", "v1"),
    ("ExternalService", "amime.io/v1alpha1"),
    ("HTTPRoute", "gateway.networking.k8s.io/v1"),
    ("GRPCRoute", "gateway.networking.k8s.io/v1"),
    ("TCPRoute", "gateway.networking.k8s.io/v1"),
    ("TLSRoute", "gateway.networking.k8s.io/v1"),
    ("TrafficPolicy", "amime.io/v1alpha1"),
    ("AuthenticationPolicy", "amime.io/v1alpha1"),
    ("AuthorizationPolicy", "amime.io/v1alpha1"),
    ("Canary", "amime.io/v1alpha1"),
    ("MeshTest", "amime.io/v1alpha1"),
];

type Key = (usize, String, String);

/// An object of this mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The whole object.
    pub value: Value,
    /// What it came from, as `VirtualService shop/reviews`.
    pub from: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Out {
    objects: BTreeMap<Key, (Value, BTreeSet<String>)>,
    taken: BTreeSet<Key>,
}

/// As reports name an object.
pub(crate) fn label(kind: &str, namespace: &str, name: &str) -> String {
    if kind == "MeshConfig" { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

fn key(kind: &str, namespace: &str, name: &str) -> Key {
    let rank = KINDS.iter().position(|(known, _)| *known == kind).unwrap_or(KINDS.len());
    (rank, namespace.to_owned(), name.to_owned())
}

impl Out {
    /// A name that no object of this kind has yet; it is taken from now on.
    pub(crate) fn name(&mut self, kind: &str, namespace: &str, wanted: &str) -> String {
        let wanted = clean(wanted);
        let mut name = wanted.clone();
        let mut number = 2;
        while !self.taken.insert(key(kind, namespace, &name)) {
            name = format!("{wanted}-{number}");
            number += 1;
        }
        name
    }

    /// Adds the object; one of the same name with the same meaning only gets one more origin.
    pub(crate) fn put(&mut self, kind: &str, namespace: &str, name: &str, spec: Value, from: &str) {
        let key = key(kind, namespace, name);
        self.taken.insert(key.clone());
        let version = KINDS.get(key.0).map_or("v1", |(_, version)| version);
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(name));
        if kind != "MeshConfig" {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        let object = json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec });
        self.objects.entry(key).or_insert_with(|| (object, BTreeSet::new())).1.insert(from.to_owned());
    }

    /// All of them.
    pub(crate) fn objects(self) -> Vec<Object> {
        let finished = self.objects.into_values().map(|(mut value, from)| {
            let from: Vec<String> = from.into_iter().collect();
            let mut text = from.join(", ");
            if text.len() > 1000 {
                text = format!("{} objects", from.len());
            }
            if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("annotations".to_owned(), json!({ ORIGIN: text }));
            }
            Object { value, from }
        });
        finished.collect()
    }
}

/// A name as Kubernetes has it: small letters, digits, `-`, at most 63.
pub(crate) fn clean(name: &str) -> String {
    let letter = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }
    };
    let name: String = name.chars().map(letter).take(58).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

/// A free name of that kind, and its label.
pub(crate) fn named(
    context: &mut crate::Context<'_>,
    kind: &str,
    namespace: &str,
    wanted: &str,
) -> (String, String) {
    let name = context.out.name(kind, namespace, wanted);
    let label = label(kind, namespace, &name);
    (name, label)
}
