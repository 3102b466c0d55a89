//! ServiceEntries as ExternalServices, with the TLS that a DestinationRule begins towards their hosts. It must not know routes.

use serde_json::{Map, Value, json};

use super::{export_to, of_kind};
use crate::Context;
use crate::ledger::{Effect, Node};
use crate::out::named;

pub(super) fn run(context: &mut Context<'_>, at: usize) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
        return;
    };
    export_to(&spec);
    let (name, label) = named(context, "ExternalService", &namespace, document.name());
    let hosts: Vec<&str> = spec.list("hosts").iter().filter_map(Node::text).collect();
    let mut json = Map::new();
    for (key, part) in spec.fields() {
        match key {
            "hosts" => {
                part.whole(&label, "spec.hosts");
                json.insert("hosts".to_owned(), part.value().clone());
            }
            "location" => match part.text() {
                Some("MESH_INTERNAL") => part.lost(
                    Effect::Stricter,
                    "an ExternalService is outside the mesh; members of it are known by Service and Workload",
                    "write Workload objects for its endpoints, and a Service",
                ),
                _ => part.inert("an ExternalService is outside the mesh"),
            },
            "resolution" => {
                let word = match part.text() {
                    Some("STATIC") => "Static",
                    Some("NONE") => "None",
                    _ => "DNS",
                };
                part.to(&label, "spec.resolution");
                json.insert("resolution".to_owned(), json!(word));
            }
            "ports" => {
                let ports: Vec<Value> = part.items().iter().filter_map(|port| self::port(port, &label)).collect();
                json.insert("ports".to_owned(), json!(ports));
            }
            "endpoints" => {
                let endpoints: Vec<Value> = part.items().iter().filter_map(|one| endpoint(one, &label)).collect();
                json.insert("endpoints".to_owned(), json!(endpoints));
            }
            "addresses" => part.lost(
                Effect::Behaviour,
                "an ExternalService has names; its sidecars give each an address of their own",
                "call it by its name",
            ),
            "workloadSelector" => part.lost(Effect::Behaviour, "an ExternalService has no pods", "write a Service"),
            "subjectAltNames" => part.lost(
                Effect::None,
                "where the sidecar begins TLS, the server's certificate must be for the host's name (or tls.sni)",
                "nothing, where the names are the host's",
            ),
            _ => {}
        }
    }
    // Istio keeps the address that was dialled where nothing is said.
    json.entry("resolution").or_insert_with(|| json!("None"));
    if json.get("resolution") == Some(&json!("None")) {
        json.remove("endpoints");
    }
    origination(context, &hosts, &mut json, &label);
    context.out.put("ExternalService", &namespace, &name, Value::Object(json), &from);
}

fn port(node: &Node<'_>, label: &str) -> Option<Value> {
    let number = node.get("number")?;
    number.to(label, "spec.ports[].port");
    let mut json = json!({ "port": number.port()? });
    if let Some(target) = node.get("targetPort") {
        target.to(label, "spec.ports[].targetPort");
        json["targetPort"] = target.value().clone();
    }
    node.inert_field("name", "a name of the port");
    if let Some(protocol) = node.get("protocol") {
        let word = match protocol.text().unwrap_or_default().to_ascii_uppercase().as_str() {
            "HTTP" => "http",
            "HTTP2" => "http2",
            "GRPC" | "GRPC-WEB" => "grpc",
            "HTTPS" | "TLS" => "tls",
            _ => "tcp",
        };
        protocol.to(label, "spec.ports[].protocol");
        json["protocol"] = json!(word);
    }
    Some(json)
}

fn endpoint(node: &Node<'_>, label: &str) -> Option<Value> {
    for (key, part) in node.fields() {
        match key {
            "address" => part.to(label, "spec.endpoints[].address"),
            "ports" => part.lost(
                Effect::Behaviour,
                "all endpoints are dialled at the same port",
                "ports[].targetPort",
            ),
            _ => part.lost(Effect::Edge, "endpoints are alike", "an ExternalService for each kind of them"),
        }
    }
    Some(json!({ "address": node.text_of("address")? }))
}

/// TLS that a DestinationRule of the files begins towards one of the hosts.
fn origination(context: &Context<'_>, hosts: &[&str], json: &mut Map<String, Value>, label: &str) {
    for (at, document) in of_kind(context, "DestinationRule") {
        if !document.text(&["spec", "host"]).is_some_and(|host| hosts.contains(&host)) {
            continue;
        }
        let Some(policy) =
            context.ledger.root(context.documents, at).and_then(|root| root.at(&["spec", "trafficPolicy"]))
        else {
            continue;
        };
        for (key, part) in policy.fields() {
            match key {
                "tls" => begin(&part, None, json, label),
                "portLevelSettings" => part.items().iter().for_each(|one| of_port(one, json, label)),
                _ => no_policy(&part),
            }
        }
        if let Some(subsets) =
            context.ledger.root(context.documents, at).and_then(|root| root.at(&["spec", "subsets"]))
        {
            subsets.lost(Effect::Behaviour, "a host outside has no subsets", "an ExternalService for each");
        }
    }
}

/// Settings of one port.
fn of_port(one: &Node<'_>, json: &mut Map<String, Value>, label: &str) {
    let number = one.at(&["port", "number"]);
    if let Some(number) = &number {
        number.to(label, "spec.ports[].port");
    }
    for (key, setting) in one.fields() {
        match key {
            "tls" => begin(&setting, number.as_ref().and_then(Node::port), json, label),
            "port" => {}
            _ => no_policy(&setting),
        }
    }
}

fn no_policy(node: &Node<'_>) {
    node.lost(
        Effect::Behaviour,
        "a TrafficPolicy is attached to Services, not to hosts outside",
        "nothing does it yet",
    );
}

fn begin(tls: &Node<'_>, port: Option<u16>, json: &mut Map<String, Value>, label: &str) {
    let mode = tls.text_of("mode").unwrap_or("DISABLE").to_owned();
    for (key, part) in tls.fields() {
        match (mode.as_str(), key) {
            ("SIMPLE", "mode" | "sni") => part.to(label, format!("spec.ports[].tls.{key}")),
            ("DISABLE", _) => part.inert("no TLS is begun, as here"),
            (_, "mode") => part.lost(
                Effect::Behaviour,
                "a client certificate of its own is not shown to hosts outside",
                "let the application begin TLS itself",
            ),
            (_, "subjectAltNames") => part.lost(
                Effect::None,
                "the server's certificate must be for the host's name (or tls.sni)",
                "tls.sni",
            ),
            (_, "insecureSkipVerify") => part.lost(
                Effect::Stricter,
                "a certificate is always verified",
                "tls.caCertificates, for an authority of your own",
            ),
            _ => part.lost(
                Effect::Stricter,
                "certificates are verified by the usual roots, or by those that stand in the object",
                "tls.caCertificates: the certificates themselves",
            ),
        }
    }
    if mode != "SIMPLE" {
        return;
    }
    let ports = json.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten();
    let is_meant = |one: &&mut Value| port.is_none_or(|port| one.get("port") == Some(&json!(port)));
    for one in ports.filter(is_meant).filter(|one| one.get("protocol") != Some(&json!("tls"))) {
        one["tls"] = tls.text_of("sni").map_or_else(|| json!({}), |sni| json!({ "sni": sni }));
    }
}
