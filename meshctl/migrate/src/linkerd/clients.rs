//! Who may call, as Linkerd says it, as entries of `from`. Never laxer: what cannot be written fits nobody.

use serde_json::{Map, Value, json};

use crate::ledger::{Effect, Node};

/// What callers must be: every entry is one way, and `when` holds for all of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clients {
    /// Absent: everybody.
    pub(super) from: Option<Vec<Map<String, Value>>>,
    /// Whether a certificate of the mesh is asked for, of whomever.
    pub(super) any_member: bool,
}

impl Clients {
    pub(super) const EVERYBODY: Self = Self { from: None, any_member: false };

    /// Both must hold. `None`: it cannot be written.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        let any_member = self.any_member || other.any_member;
        let from = match (self.from, other.from) {
            (None, one) | (one, None) => one,
            (Some(one), Some(two)) => {
                let pairs = one.iter().flat_map(|a| two.iter().map(move |b| merged(a, b)));
                Some(pairs.collect::<Option<Vec<_>>>()?)
            }
        };
        Some(Self { from, any_member })
    }

    /// Rules of an AuthorizationPolicy, each with what is called.
    pub(super) fn rule(&self, to: &[Value], when: &[Value]) -> Value {
        let mut json = Map::new();
        if let Some(from) = &self.from {
            json.insert("from".to_owned(), json!(from));
        }
        if !to.is_empty() {
            json.insert("to".to_owned(), json!(to));
        }
        let mut all = when.to_vec();
        let named = |entry: &Map<String, Value>| entry.keys().any(|list| list != "cidrs" && list != "not");
        if self.any_member && !self.from.as_ref().is_some_and(|from| from.iter().all(named)) {
            all.push(json!({ "cel": "connection.mtls" }));
        }
        if !all.is_empty() {
            json.insert("when".to_owned(), json!(all));
        }
        Value::Object(json)
    }
}

/// Both entries in one. `None`: they have different lists of one name.
fn merged(one: &Map<String, Value>, two: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut both = one.clone();
    for (key, value) in two {
        if both.insert(key.clone(), value.clone()).is_some_and(|known| known != *value) {
            return None;
        }
    }
    Some(both)
}

fn entry(list: &str, values: Vec<Value>) -> Map<String, Value> {
    Map::from_iter([(list.to_owned(), json!(values))])
}

/// Identities such as `web.shop.serviceaccount.identity.linkerd.cluster.local`, `*.shop.serviceaccount…` and `*`.
pub(super) fn identities(nodes: &[Node<'_>], label: &str) -> Clients {
    let (mut accounts, mut namespaces, mut others, mut any) = (Vec::new(), Vec::new(), Vec::new(), false);
    for node in nodes {
        let text = node.text().unwrap_or_default();
        let own =
            text.split_once(".serviceaccount.identity.").map(|(own, _)| own.split('.').collect::<Vec<_>>());
        match (text, own.as_deref()) {
            ("*", _) => any = true,
            (_, Some(["*", namespace])) => namespaces.push(json!(namespace)),
            (_, Some([account, namespace])) => accounts.push(json!(format!("{namespace}/{account}"))),
            (spiffe, _) if spiffe.starts_with("spiffe://") && !spiffe.contains('*') => {
                others.push(json!(spiffe));
            }
            _ => {
                node.lost(
                    Effect::Stricter,
                    "is no identity that can be written here; nobody is let in by it",
                    "from[].serviceAccounts: NAMESPACE/NAME",
                );
                continue;
            }
        }
        node.to(label, "spec.rules[].from[]");
    }
    if any {
        return Clients { from: None, any_member: true };
    }
    let lists = [("serviceAccounts", accounts), ("namespaces", namespaces), ("identities", others)];
    let from = lists
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(list, values)| entry(list, values))
        .collect();
    Clients { from: Some(from), any_member: true }
}

/// References to service accounts: `{name, namespace}`.
pub(super) fn accounts(nodes: &[Node<'_>], namespace: &str, label: &str) -> Clients {
    let (mut accounts, mut namespaces) = (Vec::new(), Vec::new());
    for node in nodes {
        let of = node.text_of("namespace").unwrap_or(namespace);
        let name = node.text_of("name").unwrap_or_default();
        node.whole(label, "spec.rules[].from[].serviceAccounts");
        match node.text_of("kind") {
            Some("Namespace") => namespaces.push(json!(name)),
            _ => accounts.push(json!(format!("{of}/{name}"))),
        }
    }
    let lists = [("serviceAccounts", accounts), ("namespaces", namespaces)];
    let from = lists
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(list, values)| entry(list, values))
        .collect();
    Clients { from: Some(from), any_member: true }
}

/// Networks: `{cidr, except}`.
pub(super) fn networks(nodes: &[Node<'_>], label: &str) -> Clients {
    let mut from = Vec::new();
    for node in nodes {
        let Some(cidr) = node.get("cidr") else { continue };
        cidr.to(label, "spec.rules[].from[].cidrs");
        let mut json = entry("cidrs", vec![cidr.value().clone()]);
        if let Some(except) = node.get("except") {
            except.whole(label, "spec.rules[].from[].not.cidrs");
            let list =
                if except.value().is_array() { except.value().clone() } else { json!([except.value()]) };
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                json.insert("not".to_owned(), json!({ "cidrs": list }));
            }
        }
        from.push(json);
    }
    Clients { from: Some(from), any_member: false }
}
