//! VirtualRouters: their routes as routes of the Service that is called. It must not know gateways.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Behind, Name, Parts, arns, not_there, reference, time};
use crate::ledger::{Effect, Node};
use crate::matches::{Match, Named, Path, Text, whole};
use crate::parts::{retry_words, string_match};
use crate::routes::{Kind, Route, Rule, backend, parent, rule_name};
use crate::{Context, out};

const YEAR: u64 = 8_760 * 3_600_000;
/// What App Mesh does where no timeout is written. Source: AWS App Mesh user guide, routes.
const DEFAULT_TIMEOUT: &str = "15s";

/// The three kinds of routes of a router, by what they are there.
const KINDS: [(&str, &str); 4] = [
    ("httpRoute", "HTTPRoute"),
    ("http2Route", "HTTPRoute"),
    ("grpcRoute", "GRPCRoute"),
    ("tcpRoute", "TCPRoute"),
];

/// Gives the label of the first route.
pub(super) fn run(context: &mut Context<'_>, at: usize, service: &Name, parts: &Parts, from: &str) -> String {
    let documents = context.documents;
    let Some(document) = documents.get(at) else { return String::new() };
    let (router, namespace) = (document.label(), document.namespace().to_owned());
    let router_name = (namespace.clone(), document.name().to_owned());
    let mut first = None;
    if let Some(spec) = context.ledger.root(documents, at).and_then(|root| root.get("spec")) {
        spec.inert_field("awsName", "a name at AWS");
        spec.inert_field("meshRef", "there is one mesh");
        let from = format!("{from}, {router}");
        let ports = ports(context, &spec, service, &from);
        let mut by_kind: BTreeMap<&str, Vec<(Node<'_>, Node<'_>)>> = BTreeMap::new();
        for route in spec.list("routes").into_iter().chain(apart(context, &router_name)) {
            for (key, kind) in KINDS {
                if let Some(inner) = route.get(key) {
                    by_kind.entry(kind).or_default().push((route.clone(), inner));
                }
            }
        }
        for (kind, routes) in by_kind {
            let name = context.out.name(kind, &service.0, &service.1);
            let label = out::label(kind, &service.0, &name);
            let ours = Making { namespace: &namespace, service, parts, ports: &ports, label: &label };
            match kind {
                "TCPRoute" => ours.bytes(context, &routes, &name, &from),
                "GRPCRoute" => ours.requests(context, &routes, Kind::Grpc, &name, &from),
                _ => ours.requests(context, &routes, Kind::Http, &name, &from),
            }
            first.get_or_insert(label);
        }
        for listener in spec.list("listeners") {
            for (_, field) in listener.get("portMapping").map(|mapping| mapping.fields()).unwrap_or_default()
            {
                field.to(first.as_deref().unwrap_or(&from), "spec.parentRefs[0].port");
            }
        }
    }
    first.unwrap_or_else(|| format!("Service {}/{}", service.0, service.1))
}

/// Routes that are objects of their own, as AWS's tools have them, by their names.
fn apart<'a>(context: &Context<'a>, router: &Name) -> Vec<Node<'a>> {
    let specs = super::of_kind(context, "Route").into_iter();
    let specs = specs.filter_map(|at| context.ledger.root(context.documents, at)?.get("spec"));
    let ours = specs.filter(|spec| {
        spec.get("virtualRouterRef").is_some_and(|node| reference(&node, &router.0) == *router)
    });
    let mut found: Vec<Node<'a>> = ours.collect();
    for spec in &found {
        spec.inert_field("virtualRouterRef", "says of which VirtualRouter it is");
    }
    found.sort_by_key(|spec| spec.text_of("name").map(str::to_owned));
    found
}

/// A VirtualService without router: everything goes to one node.
pub(super) fn to_node(context: &mut Context<'_>, service: &Name, behind: &Behind, from: &str) -> String {
    let name = context.out.name("HTTPRoute", &service.0, &service.1);
    let backends = vec![backend(&service.0, &behind.service.0, &behind.service.1, behind.port, None)];
    let mut rule =
        Rule { name: "all".to_owned(), matches: vec![Match::default()], backends, ..Rule::default() };
    rule.timeouts.insert("request".to_owned(), json!(DEFAULT_TIMEOUT));
    let route = Route {
        kind: Kind::Http,
        namespace: service.0.clone(),
        name,
        parents: vec![parent(&service.0, &service.0, &service.1, None)],
        hostnames: vec![],
        rules: vec![rule],
    };
    let label = route.label();
    route.put(context, from);
    label
}

/// The ports of the Service at which the router listens.
fn ports(context: &mut Context<'_>, spec: &Node<'_>, service: &Name, from: &str) -> Vec<u16> {
    let mut ports = Vec::new();
    for listener in spec.list("listeners") {
        let Some(listens) = listener.at(&["portMapping", "port"]).and_then(|port| port.port()) else {
            continue;
        };
        let port = super::node::port_of(context, service, Some(listens)).unwrap_or(listens);
        if port != listens {
            let text = format!(
                "the router listens at {listens}; callers of Service {}/{} use its port {port}",
                service.0, service.1
            );
            context.note(from, Effect::None, text);
        }
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

/// What is the same for all routes of a router.
struct Making<'a> {
    /// The router's.
    namespace: &'a str,
    service: &'a Name,
    parts: &'a Parts,
    ports: &'a [u16],
    label: &'a str,
}

impl Making<'_> {
    fn parents(&self) -> Vec<Value> {
        let one = |port: Option<u16>| parent(&self.service.0, &self.service.0, &self.service.1, port);
        if self.ports.is_empty() {
            vec![one(None)]
        } else {
            self.ports.iter().map(|port| one(Some(*port))).collect()
        }
    }

    fn requests(
        &self,
        context: &mut Context<'_>,
        routes: &[(Node<'_>, Node<'_>)],
        kind: Kind,
        name: &str,
        from: &str,
    ) {
        let mut rules: Vec<Rule> = Vec::new();
        for (at, (route, inner)) in routes.iter().enumerate() {
            let mut rule = Rule { name: rule_name(route.text_of("name"), at, &rules), ..Rule::default() };
            let field = format!("spec.rules[{at}]");
            if let Some(node) = route.get("name") {
                node.to(self.label, format!("{field}.name"));
            }
            if let Some(node) = route.get("priority") {
                node.to(self.label, "spec.rules");
            }
            let priority = route.get("priority").and_then(|node| node.integer()).unwrap_or(1000);
            rule.priority = usize::try_from(priority).unwrap_or(1000);
            let fits = inner.get("match").is_none_or(|one| match kind {
                Kind::Http => self.http_match(&one, &mut rule, &field),
                Kind::Grpc => self.grpc_match(&one, &mut rule, &field),
            });
            if inner.get("match").is_none() && kind == Kind::Http {
                rule.matches.push(Match::default());
            }
            self.targets(inner, &mut rule, &field);
            self.timeouts(inner, kind, &mut rule, &field);
            if let Some(policy) = inner.get("retryPolicy") {
                let policy = retries(&policy, self.label);
                rule.policy.insert("retries".to_owned(), policy);
            }
            if fits {
                rules.push(rule);
            } else {
                let text = format!(
                    "the route `{}` is left out, since its match cannot be written; its requests take the next one that fits",
                    rule.name
                );
                context.note(from, Effect::Behaviour, text);
            }
        }
        let text = "App Mesh ends a request after 15s where no timeout is written; the rules say so. Its default retries (gateway errors, twice) are not written: here a request is repeated where it provably did not reach the application";
        context.note(from, Effect::Edge, text);
        let route = Route {
            kind,
            namespace: self.service.0.clone(),
            name: name.to_owned(),
            parents: self.parents(),
            hostnames: vec![],
            rules,
        };
        route.put(context, from);
    }

    fn http_match(&self, one: &Node<'_>, rule: &mut Rule, field: &str) -> bool {
        let at = format!("{field}.matches[0]");
        let mut fits = true;
        let mut found = Match::default();
        if let Some(node) = one.get("prefix") {
            found.path = prefix(&node, self.label, &at);
        }
        if let Some(path) = one.get("path") {
            for (key, node) in path.fields() {
                let text = node.text().unwrap_or_default();
                if key == "exact" {
                    found.path = Path::Exact(text.to_owned());
                } else if whole(text).is_some() {
                    found.path = Path::Regex(text.to_owned());
                } else {
                    node.lost(
                        Effect::Behaviour,
                        "is no expression that is possible here",
                        "write another one; there is no look-around",
                    );
                    fits = false;
                    continue;
                }
                node.to(self.label, format!("{at}.path.value"));
            }
        }
        if let Some(node) = one.get("method") {
            node.to(self.label, format!("{at}.method"));
            found.method = node.text().map(str::to_owned);
        }
        one.lost_field(
            "scheme",
            Effect::Edge,
            "a caller's scheme says nothing: applications send plain HTTP to their sidecar",
            "nothing, unless it was meant to match nothing",
        );
        self.port(one);
        for header in one.list("headers") {
            fits &= named(&header, self.label, &format!("{at}.headers"))
                .map(|named| found.headers.push(named))
                .is_some();
        }
        for parameter in one.list("queryParameters") {
            fits &= named(&parameter, self.label, &format!("{at}.queryParams"))
                .map(|named| found.query.push(named))
                .is_some();
        }
        rule.matches.push(found);
        fits
    }

    fn grpc_match(&self, one: &Node<'_>, rule: &mut Rule, field: &str) -> bool {
        let at = format!("{field}.matches[0]");
        let (mut json, mut method, mut fits) = (Map::new(), Map::new(), true);
        for (key, name) in [("serviceName", "service"), ("methodName", "method")] {
            if let Some(node) = one.get(key) {
                node.to(self.label, format!("{at}.method.{name}"));
                method.insert(name.to_owned(), node.value().clone());
            }
        }
        if !method.is_empty() {
            json.insert("method".to_owned(), Value::Object(method));
        }
        let mut headers = Vec::new();
        for metadata in one.list("metadata") {
            fits &= named(&metadata, self.label, &format!("{at}.headers"))
                .map(|named| headers.push(named.json()))
                .is_some();
        }
        if !headers.is_empty() {
            json.insert("headers".to_owned(), json!(headers));
        }
        self.port(one);
        if one.is_leaf() {
            one.to(self.label, format!("{field}.matches"));
        }
        if !json.is_empty() {
            rule.calls.push(Value::Object(json));
        }
        fits
    }

    fn port(&self, one: &Node<'_>) {
        let Some(node) = one.get("port") else { return };
        if self.ports.len() < 2 {
            node.to(self.label, "spec.parentRefs[0].port");
        } else {
            node.lost(
                Effect::Behaviour,
                "a rule holds for all ports that the route is attached to",
                "write a route of its own for the port: parentRefs[].port",
            );
        }
    }

    fn targets(&self, inner: &Node<'_>, rule: &mut Rule, field: &str) {
        let targets = inner.get("action").map(|action| action.list("weightedTargets")).unwrap_or_default();
        for target in targets {
            arns(&target);
            let Some(node) = target.get("virtualNodeRef") else { continue };
            let Some(behind) = self.parts.nodes.get(&reference(&node, self.namespace)) else {
                not_there(&node, "VirtualNode");
                target.lost_field(
                    "weight",
                    Effect::Behaviour,
                    "as of its VirtualNode",
                    "as of its VirtualNode",
                );
                continue;
            };
            let at = format!("{field}.backendRefs[{}]", rule.backends.len());
            super::whole_reference(&node, self.label, &at);
            let weight = target.get("weight");
            if let Some(weight) = &weight {
                weight.to(self.label, format!("{at}.weight"));
            }
            if let Some(port) = target.get("port") {
                port.to(self.label, format!("{at}.port"));
            }
            let weight = weight.and_then(|weight| weight.integer());
            rule.backends.push(backend(
                &self.service.0,
                &behind.service.0,
                &behind.service.1,
                behind.port,
                weight,
            ));
        }
    }

    fn timeouts(&self, inner: &Node<'_>, kind: Kind, rule: &mut Rule, field: &str) {
        let timeout = inner.get("timeout");
        let object = self.label;
        let read = |key: &str, to: &str| time(&timeout.as_ref()?.get(key)?, object, to, (0, YEAR));
        let request = read("perRequest", &format!("{field}.timeouts.request"))
            .unwrap_or_else(|| json!(DEFAULT_TIMEOUT));
        let idle = read("idle", "TrafficPolicy: spec.timeouts.idle");
        let mut policy = Map::new();
        match kind {
            Kind::Http => {
                rule.timeouts.insert("request".to_owned(), request);
            }
            Kind::Grpc => {
                policy.insert("request".to_owned(), request);
            }
        }
        if let Some(idle) = idle {
            policy.insert("idle".to_owned(), idle);
        }
        if !policy.is_empty() {
            rule.policy.insert("timeouts".to_owned(), Value::Object(policy));
        }
    }

    /// Routes of connections: one rule, since there is nothing to match.
    fn bytes(&self, context: &mut Context<'_>, routes: &[(Node<'_>, Node<'_>)], name: &str, from: &str) {
        for (at, (route, inner)) in routes.iter().enumerate() {
            if at > 0 {
                route.lost(Effect::Behaviour, "a TCPRoute has one rule", "attach one route to each port");
                continue;
            }
            let mut rule = Rule { name: rule_name(route.text_of("name"), 0, &[]), ..Rule::default() };
            for (key, to) in [("name", "spec.rules[0].name"), ("priority", "spec.rules[0]")] {
                if let Some(node) = route.get(key) {
                    node.to(self.label, to);
                }
            }
            if let Some(one) = inner.get("match") {
                self.port(&one);
                if one.is_leaf() {
                    one.to(self.label, "spec.rules[0]");
                }
            }
            self.targets(inner, &mut rule, "spec.rules[0]");
            inner.lost_field(
                "timeout",
                Effect::Edge,
                "a route of connections has no timeouts",
                "TrafficPolicy of the Service: timeouts.idle",
            );
            let rules = json!([{ "name": rule.name, "backendRefs": rule.backends }]);
            context.out.put(
                "TCPRoute",
                &self.service.0,
                name,
                json!({ "parentRefs": self.parents(), "rules": rules }),
                from,
            );
        }
    }
}

/// A prefix is one of text there and one of segments here.
pub(super) fn prefix(node: &Node<'_>, object: &str, at: &str) -> Path {
    let text = node.text().unwrap_or("/");
    if text == "/" {
        node.to(object, format!("{at}.path.value"));
    } else {
        let reason = crate::istio::prefix_reason(text);
        node.changed(object, format!("{at}.path.value"), Effect::Edge, reason);
    }
    Path::prefix(text)
}

/// A header, a parameter or metadata; `None`: it cannot be written, which is said.
pub(super) fn named(node: &Node<'_>, object: &str, at: &str) -> Option<Named> {
    let name = node.get("name")?;
    name.to(object, format!("{at}.name"));
    let text = name.text().unwrap_or_default();
    if let Some(invert) = node.get("invert") {
        if invert.is_true() {
            node.lost(
                Effect::Behaviour,
                "a condition that must not hold does not exist here",
                "put a rule for the requests that it keeps out before this one",
            );
            return None;
        }
        invert.to(object, at);
    }
    let Some(one) = node.get("match") else {
        return Some(Named { name: text.to_owned(), value: Text::Regex(".*".to_owned()) });
    };
    string_match(&one, text, object, &format!("{at}.value"))
}

fn retries(policy: &Node<'_>, label: &str) -> Value {
    let object = format!("TrafficPolicy of {label}");
    let events: Vec<Node<'_>> = ["httpRetryEvents", "tcpRetryEvents", "grpcRetryEvents"]
        .iter()
        .flat_map(|key| policy.list(key))
        .collect();
    let (mut json, _) = retry_words(events.iter().filter_map(Node::text));
    for event in &events {
        if event.text() == Some("client-error") {
            event.to(&object, "spec.retries.statuses");
        } else {
            event.to(&object, "spec.retries.retryOn");
        }
    }
    if let Some(node) = policy.get("maxRetries") {
        let attempts = crate::parts::integer_of(&node, &object, "spec.retries.attempts", (0, 10));
        json.insert("attempts".to_owned(), json!(attempts.unwrap_or(2)));
    }
    if let Some(found) = policy
        .get("perRetryTimeout")
        .and_then(|node| time(&node, &object, "spec.retries.perTryTimeout", (1, 3_600_000)))
    {
        json.insert("perTryTimeout".to_owned(), found);
    }
    // Envoy repeats whatever the method is.
    json.insert("methods".to_owned(), json!("All"));
    Value::Object(json)
}
