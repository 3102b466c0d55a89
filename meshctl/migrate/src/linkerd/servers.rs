//! Servers: which port of which pods, and what an AuthorizationPolicy of this mesh has to name so that it closes that port and no other.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::ledger::{Effect, Node};
use crate::{Context, Document};

/// A Server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) selector: BTreeMap<String, String>,
    /// `None`: a name that nothing of the files resolves.
    pub(super) port: Option<u16>,
    pub(super) is_open: bool,
}

/// Whether a route's parents are Servers.
pub(super) fn is_of_server(document: &Document) -> bool {
    let parents = document.value.pointer("/spec/parentRefs").and_then(Value::as_array).into_iter().flatten();
    parents.into_iter().any(|parent| parent.get("kind").and_then(Value::as_str) == Some("Server"))
}

pub(super) fn read(context: &Context<'_>) -> Vec<Server> {
    super::of_kind(context, "Server")
        .into_iter()
        .filter_map(|(at, document)| one(context, at, document))
        .collect()
}

fn one(context: &Context<'_>, at: usize, document: &Document) -> Option<Server> {
    let spec = context.ledger.root(context.documents, at)?.get("spec")?;
    let namespace = document.namespace().to_owned();
    let label = crate::out::label("AuthorizationPolicy", &namespace, document.name());
    let mut selector = BTreeMap::new();
    if let Some(pods) = spec.get("podSelector") {
        if let Some(labels) = pods.get("matchLabels") {
            labels.whole(&label, "spec.selector.matchLabels");
            let texts = labels
                .fields()
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value.text()?.to_owned())));
            selector.extend(texts);
        }
        pods.lost_field(
            "matchExpressions",
            Effect::Stricter,
            "pods are selected by equality; without the expressions the policy closes the port of more pods",
            "give the pods a label of their own and select by it",
        );
        if pods.is_leaf() {
            pods.to(&label, "spec.selector");
        }
    }
    spec.lost_field(
        "externalWorkloadSelector",
        Effect::Stricter,
        "a member outside Kubernetes is a Workload, which policies select by its labels",
        "selector.matchLabels of the AuthorizationPolicy",
    );
    let port = spec.get("port")?;
    let number = port.port().or_else(|| context.world.pod_port(&namespace, &selector, port.text()?));
    match number {
        Some(_) => port.to(&label, "spec.rules[].to[].ports"),
        None => port.lost(
            Effect::Stricter,
            "which number the port has is in the pods, and none of the files has them; the policy closes every port of them",
            "give the Deployment to the command too, or write to[].ports",
        ),
    }
    if let Some(protocol) = spec.get("proxyProtocol") {
        if matches!(protocol.text(), Some("unknown")) {
            protocol.inert("the first bytes tell, as there");
        } else {
            protocol.lost(
                Effect::Edge,
                "what is spoken at a port is said by the Service",
                "Service: ports[].appProtocol; without it the first bytes tell",
            );
        }
    }
    Some(Server {
        namespace,
        name: document.name().to_owned(),
        labels: labels(document),
        selector,
        port: number,
        is_open: open(&spec, &label),
    })
}

/// What holds for callers that nothing authorizes.
fn open(spec: &Node<'_>, label: &str) -> bool {
    let Some(policy) = spec.get("accessPolicy") else { return false };
    match policy.text() {
        Some("deny") => policy.to(label, "spec.action"),
        Some("audit") => policy.changed(
            label,
            "spec.action",
            Effect::Stricter,
            "calls that nothing authorizes are refused, not recorded alone; to record write `action: Audit`",
        ),
        Some("all-unauthenticated") => {
            policy.to(label, "spec.rules");
            return true;
        }
        _ => policy.lost(
            Effect::Stricter,
            "only what is authorized by objects is let in",
            "a rule of the AuthorizationPolicy for members, or for cidrs",
        ),
    }
    false
}

fn labels(document: &Document) -> BTreeMap<String, String> {
    let map = document.value.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

impl Server {
    /// Whether no pod can be selected by both.
    fn is_apart(&self, other: &Self) -> bool {
        self.namespace != other.namespace
            || self
                .selector
                .iter()
                .any(|(key, value)| other.selector.get(key).is_some_and(|other| other != value))
    }

    /// Which workloads the policy is about.
    pub(super) fn target(&self) -> Map<String, Value> {
        let mut json = Map::new();
        if !self.selector.is_empty() {
            json.insert("selector".to_owned(), json!({ "matchLabels": self.selector }));
        }
        json
    }

    /// What leaves the ports open that no Server closes: of all Servers that may select the same pods. `None`: not to be said.
    pub(super) fn others(&self, all: &[Self]) -> Option<Value> {
        let mut ports = Vec::new();
        for server in all.iter().filter(|server| !self.is_apart(server)) {
            ports.push(server.port?);
        }
        ports.sort_unstable();
        ports.dedup();
        Some(json!({ "to": [{ "not": { "ports": ports } }] }))
    }
}
