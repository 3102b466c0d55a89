//! VirtualServices: whose routes they are. It must not know what a rule says.

use serde_json::{Value, json};

use super::http::Making;
use super::{Parts, export_to, service_of};
use crate::Context;
use crate::ledger::{Effect, Node};
use crate::routes::{Kind, Route, backend, parent};

pub(super) fn run(context: &mut Context<'_>, at: usize, parts: &Parts) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
        return;
    };
    export_to(&spec);
    let gateways: Vec<&str> = spec.list("gateways").iter().filter_map(Node::text).collect();
    let inside = gateways.is_empty() || gateways.contains(&"mesh");
    let mut services = Vec::new();
    for host in spec.list("hosts") {
        let text = host.text().unwrap_or_default();
        match service_of(context, parts, text, &namespace) {
            Some(service) if inside => {
                host.to(&format!("Service {}/{}", service.0, service.1), "metadata.name");
                if !services.contains(&service) {
                    services.push(service);
                }
            }
            _ if gateways.iter().any(|name| *name != "mesh") => host.to(&from, "spec.hostnames"),
            _ => host.lost(
                Effect::Behaviour,
                "routes are attached to Services, and this host is none",
                "make a Service that stands for it, or set what you need at the ExternalService",
            ),
        }
    }
    let mut made = false;
    for service in &services {
        made |= for_service(context, &spec, parts, service, document.name(), &from);
    }
    for gateway in spec.list("gateways") {
        match gateway.text() {
            Some("mesh") => gateway.inert("routes of Services hold in the mesh"),
            _ => gateway.lost(
                Effect::Behaviour,
                "the mesh has no gateway of its own: the HTTPRoute with a Gateway as parent is served once one of that name, of another controller, is there",
                "run a Gateway of the Gateway API with a sidecar",
            ),
        }
    }
    if gateways.iter().any(|name| *name != "mesh") {
        made |= for_gateways(context, &spec, parts, &gateways, document.name(), &from);
    }
    if !made {
        for key in ["http", "tcp", "tls"] {
            spec.lost_field(
                key,
                Effect::Behaviour,
                "no Service of the mesh has these routes, as hosts says",
                "as hosts says",
            );
        }
    }
}

/// The routes of one Service.
fn for_service(
    context: &mut Context<'_>,
    spec: &Node<'_>,
    parts: &Parts,
    service: &(String, String),
    name: &str,
    from: &str,
) -> bool {
    if context.world.service(&service.0, &service.1).is_none() {
        let text = format!(
            "Service {}/{} is not among the files: give it to the command too, so that ports are known",
            service.0, service.1
        );
        context.note(from, Effect::Edge, text);
    }
    let parents = vec![parent(&service.0, &service.0, &service.1, None)];
    let mut made = false;
    if spec.get("http").is_some() {
        let name = context.out.name("HTTPRoute", &service.0, name);
        let route = Route {
            kind: Kind::Http,
            namespace: service.0.clone(),
            name,
            parents,
            hostnames: vec![],
            rules: vec![],
        };
        Making { parts, service: Some(service), route, from }.http(context, spec);
        made = true;
    }
    made | bytes(context, spec, parts, service, name, from)
}

/// The routes of Gateways: their hosts are names of the outside.
fn for_gateways(
    context: &mut Context<'_>,
    spec: &Node<'_>,
    parts: &Parts,
    gateways: &[&str],
    name: &str,
    from: &str,
) -> bool {
    if spec.get("http").is_none() {
        return false;
    }
    let namespace = from
        .split_once(' ')
        .and_then(|(_, name)| name.split_once('/'))
        .map_or("default", |(namespace, _)| namespace);
    let parent = |name: &&str| {
        let (of, name) = name.split_once('/').unwrap_or((namespace, name));
        let mut parent = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name });
        if of != namespace {
            parent["namespace"] = json!(of);
        }
        parent
    };
    let parents: Vec<Value> = gateways.iter().filter(|name| **name != "mesh").map(parent).collect();
    let hosts = spec.list("hosts");
    let hostnames: Vec<String> = hosts
        .iter()
        .filter_map(Node::text)
        .filter(|host| *host != "*" && host.contains('.'))
        .map(str::to_owned)
        .collect();
    let name = context.out.name("HTTPRoute", namespace, &format!("{name}-gateway"));
    let route =
        Route { kind: Kind::Http, namespace: namespace.to_owned(), name, parents, hostnames, rules: vec![] };
    Making { parts, service: None, route, from }.http(context, spec);
    true
}

/// TCP and TLS: one rule each.
fn bytes(
    context: &mut Context<'_>,
    spec: &Node<'_>,
    parts: &Parts,
    service: &(String, String),
    name: &str,
    from: &str,
) -> bool {
    let mut made = false;
    for (key, kind) in [("tcp", "TCPRoute"), ("tls", "TLSRoute")] {
        for rule in spec.list(key) {
            let name = context.out.name(kind, &service.0, name);
            let label = crate::out::label(kind, &service.0, &name);
            let (mut port, mut names) = (None, Vec::new());
            let matches = rule.list("match");
            for (at, one) in matches.iter().enumerate() {
                for (key, field) in one.fields() {
                    match key {
                        _ if at > 0 && key != "sniHosts" => field.lost(
                            Effect::Behaviour,
                            "a route of connections has one match",
                            "write a route for each",
                        ),
                        "port" => {
                            field.to(&label, "spec.parentRefs[0].port");
                            port = field.port();
                        }
                        "sniHosts" => {
                            field.whole(&label, "spec.hostnames");
                            names.extend(field.items().iter().filter_map(Node::text).map(str::to_owned));
                        }
                        _ => field.lost(
                            Effect::Behaviour,
                            "a route of connections is taken by port and name alone",
                            "AuthorizationPolicy at the called side says who may connect",
                        ),
                    }
                }
            }
            let making = Making { parts, service: Some(service), route: empty(service, &name), from };
            let backends = making.destinations(context, &rule.list("route"), &label, "spec.rules[0]");
            let mut json = json!({
                "parentRefs": [parent(&service.0, &service.0, &service.1, port)],
                "rules": [{ "backendRefs": backends }],
            });
            if !names.is_empty() {
                json["hostnames"] = json!(names);
            }
            context.out.put(kind, &service.0, &name, json, from);
            made = true;
        }
    }
    made
}

fn empty(service: &(String, String), name: &str) -> Route {
    Route {
        kind: Kind::Http,
        namespace: service.0.clone(),
        name: name.to_owned(),
        parents: vec![],
        hostnames: vec![],
        rules: vec![],
    }
}

/// The backend of a destination, with the Service of its subset.
pub(super) fn destination(
    context: &mut Context<'_>,
    parts: &Parts,
    node: &Node<'_>,
    route: (&str, &str),
    field: &str,
    from: &str,
) -> Option<Value> {
    let (namespace, label) = route;
    let of = from
        .split_once(' ')
        .and_then(|(_, name)| name.split_once('/'))
        .map_or(namespace, |(namespace, _)| namespace);
    let host = node.get("host")?;
    let Some(service) = service_of(context, parts, host.text().unwrap_or_default(), of) else {
        host.lost(
            Effect::Behaviour,
            "routes lead to Services, and this host is none",
            "make a Service with an EndpointSlice for it; requests of this rule get 500 until then",
        );
        for key in ["subset", "port"] {
            node.lost_field(key, Effect::Behaviour, "as its host", "as its host");
        }
        return Some(json!({ "name": crate::out::clean(host.text().unwrap_or_default()), "port": 80 }));
    };
    host.to(label, format!("{field}.name"));
    let mut name = service.1.clone();
    if let Some(subset) = node.get("subset") {
        let key = (service.0.clone(), service.1.clone(), subset.text().unwrap_or_default().to_owned());
        if let Some(of_subset) = parts.subsets.get(&key) {
            subset.to(label, format!("{field}.name"));
            name.clone_from(of_subset);
        } else {
            subset.lost(
                Effect::Behaviour,
                "no DestinationRule of the files has this subset; requests for it get 500",
                "give the file of the DestinationRule, and that of the Service, to the command too",
            );
            name = format!("{}-{}", service.1, crate::out::clean(&key.2));
        }
    }
    let wanted = node.at(&["port", "number"]);
    if let Some(port) = &wanted {
        port.to(label, format!("{field}.port"));
    }
    let known = context.world.service(&service.0, &service.1);
    let only = || known.and_then(|service| service.ports.first()).map(|port| port.port);
    let several = known.is_some_and(|service| service.ports.len() > 1);
    let port =
        wanted.and_then(|port| port.port()).or_else(only).or_else(|| Some(80).filter(|_| known.is_none()));
    if several && node.get("port").is_none() {
        let text = format!(
            "a destination names no port, and Service {}/{} has several: its first is written; a route for each port would be exact",
            service.0, service.1
        );
        context.note(from, Effect::Edge, text);
    }
    Some(backend(namespace, &service.0, &name, port, None))
}
