//! Istio: `networking.istio.io` and `security.istio.io`. A VirtualService becomes routes of the Services that it names as hosts, a subset
//! of a DestinationRule a Service that selects it, a ServiceEntry an ExternalService, and policies policies, never laxer ones.
//!
//! Source: Istio's reference of VirtualService, DestinationRule, ServiceEntry, AuthorizationPolicy, PeerAuthentication and
//! RequestAuthentication, 1.2x.

mod authentication;
mod authorization;
mod destination;
mod entry;
mod http;
mod policy;
mod virtual_service;

use std::collections::BTreeMap;

use serde_json::json;

use crate::ledger::{Effect, Node};
use crate::routes::{Route, Rule};
use crate::{Context, Document, world};

/// Where Istio's settings of the whole mesh are.
pub(super) const ROOT_NAMESPACE: &str = "istio-system";

/// What refers to each other.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The hosts of ServiceEntries.
    pub(super) foreign: Vec<String>,
    /// The Service of each subset: (namespace, host's Service, subset).
    pub(super) subsets: BTreeMap<(String, String, String), String>,
}

pub(crate) fn run(context: &mut Context<'_>) {
    let mut parts = Parts::default();
    for (_, document) in of_kind(context, "ServiceEntry") {
        let hosts =
            document.value.pointer("/spec/hosts").and_then(serde_json::Value::as_array).into_iter().flatten();
        parts.foreign.extend(hosts.filter_map(|host| host.as_str()).map(str::to_owned));
    }
    for (at, _) in of_kind(context, "DestinationRule") {
        destination::subsets(context, at, &mut parts);
    }
    for (at, _) in of_kind(context, "DestinationRule") {
        destination::run(context, at, &parts);
    }
    for (at, _) in of_kind(context, "ServiceEntry") {
        entry::run(context, at);
    }
    for (at, _) in of_kind(context, "VirtualService") {
        virtual_service::run(context, at, &parts);
    }
    for (at, _) in of_kind(context, "PeerAuthentication") {
        authentication::peers(context, at);
    }
    for (at, _) in of_kind(context, "RequestAuthentication") {
        authentication::tokens(context, at);
    }
    for (at, _) in of_kind(context, "AuthorizationPolicy") {
        authorization::run(context, at);
    }
    rest(context);
    let has_root =
        of_kind(context, "PeerAuthentication").iter().any(|(_, one)| one.namespace() == ROOT_NAMESPACE);
    if !has_root {
        context.note(
            "PeerAuthentication",
            Effect::Edge,
            "Istio takes plaintext where nothing is said (PERMISSIVE); this mesh takes mutual TLS only. While callers without a sidecar of this mesh are left, set `mtls.mode: Permissive` in MeshConfig, and watch `meshctl mtls status`",
        );
    }
}

/// Documents of one of Istio's kinds.
pub(super) fn of_kind<'a>(context: &Context<'a>, kind: &str) -> Vec<(usize, &'a Document)> {
    let documents = context.documents.iter().enumerate();
    documents.filter(|(_, one)| one.group().ends_with(".istio.io") && one.kind() == kind).collect()
}

/// Kinds that have no counterpart.
fn rest(context: &Context<'_>) {
    for (at, document) in
        context.documents.iter().enumerate().filter(|(_, one)| one.group().ends_with(".istio.io"))
    {
        let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
            continue;
        };
        let (effect, reason, instead) = match document.kind() {
            "Gateway" => (
                Effect::Behaviour,
                "the mesh has no gateway of its own",
                "run a Gateway of the Gateway API (its controller's pods with a sidecar), with these ports, hosts and certificates",
            ),
            "Sidecar" => (
                Effect::Weaker,
                "a sidecar learns what it uses by itself; there is no list of what a workload may call",
                "nothing for memory; to forbid calls out of the mesh MeshConfig: outbound.mode: RegistryOnly; to forbid calls AuthorizationPolicy at the called side",
            ),
            "Telemetry" => (
                Effect::None,
                "tracing, access log and metrics are settings of the whole mesh",
                "MeshConfig: tracing, accessLog, metrics",
            ),
            "EnvoyFilter" | "WasmPlugin" => (
                Effect::Weaker,
                "the proxy is none of Envoy's and runs no foreign code; what this did for security is not done",
                "find what it does in TrafficPolicy, HTTPRoute or AuthorizationPolicy (action: External asks a service of yours)",
            ),
            "WorkloadEntry" | "WorkloadGroup" => (
                Effect::Behaviour,
                "a member outside Kubernetes is a Workload, which needs its address and a join token",
                "write a Workload with this address, ports and service account",
            ),
            "ProxyConfig" => {
                (Effect::None, "settings of Envoy", "annotations of pods: docs/reference/annotations.md")
            }
            _ => continue,
        };
        spec.lost(effect, reason, instead);
    }
}

/// The Service that a host names.
pub(super) fn service_of(
    context: &Context<'_>,
    parts: &Parts,
    host: &str,
    namespace: &str,
) -> Option<(String, String)> {
    if parts.foreign.iter().any(|foreign| foreign == host) || host.contains('*') {
        return None;
    }
    let found = world::host(host, namespace)?;
    // `example.com` and `reviews.shop` look alike.
    let short = host.split('.').count() == 2;
    let known =
        context.world.service(&found.0, &found.1).is_some() || context.world.namespaces().contains(&found.0);
    (!short || known).then_some(found)
}

/// Why a prefix of text is not quite one of segments.
pub(crate) fn prefix_reason(text: &str) -> String {
    let bare = text.trim_end_matches('/');
    if bare.len() < text.len() {
        format!("PathPrefix goes by segments: `{bare}` itself fits too")
    } else {
        format!(
            "PathPrefix goes by segments: `{bare}x` does not fit; if it has to, add a match RegularExpression `{bare}[^/].*`"
        )
    }
}

/// Who sees the object.
pub(super) fn export_to(spec: &Node<'_>) {
    let Some(node) = spec.get("exportTo") else { return };
    let all = node.items().iter().all(|one| one.text() == Some("*"));
    if all {
        node.inert("everybody sees it, as here");
    } else {
        node.lost(
            Effect::Edge,
            "an object in a Service's own namespace holds for all callers",
            "to hold for callers of one namespace, put the route into that namespace",
        );
    }
}

/// A share in percent: `percentage.value`, or the older `percent`.
pub(super) fn percentage(node: &Node<'_>, object: &str, field: &str) -> f64 {
    let value = node.at(&["percentage", "value"]).or_else(|| node.get("percent"));
    if let Some(empty) = node.get("percentage").filter(Node::is_leaf) {
        empty.to(object, field);
    }
    value.map_or(100.0, |value| {
        value.to(object, field);
        value.number().unwrap_or(100.0)
    })
}

/// What a rule of Istio's form says besides its destinations: Flagger writes the same.
pub(crate) fn fill(context: &mut Context<'_>, node: &Node<'_>, rule: &mut Rule, route: &Route, from: &str) {
    http::fill(context, node, rule, route, from);
}

/// A rule for each match, where a prefix is replaced.
pub(crate) fn split(rule: Rule, rules: &mut Vec<Rule>) {
    http::split_for_rewrite(rule, rules);
}

/// A traffic policy of a DestinationRule.
pub(crate) fn settings(node: &Node<'_>, object: &str) -> serde_json::Map<String, serde_json::Value> {
    policy::settings(node, object)
}

/// A Service, or a port of it, as target of a policy.
pub(crate) fn target(name: &str, port: Option<u16>) -> serde_json::Value {
    match port {
        Some(port) => json!({ "kind": "Service", "name": name, "port": port }),
        None => json!({ "kind": "Service", "name": name }),
    }
}
