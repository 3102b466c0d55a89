//! AuthorizationPolicies. Never laxer: a condition that cannot be written takes its rule out of a policy that allows, and is taken out of its
//! rule where the policy denies; both refuse more, and both are told.

mod conditions;
mod patterns;

use serde_json::{Map, Value, json};

use super::ROOT_NAMESPACE;
use super::authentication::selector;
use crate::Context;
use crate::ledger::{Effect, Node};
use crate::out::named;

/// What becomes of calls that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    Deny,
}

/// A condition, as it can be written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Written {
    /// A list of an entry.
    List(&'static str, Vec<Value>),
    /// A list below `not`.
    Not(&'static str, Vec<Value>),
    /// Several of these.
    All(Vec<Self>),
    /// An expression.
    Cel(String),
    /// An entry of `when`.
    When(Value),
    /// It cannot be.
    Unknown,
}

/// An entry of `from` or `to`.
#[derive(Debug, Clone, Default)]
struct Part {
    lists: Map<String, Value>,
    when: Vec<Value>,
}

impl Part {
    /// Adds a condition; `false`: the whole entry cannot be written.
    fn add(&mut self, written: Written, action: Action) -> bool {
        match written {
            Written::List(list, values) => match self.lists.get(list) {
                None => {
                    self.lists.insert(list.to_owned(), json!(values));
                    true
                }
                // Both would have to fit, and a list is one of its values.
                Some(_) => action == Action::Deny,
            },
            Written::Not(list, values) => {
                let not = self.lists.entry("not").or_insert_with(|| json!({}));
                let known = not.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
                not[list] = json!([known, values].concat());
                true
            }
            Written::All(all) => all.into_iter().all(|one| self.add(one, action)),
            Written::Cel(text) => {
                self.when.push(json!({ "cel": text }));
                true
            }
            Written::When(value) => {
                self.when.push(value);
                true
            }
            Written::Unknown => action == Action::Deny,
        }
    }
}

pub(super) fn run(context: &mut Context<'_>, at: usize) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(root) = context.ledger.root(context.documents, at) else { return };
    // Istio's own shortest form: an empty spec allows nothing.
    let Some(spec) = root.get("spec") else { return };
    let (name, label) = named(context, "AuthorizationPolicy", &namespace, document.name());
    let mut json = Map::new();
    if !targets(&spec, &label, &mut json) {
        context.note(&from, Effect::Weaker, "it is attached to what the mesh does not serve, and is not carried over: whoever serves that has to enforce it");
        return;
    }
    let (word, action, audit) = action(&spec, &label);
    json.insert("action".to_owned(), json!(word));
    if audit {
        json.insert("auditAs".to_owned(), json!("Deny"));
    }
    spec.lost_field(
        "provider",
        Effect::Stricter,
        "who is asked is named in the object: without it every call that fits is denied",
        "action: External, external.backendRef: the Service that is asked",
    );
    let mut rules = Vec::new();
    let given = spec.list("rules");
    for rule in &given {
        rules.extend(self::rule(rule, action, &label));
    }
    for key in ["rules", "action"] {
        if let Some(empty) = spec.get(key).filter(|node| node.is_leaf() && node.value().is_array()) {
            empty.to(&label, "spec.rules");
        }
    }
    if spec.is_leaf() {
        spec.to(&label, "spec.action");
    }
    if rules.is_empty() && action == Action::Deny {
        context.note(
            &from,
            Effect::None,
            "a policy that denies and has no rules denies nothing: there is no object",
        );
        return;
    }
    if !rules.is_empty() {
        json.insert("rules".to_owned(), json!(rules));
    }
    put(context, &namespace, &name, json, &from);
}

/// A policy of Istio's root namespace holds everywhere.
fn put(context: &mut Context<'_>, namespace: &str, name: &str, json: Map<String, Value>, from: &str) {
    context.out.put("AuthorizationPolicy", namespace, name, Value::Object(json.clone()), from);
    if namespace != ROOT_NAMESPACE {
        return;
    }
    let others: Vec<String> =
        context.world.namespaces().iter().filter(|one| *one != ROOT_NAMESPACE).cloned().collect();
    for other in others {
        let (name, _) = named(context, "AuthorizationPolicy", &other, name);
        context.out.put("AuthorizationPolicy", &other, &name, Value::Object(json.clone()), from);
    }
    context.note(
        from,
        Effect::Weaker,
        "it holds for the whole mesh there; here there is a copy for each namespace of the files. Write one for every other namespace",
    );
}

/// Whether the policy is attached to something that the mesh serves.
fn targets(spec: &Node<'_>, label: &str, json: &mut Map<String, Value>) -> bool {
    selector(spec, label, json);
    let mut refs = spec.list("targetRefs");
    refs.extend(spec.get("targetRef"));
    if refs.is_empty() {
        return true;
    }
    let mut targets = Vec::new();
    for one in refs {
        if one.text_of("kind") == Some("Service") {
            one.whole(label, "spec.targetRefs[]");
            targets.push(json!({ "kind": "Service", "name": one.text_of("name") }));
        } else {
            one.lost(
                Effect::Weaker,
                "policies are attached to Services and workloads",
                "enforce it where it is served, or at the workloads behind it",
            );
        }
    }
    if targets.is_empty() {
        for key in ["rules", "action", "provider"] {
            spec.lost_field(key, Effect::Weaker, "as targetRefs", "as targetRefs");
        }
        return false;
    }
    json.insert("targetRefs".to_owned(), json!(targets));
    true
}

fn action(spec: &Node<'_>, label: &str) -> (&'static str, Action, bool) {
    let field = "spec.action";
    let Some(node) = spec.get("action") else { return ("Allow", Action::Allow, false) };
    match node.text() {
        Some("ALLOW") => {
            node.to(label, field);
            ("Allow", Action::Allow, false)
        }
        Some("AUDIT") => {
            node.changed(
                label,
                field,
                Effect::None,
                "calls that fit are recorded as ones that would be denied",
            );
            ("Audit", Action::Deny, true)
        }
        Some("DENY") => {
            node.to(label, field);
            ("Deny", Action::Deny, false)
        }
        _ => {
            node.changed(
                label,
                field,
                Effect::Stricter,
                "who is asked is not known: every call that fits is denied until action: External says it",
            );
            ("Deny", Action::Deny, false)
        }
    }
}

/// The rules that a rule becomes: several where an entry needs an expression, since those hold for a whole rule.
fn rule(node: &Node<'_>, action: Action, label: &str) -> Vec<Value> {
    if node.is_leaf() {
        node.to(label, "spec.rules[]");
        return vec![json!({})];
    }
    let froms = entries(node, "from", "source", action, label);
    let tos = entries(node, "to", "operation", action, label);
    let mut shared = Part::default();
    let mut writable = true;
    for condition in node.list("when") {
        let written = conditions::when(&condition, action, label);
        writable &= shared.add(written, action);
    }
    // An address of `when` is one of `from` here.
    let (Some(mut froms), Some(tos), true) = (froms, tos, writable) else { return Vec::new() };
    if !shared.lists.is_empty() {
        if froms.is_empty() {
            froms.push(Part::default());
        }
        for from in &mut froms {
            for (list, values) in &shared.lists {
                if from.lists.contains_key(list) && action == Action::Allow {
                    return Vec::new();
                }
                from.lists.entry(list.clone()).or_insert_with(|| values.clone());
            }
        }
    }
    combine(&froms, &tos, &shared.when)
}

/// `None`: entries were written, and none of them is left.
fn entries(node: &Node<'_>, list: &str, inner: &str, action: Action, label: &str) -> Option<Vec<Part>> {
    let given = node.list(list);
    let mut parts = Vec::new();
    for entry in &given {
        let mut part = Part::default();
        let mut fine = true;
        for (key, field) in entry.get(inner).map(|inner| inner.fields()).unwrap_or_default() {
            let written = conditions::field(key, &field, action, label);
            fine &= part.add(written, action);
        }
        if fine {
            parts.push(part);
        }
    }
    // An entry that says nothing fits everybody, and so do all together.
    if parts.iter().any(|part| part.lists.is_empty() && part.when.is_empty()) {
        return Some(Vec::new());
    }
    (given.is_empty() || !parts.is_empty()).then_some(parts)
}

fn combine(froms: &[Part], tos: &[Part], when: &[Value]) -> Vec<Value> {
    let plain = froms.iter().chain(tos).all(|part| part.when.is_empty());
    let rule = |froms: &[&Part], tos: &[&Part]| {
        let mut json = Map::new();
        let lists = |parts: &[&Part]| -> Vec<Value> {
            parts
                .iter()
                .filter(|part| !part.lists.is_empty())
                .map(|part| Value::Object(part.lists.clone()))
                .collect()
        };
        let all: Vec<&Value> = froms.iter().chain(tos).flat_map(|part| &part.when).chain(when).collect();
        for (key, list) in [("from", lists(froms)), ("to", lists(tos))] {
            if !list.is_empty() {
                json.insert(key.to_owned(), json!(list));
            }
        }
        if !all.is_empty() {
            json.insert("when".to_owned(), json!(all));
        }
        Value::Object(json)
    };
    if plain {
        return vec![rule(&froms.iter().collect::<Vec<_>>(), &tos.iter().collect::<Vec<_>>())];
    }
    let nobody = [Part::default()];
    let froms = if froms.is_empty() { &nobody[..] } else { froms };
    let tos = if tos.is_empty() { &nobody[..] } else { tos };
    froms.iter().flat_map(|from| tos.iter().map(|to| rule(&[from], &[to]))).collect()
}
