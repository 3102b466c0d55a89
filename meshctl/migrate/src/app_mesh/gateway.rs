//! VirtualGateways and GatewayRoutes. The mesh has no gateway of its own: a route for the Gateway of another controller is written. It must
//! not know nodes.

use serde_json::{Value, json};

use super::router::{named, prefix};
use super::{Parts, arns, not_there, reference, whole_reference};
use crate::Context;
use crate::ledger::{Effect, Node};
use crate::matches::{Match, Path, whole};
use crate::routes::{Kind, Route, Rule, backend};

/// All of a VirtualGateway.
pub(super) fn gateway(spec: &Node<'_>) {
    spec.lost(
        Effect::Behaviour,
        "the mesh has no gateway of its own",
        "run a Gateway of the Gateway API (its controller's pods with a sidecar), with these ports and certificates",
    );
}

pub(super) fn route(context: &mut Context<'_>, at: usize, parts: &Parts) {
    let documents = context.documents;
    let Some(document) = documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    if let Some(spec) = context.ledger.root(documents, at).and_then(|root| root.get("spec")) {
        let name = context.out.name("HTTPRoute", &namespace, document.name());
        let mut route = Route {
            kind: Kind::Http,
            namespace: namespace.clone(),
            name,
            parents: vec![],
            hostnames: vec![],
            rules: vec![],
        };
        fill(context, &spec, parts, &mut route);
        let text = "the mesh has no gateway of its own: this route is served once a Gateway of that name, of another controller, is there";
        context.note(&from, Effect::Behaviour, text);
        if !route.rules.is_empty() {
            route.put(context, &from);
        }
    }
}

fn fill(context: &Context<'_>, spec: &Node<'_>, parts: &Parts, route: &mut Route) {
    let label = route.label();
    spec.inert_field("awsName", "a name at AWS");
    spec.inert_field("meshRef", "there is one mesh");
    let by_name = spec.get("virtualGatewayRef").and_then(|node| node.text_of("name")).map(str::to_owned);
    let gateways = super::of_kind(context, "VirtualGateway");
    let only = gateways.first().and_then(|at| context.documents.get(*at)).map(|one| one.name().to_owned());
    let gateway = by_name.or(only).unwrap_or_else(|| "gateway".to_owned());
    if let Some(node) = spec.get("virtualGatewayRef") {
        node.changed(&label, "spec.parentRefs[0].name", Effect::None, "the Gateway of that name");
    }
    route.parents.push(json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway }));
    if let Some(node) = spec.get("priority") {
        node.lost(
            Effect::Edge,
            "of routes of one Gateway the more specific match wins",
            "make the matches exclude each other",
        );
    }
    if let Some(grpc) = spec.get("grpcRoute") {
        grpc.lost(Effect::Behaviour, "is not carried over", "write a GRPCRoute with the Gateway as parent");
    }
    for inner in ["httpRoute", "http2Route"].into_iter().filter_map(|key| spec.get(key)) {
        if let Some(rule) = rule(context, &inner, parts, route, &label) {
            route.rules.push(rule);
        }
    }
}

fn rule(
    context: &Context<'_>,
    inner: &Node<'_>,
    parts: &Parts,
    route: &mut Route,
    label: &str,
) -> Option<Rule> {
    let at = "spec.rules[0].matches[0]";
    let mut found = Match::default();
    let mut fits = true;
    if let Some(one) = inner.get("match") {
        if let Some(node) = one.get("prefix") {
            found.path = prefix(&node, label, at);
        }
        for (key, node) in one.get("path").map(|path| path.fields()).unwrap_or_default() {
            let text = node.text().unwrap_or_default().to_owned();
            if key == "regex" && whole(&text).is_none() {
                node.lost(
                    Effect::Behaviour,
                    "is no expression that is possible here",
                    "write another one; there is no look-around",
                );
                fits = false;
                continue;
            }
            node.to(label, format!("{at}.path.value"));
            found.path = if key == "exact" { Path::Exact(text) } else { Path::Regex(text) };
        }
        if let Some(node) = one.get("method") {
            node.to(label, format!("{at}.method"));
            found.method = node.text().map(str::to_owned);
        }
        for (key, node) in one.get("hostname").map(|host| host.fields()).unwrap_or_default() {
            let text = node.text().unwrap_or_default();
            let host = if key == "suffix" {
                format!("*.{}", text.trim_start_matches("*.").trim_start_matches('.'))
            } else {
                text.to_owned()
            };
            node.to(label, "spec.hostnames[0]");
            route.hostnames.push(host);
        }
        one.lost_field(
            "port",
            Effect::Edge,
            "a Gateway's listener is named by sectionName",
            "parentRefs[].sectionName",
        );
        for header in one.list("headers") {
            fits &= named(&header, label, &format!("{at}.headers"))
                .map(|named| found.headers.push(named))
                .is_some();
        }
        for parameter in one.list("queryParameters") {
            fits &= named(&parameter, label, &format!("{at}.queryParams"))
                .map(|named| found.query.push(named))
                .is_some();
        }
    }
    let mut rule = Rule { name: "route".to_owned(), ..Rule::default() };
    let target = inner.at(&["action", "target"]);
    if let Some(target) = &target {
        arns(target);
    }
    let service = target.as_ref().and_then(|target| target.at(&["virtualService", "virtualServiceRef"]));
    if let Some(node) = &service {
        match parts.services.get(&reference(node, &route.namespace)) {
            Some((namespace, name)) => {
                let port = target.as_ref().and_then(|target| target.get("port"));
                if let Some(port) = &port {
                    port.to(label, "spec.rules[0].backendRefs[0].port");
                }
                let known = context.world.service(namespace, name).and_then(|service| service.ports.first());
                let port = port.and_then(|port| port.port()).or(known.map(|known| known.port)).or(Some(80));
                whole_reference(node, label, "spec.rules[0].backendRefs[0]");
                rule.backends.push(backend(&route.namespace, namespace, name, port, None));
            }
            None => not_there(node, "VirtualService"),
        }
    }
    rewrite(inner, &found.path, &mut rule, label);
    rule.matches.push(found);
    fits.then_some(rule)
}

/// App Mesh takes the matched prefix off and writes the VirtualService's name as host, unless it is told not to.
fn rewrite(inner: &Node<'_>, path: &Path, rule: &mut Rule, label: &str) {
    let field = "spec.rules[0].filters[0].urlRewrite";
    let rewrite = inner.at(&["action", "rewrite"]);
    let part = |name: &str| rewrite.as_ref().and_then(|rewrite| rewrite.get(name));
    let is_off =
        |node: Option<&Node<'_>>, key: &str| node.and_then(|node| node.text_of(key)) == Some("DISABLED");
    let mut path_rewrite: Option<Value> = None;
    let (by_prefix, by_path, host) = (part("prefix"), part("path"), part("hostname"));
    for (_, node) in [&by_prefix, &by_path, &host].into_iter().flatten().flat_map(Node::fields) {
        node.to(label, field);
    }
    if let Some(full) = by_path.as_ref().and_then(|node| node.text_of("exact")) {
        path_rewrite = Some(json!({ "type": "ReplaceFullPath", "replaceFullPath": full }));
    } else if matches!(path, Path::Prefix(prefix) if prefix != "/")
        && !is_off(by_prefix.as_ref(), "defaultPrefix")
    {
        let value = by_prefix.as_ref().and_then(|node| node.text_of("value")).unwrap_or("/");
        path_rewrite = Some(json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": value }));
    }
    if let Some(path) = path_rewrite {
        rule.filters.push(json!({ "type": "URLRewrite", "urlRewrite": { "path": path } }));
    }
}
