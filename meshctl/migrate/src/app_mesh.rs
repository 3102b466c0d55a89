//! AWS App Mesh: `appmesh.k8s.aws/v1beta2`. A VirtualService is the name that is called: the Service of that name. Its VirtualRouter's
//! routes become routes of that Service; a VirtualNode is a Service behind them, with policies.
//!
//! AWS's own tools write the same under other references ([`crate::aws`]).
//!
//! Source: the types of aws-app-mesh-controller-for-k8s, v1beta2; AWS App Mesh user guide (routes, priorities, default timeouts).

mod gateway;
mod node;
mod router;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::ledger::{Effect, Node};
use crate::parts::duration;
use crate::{Context, aws, world};

/// An object by namespace and name.
pub(super) type Name = (String, String);

/// The Service that stands for a VirtualNode.
#[derive(Debug, Clone)]
pub(super) struct Behind {
    pub(super) service: Name,
    pub(super) port: Option<u16>,
}

/// What refers to each other.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Index of the documents by kind and name.
    found: BTreeMap<(String, Name), usize>,
    /// Of every VirtualNode.
    nodes: BTreeMap<Name, Behind>,
    /// The Service that each VirtualService stands for.
    services: BTreeMap<Name, Name>,
}

pub(super) const GROUP: &str = "appmesh.k8s.aws";

pub(crate) fn run(context: &mut Context<'_>) {
    let mut parts = Parts::default();
    for (at, document) in
        context.documents.iter().enumerate().filter(|(_, document)| document.group() == GROUP)
    {
        let name = (document.namespace().to_owned(), document.name().to_owned());
        parts.found.insert((document.kind().to_owned(), name), at);
    }
    meshes(context);
    for at in of_kind(context, "VirtualNode") {
        node::run(context, at, &mut parts);
    }
    for at in of_kind(context, "VirtualService") {
        virtual_service(context, at, &mut parts);
    }
    for at in of_kind(context, "GatewayRoute") {
        gateway::route(context, at, &parts);
    }
    rest(context);
}

/// Indices of documents of a kind.
pub(super) fn of_kind(context: &Context<'_>, kind: &str) -> Vec<usize> {
    let documents = context.documents.iter().enumerate();
    documents.filter(|(_, one)| one.group() == GROUP && one.kind() == kind).map(|(at, _)| at).collect()
}

/// Which other names may be called.
fn meshes(context: &mut Context<'_>) {
    let found = of_kind(context, "Mesh");
    let is_open = |at: usize| {
        context.documents.get(at).and_then(|one| one.text(&["spec", "egressFilter", "type"]))
            == Some("ALLOW_ALL")
    };
    let mode = if found.iter().all(|at| is_open(*at)) { "AllowAny" } else { "RegistryOnly" };
    let object = "MeshConfig default";
    for at in found {
        let Some(root) = context.ledger.root(context.documents, at) else { continue };
        let from = context.documents.get(at).map(crate::Document::label).unwrap_or_default();
        if let Some(spec) = root.get("spec") {
            if spec.is_leaf() {
                spec.inert("says nothing");
            }
            match spec.at(&["egressFilter", "type"]) {
                Some(kind) if !is_open(at) || mode == "AllowAny" => kind.to(object, "spec.outbound.mode"),
                Some(kind) => kind.changed(
                    object,
                    "spec.outbound.mode",
                    Effect::Stricter,
                    "another Mesh of the files lets nothing out; there is one MeshConfig, and it is as strict as the strictest",
                ),
                None => context.note(
                    &from,
                    Effect::None,
                    "without egressFilter App Mesh lets no call out of the mesh: `outbound.mode: RegistryOnly`",
                ),
            }
            let Some(root) = context.ledger.root(context.documents, at) else { continue };
            if let Some(spec) = root.get("spec") {
                spec.inert_field("awsName", "a name at AWS");
                spec.inert_field("meshOwner", "an account at AWS");
                spec.inert_field(
                    "namespaceSelector",
                    "which namespaces are members says the label amime.io/inject of each",
                );
                spec.lost_field(
                    "meshServiceDiscovery",
                    Effect::None,
                    "both families of addresses are used as they are there",
                    "nothing",
                );
            }
        }
        context.out.put("MeshConfig", "", "default", json!({ "outbound": { "mode": mode } }), &from);
    }
}

/// The name that is called, and where its routes are.
fn virtual_service(context: &mut Context<'_>, at: usize, parts: &mut Parts) {
    let Some(document) = context.documents.get(at) else { return };
    let name = (document.namespace().to_owned(), document.name().to_owned());
    let from = document.label();
    let Some(root) = context.ledger.root(context.documents, at) else { return };
    let Some(spec) = root.get("spec") else { return };
    let called = spec.text_of("awsName").map_or_else(|| format!("{}.{}", name.1, name.0), str::to_owned);
    spec.inert_field("meshRef", "there is one mesh");
    let elsewhere = document.is_of_aws() && !aws::is_of_cluster(&called);
    let first = || (name.0.clone(), crate::out::clean(called.split('.').next().unwrap_or_default()));
    let found = if elsewhere { Some(first()) } else { world::host(&called, &name.0) };
    let Some(service) = found else {
        spec.lost_field(
            "awsName",
            Effect::Behaviour,
            "the name is none of a Service in the cluster, and routes are attached to Services",
            "make a Service, let callers use its name, and attach the HTTPRoute to it",
        );
        spec.lost_field(
            "provider",
            Effect::Behaviour,
            "the name has no routes here, as awsName says",
            "as awsName says",
        );
        return;
    };
    parts.services.insert(name.clone(), service.clone());
    let object = format!("Service {}/{}", service.0, service.1);
    if let Some(node) = spec.get("awsName") {
        if elsewhere {
            let why = format!(
                "callers use `{0}` or `{0}.{1}`: the mesh answers for names of its Services, not for those of Cloud Map",
                service.1, service.0
            );
            node.changed(&object, "metadata.name", Effect::Behaviour, why);
        } else {
            node.to(&object, "metadata.name");
        }
    }
    if elsewhere {
        called_service(context, &spec, &service, parts, &from);
    } else if context.world.service(&service.0, &service.1).is_none() {
        context.note(
            &from,
            Effect::Edge,
            format!("{object} is not among the files: it has to be there, since routes are attached to it; give it to the command too, so that ports are checked"),
        );
    }
    let Some(provider) = spec.get("provider") else {
        context.note(
            &from,
            Effect::None,
            "a VirtualService without provider has no routes: calls go to the Service's own pods",
        );
        return;
    };
    if let Some(router) = provider.at(&["virtualRouter", "virtualRouterRef"]) {
        let router_name = reference(&router, &name.0);
        match parts.found.get(&("VirtualRouter".to_owned(), router_name)) {
            Some(router_at) => {
                let label = router::run(context, *router_at, &service, parts, &from);
                whole_reference(&router, &label, "spec.parentRefs[0]");
            }
            None => not_there(&router, "VirtualRouter"),
        }
    } else if let Some(node) = provider.at(&["virtualNode", "virtualNodeRef"]) {
        match parts.nodes.get(&reference(&node, &name.0)).cloned() {
            Some(behind) if behind.service == service => {
                node.inert(format!("calls to {object} go to its own pods, which are the VirtualNode's"));
            }
            Some(behind) => {
                let label = router::to_node(context, &service, &behind, &from);
                whole_reference(&node, &label, "spec.rules[0].backendRefs[0]");
            }
            None => not_there(&node, "VirtualNode"),
        }
    }
    arns(&provider);
}

/// The Service that callers of a name at AWS call: nobody is behind it but what its routes lead to.
fn called_service(context: &mut Context<'_>, spec: &Node<'_>, service: &Name, parts: &Parts, from: &str) {
    let router = spec.at(&["provider", "virtualRouter", "virtualRouterRef"]);
    let router = router.map(|router| ("VirtualRouter".to_owned(), reference(&router, &service.0)));
    let listener = router
        .and_then(|router| parts.found.get(&router))
        .and_then(|at| context.documents.get(*at))
        .and_then(|router| router.value.pointer("/spec/listeners/0/portMapping").cloned());
    let node = spec.at(&["provider", "virtualNode", "virtualNodeRef"]);
    let node = node.and_then(|node| parts.nodes.get(&reference(&node, &service.0)));
    let port = listener.as_ref().and_then(|one| one.get("port")?.as_u64());
    let Some(port) = port.or_else(|| node?.port.map(u64::from)) else { return };
    let protocol = listener.as_ref().and_then(|one| one.get("protocol")?.as_str());
    let ports = json!([{ "name": "main", "port": port, "appProtocol": node::app_protocol(protocol) }]);
    context.out.put("Service", &service.0, &service.1, json!({ "ports": ports }), from);
}

/// References by name at AWS lead out of the files.
pub(super) fn arns(node: &Node<'_>) {
    for (key, field) in node.fields() {
        if key.ends_with("ARN") {
            field.lost(
                Effect::Behaviour,
                "an object of another cluster or account is not known here",
                "describe it as a Service with EndpointSlices, or as an ExternalService",
            );
        } else {
            arns(&field);
        }
    }
}

pub(super) fn not_there(node: &Node<'_>, kind: &str) {
    node.lost(
        Effect::Behaviour,
        format!("there is no such {kind} among the files"),
        format!("give the file of the {kind} to the command too"),
    );
}

pub(super) fn whole_reference(node: &Node<'_>, object: &str, field: &str) {
    for key in ["name", "namespace"] {
        if let Some(node) = node.get(key) {
            node.to(object, format!("{field}.{key}"));
        }
    }
}

/// What a reference names.
pub(super) fn reference(node: &Node<'_>, namespace: &str) -> Name {
    let namespace = node.text_of("namespace").unwrap_or(namespace);
    (namespace.to_owned(), node.text_of("name").unwrap_or_default().to_owned())
}

/// `{unit, value}` as text.
pub(super) fn time(node: &Node<'_>, object: &str, field: &str, bounds: (u64, u64)) -> Option<Value> {
    let value = node.get("value")?.integer().and_then(|value| u64::try_from(value).ok())?;
    let milliseconds = if node.text_of("unit") == Some("ms") { value } else { value.saturating_mul(1_000) };
    let within = milliseconds.clamp(bounds.0, bounds.1);
    for part in ["unit", "value"].into_iter().filter_map(|key| node.get(key)) {
        if within == milliseconds {
            part.to(object, field);
        } else {
            let reason = format!("{} to {} is possible here", duration(bounds.0), duration(bounds.1));
            part.changed(object, field, Effect::Behaviour, reason);
        }
    }
    Some(json!(duration(within)))
}

/// Kinds without counterpart, and routers that nobody uses.
fn rest(context: &Context<'_>) {
    for (at, document) in context.documents.iter().enumerate().filter(|(_, one)| one.group() == GROUP) {
        let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
            continue;
        };
        match document.kind() {
            "VirtualGateway" => gateway::gateway(&spec),
            "BackendGroup" => spec.lost(
                Effect::Weaker,
                "every workload may call every service: there is no list of what one may call",
                "say at the called side who may call: AuthorizationPolicy, which `meshctl policy suggest` writes from observed traffic",
            ),
            "Route" if context.ledger.first_object(at).is_none() => spec.lost(
                Effect::None,
                "no VirtualRouter of the files that a VirtualService leads to has this route",
                "give what `aws appmesh describe-virtual-router` prints to the command too",
            ),
            "VirtualRouter" if context.ledger.first_object(at).is_none() => spec.lost(
                Effect::None,
                "no VirtualService of the files leads here, so no request takes these routes",
                "give the file of the VirtualService to the command too, if there is one",
            ),
            _ => {}
        }
    }
}
