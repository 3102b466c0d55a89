//! Routes as they are put together, and the objects that they become. It must not know any mesh.

use serde_json::{Map, Value, json};

use crate::ledger::Effect;
use crate::matches::{Match, most_specific_first};
use crate::{Context, out};

/// Most rules of a route. Source: HTTPRoute specification.
const MAX_RULES: usize = 16;

/// Which kind of route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Grpc,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTPRoute",
            Self::Grpc => "GRPCRoute",
        }
    }
}

/// A rule of a route.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// For HTTPRoute.
    pub(crate) matches: Vec<Match>,
    /// For GRPCRoute.
    pub(crate) calls: Vec<Value>,
    pub(crate) filters: Vec<Value>,
    pub(crate) backends: Vec<Value>,
    /// `timeouts` of the rule.
    pub(crate) timeouts: Map<String, Value>,
    /// What a TrafficPolicy has to say of the rule.
    pub(crate) policy: Map<String, Value>,
    /// Rules of a smaller one go before those of a greater one; equals are told apart by how specific they are.
    pub(crate) priority: usize,
}

/// A route.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    /// Taken by [`crate::out::Out::name`].
    pub(crate) name: String,
    pub(crate) parents: Vec<Value>,
    pub(crate) hostnames: Vec<String>,
    pub(crate) rules: Vec<Rule>,
}

/// A Service as parent.
pub(crate) fn parent(route_namespace: &str, namespace: &str, name: &str, port: Option<u16>) -> Value {
    let mut parent = json!({ "group": "", "kind": "Service", "name": name });
    if namespace != route_namespace {
        parent["namespace"] = json!(namespace);
    }
    if let Some(port) = port {
        parent["port"] = json!(port);
    }
    parent
}

/// A Service as backend.
pub(crate) fn backend(
    route_namespace: &str,
    namespace: &str,
    name: &str,
    port: Option<u16>,
    weight: Option<i64>,
) -> Value {
    let mut backend = json!({ "name": name });
    if namespace != route_namespace {
        backend["namespace"] = json!(namespace);
    }
    if let Some(port) = port {
        backend["port"] = json!(port);
    }
    if let Some(weight) = weight {
        backend["weight"] = json!(weight);
    }
    backend
}

impl Route {
    /// As reports name it.
    pub(crate) fn label(&self) -> String {
        out::label(self.kind.name(), &self.namespace, &self.name)
    }

    /// Writes the route and the policies of its rules.
    pub(crate) fn put(mut self, context: &mut Context<'_>, from: &str) {
        self.order(context, from);
        let chunks: Vec<Vec<Rule>> = self.rules.chunks(MAX_RULES).map(<[Rule]>::to_vec).collect();
        for (at, rules) in chunks.iter().enumerate() {
            let name = match at {
                0 => self.name.clone(),
                _ => context.out.name(self.kind.name(), &self.namespace, &self.name),
            };
            let mut spec = json!({ "parentRefs": self.parents, "rules": rules.iter().map(|rule| self.rule(rule)).collect::<Vec<_>>() });
            if !self.hostnames.is_empty() {
                spec["hostnames"] = json!(self.hostnames);
            }
            context.out.put(self.kind.name(), &self.namespace, &name, spec, from);
            for rule in rules.iter().filter(|rule| !rule.policy.is_empty()) {
                let policy =
                    context.out.name("TrafficPolicy", &self.namespace, &policy_name(&name, &rule.name));
                let mut spec = rule.policy.clone();
                let target = json!({ "kind": self.kind.name(), "name": name, "sectionName": rule.name });
                spec.insert("targetRefs".to_owned(), json!([target]));
                context.out.put("TrafficPolicy", &self.namespace, &policy, Value::Object(spec), from);
            }
        }
    }

    fn order(&mut self, context: &mut Context<'_>, from: &str) {
        if self.kind == Kind::Grpc {
            return;
        }
        self.rules.sort_by_key(|rule| rule.priority);
        let priorities: Vec<usize> = self.rules.iter().map(|rule| rule.priority).collect();
        let mut matches: Vec<Vec<Match>> = self.rules.iter().map(|rule| rule.matches.clone()).collect();
        let upsets = most_specific_first(&mut matches, |a, b| priorities.get(a) < priorities.get(b));
        for (rule, matches) in self.rules.iter_mut().zip(matches) {
            rule.matches = matches;
        }
        for upset in upsets {
            let name = |at: usize| self.rules.get(at).map(|rule| rule.name.clone()).unwrap_or_default();
            let text = format!(
                "rule `{}` comes before `{}` there; here the more specific match wins, and what both fit cannot be written. Make the matches exclude each other",
                name(upset.earlier),
                name(upset.later),
            );
            context.note(from, Effect::Behaviour, text);
        }
    }

    fn rule(&self, rule: &Rule) -> Value {
        let mut json = json!({ "name": rule.name });
        let matches: Vec<Value> = match self.kind {
            Kind::Http => rule.matches.iter().map(Match::json).collect(),
            Kind::Grpc => rule.calls.clone(),
        };
        let lists = [("matches", &matches), ("filters", &rule.filters), ("backendRefs", &rule.backends)];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            json[key] = json!(list);
        }
        if !rule.timeouts.is_empty() {
            json["timeouts"] = json!(rule.timeouts);
        }
        json
    }
}

/// The name of the policy of a rule.
pub(crate) fn policy_name(route: &str, rule: &str) -> String {
    format!("{route}-{rule}")
}

/// A name that no rule of the list has: Gateway API's section names are small letters, digits and `-`.
pub(crate) fn rule_name(wanted: Option<&str>, at: usize, rules: &[Rule]) -> String {
    let wanted = wanted.map_or_else(|| format!("rule-{}", at + 1), out::clean);
    let mut name = wanted.clone();
    let mut number = 2;
    while rules.iter().any(|rule| rule.name == name) {
        name = format!("{wanted}-{number}");
        number += 1;
    }
    name
}
