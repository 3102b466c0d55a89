//! Fields of `source`, `operation` and `when`. They must not know rules.

use serde_json::{Value, json};

use super::patterns::{self, Pattern};
use super::{Action, Written};
use crate::ledger::{Effect, Node};

/// A list of values and whether they must not fit.
fn values<'a>(node: &Node<'a>) -> Vec<&'a str> {
    node.items().iter().filter_map(Node::text).collect()
}

/// A field of `source` or `operation`.
pub(super) fn field(key: &str, node: &Node<'_>, action: Action, label: &str) -> Written {
    let (bare, negated) = match key.strip_prefix("not") {
        Some(rest) => (lower_first(rest), true),
        None => (key.to_owned(), false),
    };
    let given = values(node);
    let written = match bare.as_str() {
        "principals" => patterns::principals(&given, negated),
        "namespaces" => patterns::names("namespaces", "source.namespace", &given, negated),
        "serviceAccounts" => Written::literal("serviceAccounts", &given, negated),
        "requestPrincipals" => patterns::request_principals(&given, negated),
        "ipBlocks" => Written::literal("cidrs", &given, negated),
        "hosts" => patterns::hosts(&given, negated),
        "ports" => ports(&given, negated),
        "methods" => patterns::methods(&given, negated),
        "paths" => patterns::paths(&given, negated, action),
        _ => Written::Unknown,
    };
    told(node, written, action, label, &bare)
}

/// An entry of `when`.
pub(super) fn when(node: &Node<'_>, action: Action, label: &str) -> Written {
    let key = node.text_of("key").unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for (list, negated) in [("values", false), ("notValues", true)] {
        let Some(given) = node.get(list) else { continue };
        let texts = values(&given);
        let written = condition(&key, &texts, negated);
        all.push(told(&given, written, action, label, "when"));
    }
    if let Some(name) = node.get("key") {
        let known = !all.contains(&Written::Unknown);
        if known { name.to(label, "spec.rules[].when") } else { name.inert("told at its values") }
    }
    if all.is_empty() { Written::Unknown } else { Written::All(all) }
}

fn condition(key: &str, given: &[&str], negated: bool) -> Written {
    if let Some(name) = inside(key, "request.headers") {
        return patterns::header(name, given, negated);
    }
    if key.starts_with("request.auth.claims") {
        return patterns::claim(&path(key), given, negated);
    }
    match key {
        "source.principal" => patterns::principals(given, negated),
        "source.namespace" => patterns::names("namespaces", "source.namespace", given, negated),
        "source.serviceAccount" => Written::literal("serviceAccounts", given, negated),
        "source.ip" => Written::literal("cidrs", given, negated),
        "request.auth.principal" => patterns::request_principals(given, negated),
        "request.auth.audiences" => patterns::claim("aud", given, negated),
        "request.auth.presenter" => patterns::claim("azp", given, negated),
        "destination.port" => patterns::port(given, negated),
        "connection.sni" => patterns::text("connection.sni", "has(connection.sni)", given, negated),
        _ => Written::Unknown,
    }
}

/// `request.headers[NAME]`.
fn inside<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    key.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')
}

/// `request.auth.claims[a][b]` as a JSON Pointer, `[a]` as a name.
fn path(key: &str) -> String {
    let parts: Vec<&str> = key.split('[').skip(1).map(|part| part.trim_end_matches(']')).collect();
    match parts.as_slice() {
        [one] if !one.contains('/') => (*one).to_owned(),
        parts => parts
            .iter()
            .flat_map(|part| ["/".to_owned(), part.replace('~', "~0").replace('/', "~1")])
            .collect(),
    }
}

fn ports(given: &[&str], negated: bool) -> Written {
    let numbers: Vec<Value> =
        given.iter().filter_map(|port| port.parse::<u16>().ok()).map(|port| json!(port)).collect();
    if numbers.len() < given.len() || numbers.is_empty() {
        return Written::Unknown;
    }
    if negated { Written::Not("ports", numbers) } else { Written::List("ports", numbers) }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_lowercase().to_string() + chars.as_str()).unwrap_or_default()
}

/// Says what became of the values.
fn told(node: &Node<'_>, written: Written, action: Action, label: &str, what: &str) -> Written {
    let field = match &written {
        Written::Unknown => {
            let reason = format!("a condition of this kind cannot be written here ({what})");
            let instead = match action {
                Action::Allow => {
                    "its rule is left out, so that what it allowed is refused; write another rule"
                }
                Action::Deny => {
                    "its rule denies without it, and so more; write another condition, such as a header or an expression"
                }
            };
            node.lost(Effect::Stricter, reason, instead);
            return written;
        }
        Written::List(list, _) => format!("spec.rules[].{}.{list}", side(list)),
        Written::Not(list, _) => format!("spec.rules[].{}.not.{list}", side(list)),
        Written::All(_) => format!("spec.rules[].{}", side(what)),
        Written::Cel(_) | Written::When(_) => "spec.rules[].when".to_owned(),
    };
    node.whole(label, &field);
    written
}

fn side(list: &str) -> &'static str {
    if ["identities", "namespaces", "serviceAccounts", "trustDomains", "cidrs", "principals"].contains(&list)
    {
        "from[]"
    } else {
        "to[]"
    }
}

impl Written {
    /// A list of names in which nothing is a pattern.
    pub(super) fn literal(list: &'static str, given: &[&str], negated: bool) -> Self {
        let literal = given.iter().all(|text| Pattern::parse(text) == Pattern::Exact(text));
        let values = given.iter().map(|text| json!(text)).collect();
        match (literal && !given.is_empty(), negated) {
            (false, _) => Self::Unknown,
            (true, false) => Self::List(list, values),
            (true, true) => Self::Not(list, values),
        }
    }
}
