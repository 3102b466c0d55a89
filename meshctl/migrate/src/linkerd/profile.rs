//! ServiceProfiles: routes by expressions, with retries and timeouts. It must not know policies of servers.

use serde_json::{Map, Value, json};

use crate::Context;
use crate::ledger::{Effect, Node};
use crate::matches::{Match, Path, whole};
use crate::parts::duration_of;
use crate::routes::{Kind, Route, Rule, backend, parent, rule_name};
use crate::world::host;

pub(super) fn run(context: &mut Context<'_>, at: usize) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(root) = context.ledger.root(context.documents, at) else { return };
    let Some(spec) = root.get("spec") else { return };
    let Some(service) = host(document.name(), &namespace) else {
        spec.lost(
            Effect::Behaviour,
            "the profile's name is none of a Service in the cluster",
            "make a Service, and an HTTPRoute for it",
        );
        return;
    };
    spec.lost_field(
        "opaquePorts",
        Effect::Behaviour,
        "what is spoken at a port is said by its appProtocol",
        "Service: ports[].appProtocol: tcp, or TrafficPolicy: protocol: TCP",
    );
    let known = context.world.service(&service.0, &service.1);
    let port = known.and_then(|service| service.ports.first()).map(|port| port.port);
    if known.is_none() {
        context.note(
            &from,
            Effect::Edge,
            format!("Service {}/{} is not among the files: its port is taken to be 80", service.0, service.1),
        );
    }
    let name = context.out.name("HTTPRoute", &service.0, &service.1);
    // A profile in a namespace of callers is theirs alone, as a route there is; it cannot point home by its own name.
    let mut route = Route {
        kind: Kind::Http,
        namespace: service.0.clone(),
        name,
        parents: vec![parent(&service.0, &service.0, &service.1, None)],
        hostnames: vec![],
        rules: vec![],
    };
    let label = route.label();
    if namespace != service.0 {
        context.note(&from, Effect::Edge, "a profile of a caller's namespace holds for its callers there; the route holds for all callers of the Service");
    }
    let backends = backends(&spec, &service, port, &label);
    for (at, node) in spec.list("routes").iter().enumerate() {
        let mut rule =
            Rule { name: rule_name(node.text_of("name"), at, &route.rules), priority: at, ..Rule::default() };
        let field = format!("spec.rules[{at}]");
        if let Some(name) = node.get("name") {
            name.to(&label, format!("{field}.name"));
        }
        let matches = node
            .get("condition")
            .map_or_else(|| Some(vec![Match::default()]), |one| condition(&one, &label, &field));
        settings(node, &mut rule, &label);
        let Some(matches) = matches else {
            context.note(
                &from,
                Effect::Behaviour,
                format!("the route `{}` is left out, since its condition cannot be written", rule.name),
            );
            continue;
        };
        rule.matches = matches;
        rule.backends.clone_from(&backends);
        route.rules.push(rule);
    }
    // What takes no route of a profile goes to the Service all the same.
    let rest = Rule {
        name: rule_name(Some("rest"), 0, &route.rules),
        matches: vec![Match::default()],
        backends,
        priority: usize::MAX,
        ..Rule::default()
    };
    route.rules.push(rest);
    if let Some(budget) = spec.get("retryBudget") {
        self::budget(context, &budget, &service, &from);
    }
    route.put(context, &from);
}

/// The Service itself, or what `dstOverrides` names.
fn backends(spec: &Node<'_>, service: &(String, String), port: Option<u16>, label: &str) -> Vec<Value> {
    let overrides = spec.list("dstOverrides");
    if overrides.is_empty() {
        return vec![backend(&service.0, &service.0, &service.1, port.or(Some(80)), None)];
    }
    let mut backends = Vec::new();
    for (at, one) in overrides.iter().enumerate() {
        let field = format!("spec.rules[].backendRefs[{at}]");
        let Some(authority) = one.get("authority") else { continue };
        let text = authority.text().unwrap_or_default();
        let (name, own) = text.split_once(':').map_or((text, None), |(name, port)| (name, port.parse().ok()));
        let weight = one.get("weight");
        if let Some(weight) = &weight {
            weight.to(label, format!("{field}.weight"));
        }
        match host(name.trim_end_matches('.'), &service.0) {
            Some(to) => {
                authority.to(label, format!("{field}.name"));
                let weight =
                    weight.and_then(|weight| match weight.text().and_then(|text| text.strip_suffix('m')) {
                        Some(milli) => milli.parse().ok(),
                        None => weight.integer(),
                    });
                backends.push(backend(&service.0, &to.0, &to.1, own.or(port).or(Some(80)), weight));
            }
            None => authority.lost(
                Effect::Behaviour,
                "routes lead to Services, and this is none",
                "make a Service with an EndpointSlice for it",
            ),
        }
    }
    backends
}

/// `method`, `pathRegex`, `all`, `any`. `None`: something of it cannot be written.
fn condition(node: &Node<'_>, label: &str, field: &str) -> Option<Vec<Match>> {
    let at = format!("{field}.matches");
    let mut found = vec![Match::default()];
    for (key, part) in node.fields() {
        match key {
            "method" => {
                part.to(label, format!("{at}.method"));
                for one in &mut found {
                    one.method = part.text().map(str::to_owned);
                }
            }
            "pathRegex" => {
                let text = part.text().unwrap_or_default();
                if whole(text).is_none() {
                    part.lost(
                        Effect::Behaviour,
                        "is no expression that is possible here",
                        "write another one; there is no look-around",
                    );
                    return None;
                }
                part.to(label, format!("{at}.path.value"));
                for one in &mut found {
                    one.path = if regex::escape(text) == text {
                        Path::Exact(text.to_owned())
                    } else {
                        Path::Regex(text.to_owned())
                    };
                }
            }
            "any" => {
                let mut either = Vec::new();
                for inner in part.items() {
                    either.extend(condition(&inner, label, field)?);
                }
                found = found
                    .iter()
                    .flat_map(|one| either.iter().map(|two| merged(one, two)))
                    .collect::<Option<Vec<_>>>()
                    .or_else(|| lost(&part))?;
            }
            "all" => {
                for inner in part.items() {
                    let more = condition(&inner, label, field)?;
                    found = found
                        .iter()
                        .flat_map(|one| more.iter().map(|two| merged(one, two)))
                        .collect::<Option<Vec<_>>>()
                        .or_else(|| lost(&part))?;
                }
            }
            _ => {
                part.lost(
                    Effect::Behaviour,
                    "a condition that must not hold does not exist here",
                    "put a route for the requests that it keeps out before this one",
                );
                return None;
            }
        }
    }
    if node.is_leaf() {
        node.to(label, at);
    }
    Some(found)
}

fn lost(part: &Node<'_>) -> Option<Vec<Match>> {
    part.lost(
        Effect::Behaviour,
        "two paths that must both fit are one expression here",
        "write them as one expression",
    );
    None
}

/// Both, where one says nothing of what the other says.
fn merged(one: &Match, two: &Match) -> Option<Match> {
    let all = Match::default();
    let path = if one.path == all.path { two.path.clone() } else { one.path.clone() };
    let method = one.method.clone().or_else(|| two.method.clone());
    let both = (one.path != all.path && two.path != all.path && one.path != two.path)
        || (one.method.is_some() && two.method.is_some() && one.method != two.method);
    (!both).then_some(Match { path, method, ..all })
}

fn settings(node: &Node<'_>, rule: &mut Rule, label: &str) {
    let object = format!("TrafficPolicy of {label}");
    if let Some(timeout) = node.get("timeout")
        && let Some(found) =
            duration_of(&timeout, label, "spec.rules[].timeouts.request", (0, 8_760 * 3_600_000))
    {
        rule.timeouts.insert("request".to_owned(), json!(found));
    }
    let classes = node.list("responseClasses");
    let retryable = node.get("isRetryable").filter(Node::is_true);
    if let Some(given) = node.get("isRetryable") {
        given.changed(
            &object,
            "spec.retries",
            Effect::Edge,
            "at most 10 attempts, within the budget; Linkerd has the budget alone",
        );
    }
    let mut failures = Vec::new();
    for class in &classes {
        let (min, max) =
            (class.at(&["condition", "status", "min"]), class.at(&["condition", "status", "max"]));
        let bound =
            |node: &Option<Node<'_>>, default: i64| node.as_ref().and_then(Node::integer).unwrap_or(default);
        let (from, to) = (bound(&min, 400), bound(&max, 599));
        let fails = class.get("isFailure").is_some_and(|node| node.is_true());
        if fails && retryable.is_some() && from >= 400 && to <= 599 && to - from < 32 {
            class.whole(&object, "spec.retries.statuses");
            failures.extend(from..=to);
        } else {
            class.lost(
                Effect::None,
                "which answers count as failures in metrics cannot be said",
                "metrics have the status of each answer",
            );
        }
    }
    if retryable.is_some() {
        let mut retries = Map::new();
        retries.insert("attempts".to_owned(), json!(10));
        retries.insert("methods".to_owned(), json!("All"));
        if failures.is_empty() {
            retries.insert(
                "retryOn".to_owned(),
                json!(["ServerError", "ConnectFailure", "RefusedStream", "Reset"]),
            );
        }
        retries.insert("statuses".to_owned(), json!(failures));
        rule.policy.insert("retries".to_owned(), Value::Object(retries));
    } else if node.get("isRetryable").is_some() {
        rule.policy.insert("retries".to_owned(), json!({ "attempts": 0 }));
    }
}

fn budget(context: &mut Context<'_>, budget: &Node<'_>, service: &(String, String), from: &str) {
    let (name, label) = crate::out::named(context, "TrafficPolicy", &service.0, &service.1);
    let field = |name: &str| format!("spec.retryBudget.{name}");
    let mut json = Map::new();
    if let Some(ratio) = budget.get("retryRatio") {
        ratio.to(&label, field("percent"));
        json.insert("percent".to_owned(), json!((ratio.number().unwrap_or(0.2) * 100.0).clamp(0.0, 100.0)));
    }
    if let Some(least) = budget.get("minRetriesPerSecond") {
        least.to(&label, field("minPerSecond"));
        json.insert("minPerSecond".to_owned(), least.value().clone());
    }
    if let Some(window) =
        budget.get("ttl").and_then(|ttl| duration_of(&ttl, &label, &field("window"), (1_000, 60_000)))
    {
        json.insert("window".to_owned(), json!(window));
    }
    let spec = json!({ "targetRefs": [{ "kind": "Service", "name": service.1 }], "retryBudget": json });
    context.out.put("TrafficPolicy", &service.0, &name, spec, from);
}
