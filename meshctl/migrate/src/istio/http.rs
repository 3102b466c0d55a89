//! Rules of a VirtualService for HTTP. It must not know whose routes they are.

use serde_json::{Map, Value, json};

use super::virtual_service::destination;
use super::{Parts, percentage, policy, prefix_reason};
use crate::Context;
use crate::ledger::{Effect, Node};
use crate::matches::{Match, Path, whole};
use crate::parts::{duration_of, header_edit, mirror, string_match};
use crate::routes::{Route, Rule, rule_name};

const YEAR: u64 = 8_760 * 3_600_000;

/// What is the same for all rules.
pub(super) struct Making<'a> {
    pub(super) parts: &'a Parts,
    /// `None`: of a Gateway.
    pub(super) service: Option<&'a (String, String)>,
    pub(super) route: Route,
    pub(super) from: &'a str,
}

impl Making<'_> {
    pub(super) fn http(mut self, context: &mut Context<'_>, spec: &Node<'_>) {
        let label = self.route.label();
        let mut rules: Vec<Rule> = Vec::new();
        for (at, node) in spec.list("http").iter().enumerate() {
            let name = rule_name(node.text_of("name"), at, &rules);
            let mut rule = Rule { name, priority: at, ..Rule::default() };
            let field = format!("spec.rules[{at}]");
            if let Some(name) = node.get("name") {
                name.to(&label, format!("{field}.name"));
            }
            let known = self.matches(context, node, &mut rule, &label, &field);
            self.action(context, node, &mut rule, &label, &field);
            if known {
                split_for_rewrite(rule, &mut rules);
            }
        }
        self.route.rules = rules;
        let from = self.from;
        self.route.put(context, from);
    }

    /// Whether any match is left.
    fn matches(
        &self,
        context: &mut Context<'_>,
        node: &Node<'_>,
        rule: &mut Rule,
        label: &str,
        field: &str,
    ) -> bool {
        let matches = node.list("match");
        if matches.is_empty() {
            node.get("match").inspect(|empty| empty.to(label, format!("{field}.matches")));
            rule.matches.push(Match::default());
            return true;
        }
        for one in &matches {
            match self.one_match(one, label, &format!("{field}.matches")) {
                Some(found) => rule.matches.push(found),
                None => {
                    let text = format!(
                        "a match of rule `{}` cannot be written and is left out; its requests take the next rule that fits",
                        rule.name
                    );
                    context.note(self.from, Effect::Behaviour, text);
                }
            }
        }
        !rule.matches.is_empty()
    }

    fn one_match(&self, one: &Node<'_>, label: &str, at: &str) -> Option<Match> {
        let mut found = Match::default();
        let mut fits = true;
        if one.is_leaf() {
            one.to(label, at);
        }
        let ignores_case = one.get("ignoreUriCase").is_some_and(|node| {
            node.to(label, format!("{at}.path"));
            node.is_true()
        });
        for (key, node) in one.fields() {
            match key {
                "name" | "statPrefix" => node.inert("a name for metrics"),
                "uri" => fits &= path(&node, ignores_case, label, at).map(|path| found.path = path).is_some(),
                "method" => match node.text_of("exact") {
                    Some(method) => {
                        node.whole(label, &format!("{at}.method"));
                        found.method = Some(method.to_owned());
                    }
                    None => {
                        fits =
                            lost(&node, "a method is compared exactly here", "write a match for each method");
                    }
                },
                "headers" => {
                    for (name, header) in node.fields() {
                        let read = string_match(&header, name, label, &format!("{at}.headers"));
                        fits &= read.map(|named| found.headers.push(named)).is_some();
                    }
                }
                "queryParams" => {
                    for (name, parameter) in node.fields() {
                        let read = string_match(&parameter, name, label, &format!("{at}.queryParams"));
                        fits &= read.map(|named| found.query.push(named)).is_some();
                    }
                }
                "withoutHeaders" => {
                    fits = lost(
                        &node,
                        "a condition that must not hold does not exist here",
                        "put a rule for the requests that it keeps out before this one",
                    );
                }
                "ignoreUriCase" => {}
                "gateways" => fits &= self.gateways(&node, label),
                "port" => {
                    node.lost(
                        Effect::Behaviour,
                        "a rule holds for all ports that the route is attached to",
                        "write a route of its own for the port: parentRefs[].port",
                    );
                }
                "authority" => fits &= self.authority(&node),
                "scheme" => {
                    node.lost(Effect::Edge, "applications send plain HTTP to their sidecar", "nothing");
                }
                "sourceNamespace" | "sourceLabels" => {
                    fits = lost(
                        &node,
                        "a rule does not ask who calls",
                        "for callers of a namespace put a route into that namespace (a consumer route)",
                    );
                }
                _ => {}
            }
        }
        fits.then_some(found)
    }

    /// Whether the match is for this route at all.
    fn gateways(&self, node: &Node<'_>, label: &str) -> bool {
        node.whole(label, "spec.parentRefs");
        let names: Vec<&str> = node.items().iter().filter_map(Node::text).collect();
        if self.service.is_some() {
            names.contains(&"mesh")
        } else {
            names.iter().any(|name| *name != "mesh")
        }
    }

    fn authority(&self, node: &Node<'_>) -> bool {
        if self.service.is_none() {
            return lost(
                node,
                "a Gateway's route has hostnames for all of its rules",
                "write a route of its own with this hostname",
            );
        }
        lost(
            node,
            "a route of a Service does not ask for the name that it was called by",
            "make a Service for that name, with a route of its own",
        )
    }

    fn action(
        &mut self,
        context: &mut Context<'_>,
        node: &Node<'_>,
        rule: &mut Rule,
        label: &str,
        field: &str,
    ) {
        let object = format!("TrafficPolicy of {label}");
        for (key, part) in node.fields() {
            match key {
                "route" => rule.backends = self.destinations(context, &part.items(), label, field),
                "redirect" => rule.filters.push(redirect(&part, label, field)),
                "rewrite" => rule.filters.extend(rewrite(&part, rule, label, field)),
                "headers" => headers(&part, &mut rule.filters, label, &format!("{field}.filters")),
                "corsPolicy" => rule.filters.extend(policy::cors(&part, label, &format!("{field}.filters"))),
                "mirror" => {
                    let share = node.get("mirrorPercentage").or_else(|| node.get("mirrorPercent"));
                    let percent = share.and_then(|share| mirror_share(&share, label, field));
                    let backend = destination(
                        context,
                        self.parts,
                        &part,
                        (&self.route.namespace, label),
                        &format!("{field}.filters"),
                        self.from,
                    );
                    rule.filters.extend(backend.map(|backend| mirror(backend, percent)));
                }
                "mirrors" => {
                    for one in part.items() {
                        let percent =
                            one.get("percentage").and_then(|share| mirror_share(&share, label, field));
                        let Some(to) = one.get("destination") else { continue };
                        let backend = destination(
                            context,
                            self.parts,
                            &to,
                            (&self.route.namespace, label),
                            &format!("{field}.filters"),
                            self.from,
                        );
                        rule.filters.extend(backend.map(|backend| mirror(backend, percent)));
                    }
                }
                "timeout" => {
                    if let Some(found) =
                        duration_of(&part, label, &format!("{field}.timeouts.request"), (0, YEAR))
                    {
                        rule.timeouts.insert("request".to_owned(), json!(found));
                    }
                }
                "retries" => {
                    rule.policy.insert("retries".to_owned(), policy::retries(&part, &object));
                }
                "fault" => {
                    if let Some(fault) = fault(&part, &object) {
                        rule.policy.insert("fault".to_owned(), fault);
                    }
                }
                "directResponse" => {
                    if let Some(answer) = direct_response(&part, &object) {
                        rule.policy.insert("directResponse".to_owned(), answer);
                    }
                }
                "delegate" => part.lost(
                    Effect::Behaviour,
                    "a route has no other one in it",
                    "put the rules of the other VirtualService here, and run the command again",
                ),
                _ => {}
            }
        }
    }

    /// Backends with weights and filters of their own.
    pub(super) fn destinations(
        &self,
        context: &mut Context<'_>,
        routes: &[Node<'_>],
        label: &str,
        field: &str,
    ) -> Vec<Value> {
        let mut backends = Vec::new();
        for (at, route) in routes.iter().enumerate() {
            let field = format!("{field}.backendRefs[{at}]");
            let Some(to) = route.get("destination") else { continue };
            let Some(mut backend) =
                destination(context, self.parts, &to, (&self.route.namespace, label), &field, self.from)
            else {
                continue;
            };
            match route.get("weight") {
                Some(weight) => {
                    weight.to(label, format!("{field}.weight"));
                    backend["weight"] = weight.value().clone();
                }
                // Without a weight Istio sends nothing to one of several.
                None if routes.len() > 1 => backend["weight"] = json!(0),
                None => {}
            }
            let mut filters = Vec::new();
            if let Some(edit) = route.get("headers") {
                headers(&edit, &mut filters, label, &format!("{field}.filters"));
            }
            if !filters.is_empty() {
                backend["filters"] = json!(filters);
            }
            backends.push(backend);
        }
        backends
    }
}

/// What a rule says besides its destinations, of a node that has such fields among others.
pub(super) fn fill(context: &mut Context<'_>, node: &Node<'_>, rule: &mut Rule, route: &Route, from: &str) {
    let parts = Parts::default();
    let service = (route.namespace.clone(), route.name.clone());
    let label = route.label();
    let mut making = Making { parts: &parts, service: Some(&service), route: route.clone(), from };
    if !making.matches(context, node, rule, &label, "spec.rules[0]") {
        rule.matches.clear();
    }
    making.action(context, node, rule, &label, "spec.rules[0]");
}

fn lost(node: &Node<'_>, reason: &str, instead: &str) -> bool {
    node.lost(Effect::Behaviour, reason, instead);
    false
}

/// A prefix can only be replaced where the rule has one match: such a rule becomes several.
pub(super) fn split_for_rewrite(rule: Rule, rules: &mut Vec<Rule>) {
    let by_prefix = |filter: &Value| filter.pointer("/urlRewrite/path/replacePrefixMatch").is_some();
    if !rule.filters.iter().any(by_prefix) {
        rules.push(rule);
        return;
    }
    for (at, one) in rule.matches.iter().enumerate() {
        let mut part = rule.clone();
        part.matches = vec![one.clone()];
        if at > 0 {
            part.name = rule_name(Some(&rule.name), at, rules);
        }
        if let Path::Exact(_) | Path::Regex(_) = one.path {
            for filter in part.filters.iter_mut().filter(|filter| by_prefix(filter)) {
                let value = filter["urlRewrite"]["path"]["replacePrefixMatch"].clone();
                filter["urlRewrite"]["path"] = json!({ "type": "ReplaceFullPath", "replaceFullPath": value });
            }
        }
        rules.push(part);
    }
}

fn path(node: &Node<'_>, ignores_case: bool, label: &str, at: &str) -> Option<Path> {
    let at = format!("{at}.path.value");
    for (key, part) in node.fields() {
        let text = part.text().unwrap_or_default();
        let escaped = regex::escape(text);
        match (key, ignores_case) {
            ("exact", false) => {
                part.to(label, at);
                return Some(Path::Exact(text.to_owned()));
            }
            ("prefix", false) if text.starts_with('/') => {
                if text == "/" {
                    part.to(label, at);
                } else {
                    part.changed(label, at, Effect::Edge, prefix_reason(text));
                }
                return Some(Path::prefix(text));
            }
            ("exact" | "prefix", _) => {
                let tail = if key == "prefix" { ".*" } else { "" };
                let case = if ignores_case { "(?i)" } else { "" };
                part.to(label, at);
                return Some(Path::Regex(format!("{case}{escaped}{tail}")));
            }
            ("regex", _) if whole(text).is_some() => {
                part.to(label, at);
                return Some(Path::Regex(if ignores_case { format!("(?i){text}") } else { text.to_owned() }));
            }
            _ => part.lost(
                Effect::Behaviour,
                "is no expression that is possible here",
                "write another one; there is no look-around",
            ),
        }
    }
    None
}

fn headers(node: &Node<'_>, filters: &mut Vec<Value>, label: &str, field: &str) {
    let kinds = [
        ("request", "RequestHeaderModifier", "requestHeaderModifier"),
        ("response", "ResponseHeaderModifier", "responseHeaderModifier"),
    ];
    for (key, kind, part) in kinds {
        let edit = node.get(key).and_then(|edit| header_edit(&edit, label, field));
        if let Some(edit) = edit {
            filters.push(json!({ "type": kind, part: edit }));
        }
    }
}

fn redirect(node: &Node<'_>, label: &str, field: &str) -> Value {
    let mut json = Map::new();
    let at = format!("{field}.filters");
    for (key, part) in node.fields() {
        let value = part.value().clone();
        match key {
            "uri" => {
                json.insert("path".to_owned(), json!({ "type": "ReplaceFullPath", "replaceFullPath": value }))
            }
            "authority" => {
                let text = part.text().unwrap_or_default();
                let (host, port) = text
                    .split_once(':')
                    .map_or((text, None), |(host, port)| (host, port.parse::<u16>().ok()));
                if let Some(port) = port {
                    json.entry("port").or_insert(json!(port));
                }
                json.insert("hostname".to_owned(), json!(host))
            }
            "port" => json.insert("port".to_owned(), value),
            "scheme" => json.insert("scheme".to_owned(), value),
            "redirectCode" => json.insert("statusCode".to_owned(), value),
            "derivePort" => {
                part.lost(
                    Effect::Edge,
                    "the port of a redirect is that of the scheme or a number",
                    "requestRedirect.port",
                );
                continue;
            }
            _ => continue,
        };
        part.to(label, at.clone());
    }
    // Another host is meant without the port that was called; in the mesh that is plain HTTP's.
    if json.contains_key("hostname") && !json.contains_key("scheme") && !json.contains_key("port") {
        json.insert("port".to_owned(), json!(80));
    }
    json.entry("statusCode").or_insert(json!(301));
    json!({ "type": "RequestRedirect", "requestRedirect": json })
}

fn rewrite(node: &Node<'_>, rule: &Rule, label: &str, field: &str) -> Option<Value> {
    let mut json = Map::new();
    let at = format!("{field}.filters");
    for (key, part) in node.fields() {
        let text = part.text().unwrap_or_default();
        match key {
            "uri" => {
                let exact = rule.matches.iter().all(|one| !matches!(one.path, Path::Prefix(_)));
                let path = if exact {
                    json!({ "type": "ReplaceFullPath", "replaceFullPath": text })
                } else {
                    json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": text })
                };
                json.insert("path".to_owned(), path);
                part.to(label, at.clone());
            }
            "authority" => {
                json.insert("hostname".to_owned(), json!(text.split(':').next().unwrap_or(text)));
                part.to(label, at.clone());
            }
            _ => part.lost(
                Effect::Behaviour,
                "a path is replaced as a whole or at its beginning, not by an expression",
                "let the application take both paths",
            ),
        }
    }
    (!json.is_empty()).then(|| json!({ "type": "URLRewrite", "urlRewrite": json }))
}

fn mirror_share(share: &Node<'_>, label: &str, field: &str) -> Option<f64> {
    let value = share.get("value").unwrap_or_else(|| share.clone());
    value.to(label, format!("{field}.filters"));
    value.number()
}

fn fault(node: &Node<'_>, object: &str) -> Option<Value> {
    let mut json = Map::new();
    if let Some(delay) = node.get("delay") {
        let field = "spec.fault.delay";
        let percent = percentage(&delay, object, field);
        delay.lost_field("exponentialDelay", Effect::Behaviour, "a delay is always as long", "fixedDelay");
        if let Some(duration) =
            delay.get("fixedDelay").and_then(|one| duration_of(&one, object, field, (1, 3_600_000)))
        {
            json.insert("delay".to_owned(), json!({ "duration": duration, "percent": percent }));
        }
    }
    if let Some(abort) = node.get("abort") {
        let field = "spec.fault.abort";
        let percent = percentage(&abort, object, field);
        let mut part = json!({ "percent": percent });
        for key in ["httpStatus", "grpcStatus"] {
            if let Some(one) = abort.get(key) {
                one.to(object, format!("{field}.{key}"));
                part[key] = one.value().clone();
            }
        }
        abort.lost_field("http2Error", Effect::Behaviour, "a request is answered, not reset", "httpStatus");
        json.insert("abort".to_owned(), part);
    }
    (!json.is_empty()).then_some(Value::Object(json))
}

fn direct_response(node: &Node<'_>, object: &str) -> Option<Value> {
    let status = node.get("status")?;
    status.to(object, "spec.directResponse.status");
    let mut json = json!({ "status": status.value() });
    if let Some(body) = node.at(&["body", "string"]) {
        body.to(object, "spec.directResponse.body");
        json["body"] = body.value().clone();
    }
    if let Some(body) = node.at(&["body", "bytes"]) {
        body.lost(Effect::Behaviour, "a body is text", "directResponse.body");
    }
    Some(json)
}
