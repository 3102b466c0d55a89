//! What became of every field. Modules read a document by [`Node`]s and say of each what became of it; what nobody spoke of is told
//! as a field without counterpart. It must not know any mesh.

use std::cell::RefCell;

use serde::Serialize;
use serde_json::Value;

use crate::documents::Document;

/// What it means that something is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// No request is treated otherwise.
    None,
    /// Rare requests are treated otherwise; the words say which.
    Edge,
    /// Requests are treated otherwise.
    Behaviour,
    /// Calls are refused that went through.
    Stricter,
    /// Calls go through that were refused, unless something is done.
    Weaker,
}

impl Effect {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Edge => "edge",
            Self::Behaviour => "behaviour",
            Self::Stricter => "stricter",
            Self::Weaker => "weaker",
        }
    }
}

/// What became of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum Outcome {
    /// It stands there now.
    Converted {
        /// `KIND NAMESPACE/NAME`.
        object: String,
        /// The field of that object.
        field: String,
    },
    /// It stands there now, and does not mean quite the same.
    #[serde(rename_all = "camelCase")]
    Changed {
        /// `KIND NAMESPACE/NAME`.
        object: String,
        /// The field of that object.
        field: String,
        /// What that means.
        effect: Effect,
        /// The difference.
        reason: String,
    },
    /// There is no counterpart.
    #[serde(rename_all = "camelCase")]
    Lost {
        /// What leaving it out means.
        effect: Effect,
        /// Why there is none.
        reason: String,
        /// What to do.
        instead: String,
    },
    /// It says nothing about requests.
    Inert {
        /// Why.
        reason: String,
    },
}

/// A field, or a part with all that is in it, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Index of the document.
    pub document: usize,
    /// The path: `spec.http[0].route[1].weight`; empty for all of it.
    pub path: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// All entries.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: RefCell<Vec<Entry>>,
}

impl Ledger {
    /// The root of a document.
    pub(crate) fn root<'a>(&'a self, documents: &'a [Document], at: usize) -> Option<Node<'a>> {
        let value = &documents.get(at)?.value;
        Some(Node { value, path: String::new(), document: at, ledger: self })
    }

    /// Whether all of a part is spoken of.
    pub(crate) fn is_settled(&self, document: usize, path: &str) -> bool {
        let entries = self.entries.borrow();
        entries.iter().any(|entry| entry.document == document && covers(entry, path))
    }

    /// The first object that something of a document went into.
    pub(crate) fn first_object(&self, document: usize) -> Option<String> {
        self.entries.borrow().iter().filter(|entry| entry.document == document).find_map(|entry| match &entry
            .outcome
        {
            Outcome::Converted { object, .. } | Outcome::Changed { object, .. } => Some(object.clone()),
            Outcome::Lost { .. } | Outcome::Inert { .. } => None,
        })
    }

    /// All entries in the order of the documents, with one for each leaf that nobody spoke of.
    pub(crate) fn finish(self, documents: &[Document]) -> Vec<Entry> {
        let mut entries = self.entries.into_inner();
        let mut unknown = Vec::new();
        for (at, document) in documents.iter().enumerate() {
            let own: Vec<&Entry> = entries.iter().filter(|entry| entry.document == at).collect();
            for path in leaves(&document.value) {
                if !own.iter().any(|entry| covers(entry, &path)) {
                    let outcome = Outcome::Lost {
                        effect: Effect::Behaviour,
                        reason: "this field is not known here".to_owned(),
                        instead:
                            "look up what it does, and whether something of docs/reference/objects.md does it"
                                .to_owned(),
                    };
                    unknown.push(Entry { document: at, path, outcome });
                }
            }
        }
        entries.extend(unknown);
        entries.sort_by_key(|entry| entry.document);
        entries.dedup();
        entries
    }
}

/// What is in an object counts for its leaf alone; what is lost or inert counts for everything in it.
fn covers(entry: &Entry, path: &str) -> bool {
    match entry.outcome {
        Outcome::Converted { .. } | Outcome::Changed { .. } => entry.path == path,
        Outcome::Lost { .. } | Outcome::Inert { .. } => is_within(path, &entry.path),
    }
}

/// Whether `path` is `outer` or in it.
fn is_within(path: &str, outer: &str) -> bool {
    outer.is_empty()
        || path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The paths of every value that holds no other.
pub(crate) fn leaves(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), value)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(map) if !map.is_empty() => {
                open.extend(map.iter().map(|(key, value)| (below(&path, key), value)));
            }
            Value::Array(list) if !list.is_empty() => {
                open.extend(list.iter().enumerate().map(|(at, value)| (format!("{path}[{at}]"), value)));
            }
            _ => found.push(path),
        }
    }
    found.sort();
    found
}

fn below(path: &str, key: &str) -> String {
    let simple = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match (simple, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{key}]"),
    }
}

/// A part of a document.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    pub(crate) path: String,
    document: usize,
    ledger: &'a Ledger,
}

impl<'a> Node<'a> {
    /// A field that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key)?;
        let node = Node { value, path: below(&self.path, key), ..self.clone() };
        if value.is_null() {
            node.inert("null says nothing");
            return None;
        }
        Some(node)
    }

    /// A field of a field.
    pub(crate) fn at(&self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self.clone(), |node, key| node.get(key))
    }

    /// The entries of a list, or of a list in a field.
    pub(crate) fn items(&self) -> Vec<Self> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .enumerate()
            .map(|(at, value)| Node { value, path: format!("{}[{at}]", self.path), ..self.clone() })
            .collect()
    }

    pub(crate) fn list(&self, key: &str) -> Vec<Self> {
        self.get(key).map(|node| node.items()).unwrap_or_default()
    }

    /// The fields of a map.
    pub(crate) fn fields(&self) -> Vec<(&'a str, Self)> {
        let map = self.value.as_object().into_iter().flatten();
        map.map(|(key, value)| (key.as_str(), Node { value, path: below(&self.path, key), ..self.clone() }))
            .collect()
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// A text in a field.
    pub(crate) fn text_of(&self, key: &str) -> Option<&'a str> {
        self.value.get(key)?.as_str()
    }

    pub(crate) fn number(&self) -> Option<f64> {
        self.value.as_f64().or_else(|| self.text()?.parse().ok())
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        self.value.as_i64().or_else(|| self.text()?.parse().ok())
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.integer().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
    }

    pub(crate) fn is_true(&self) -> bool {
        self.value.as_bool() == Some(true)
    }

    pub(crate) fn is_leaf(&self) -> bool {
        match self.value {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => true,
        }
    }

    fn say(&self, outcome: Outcome) {
        let entry = Entry { document: self.document, path: self.path.clone(), outcome };
        self.ledger.entries.borrow_mut().push(entry);
    }

    /// This leaf stands in an object now.
    pub(crate) fn to(&self, object: &str, field: impl Into<String>) {
        if self.is_leaf() {
            self.say(Outcome::Converted { object: object.to_owned(), field: field.into() });
        }
    }

    /// This part stands in an object as it is, with everything in it.
    pub(crate) fn whole(&self, object: &str, field: &str) {
        if self.is_leaf() {
            self.to(object, field);
        }
        let below_here = |node: &Self| {
            let rest = node.path.strip_prefix(&self.path).unwrap_or_default();
            node.whole(object, &format!("{field}{rest}"));
        };
        // One level at a time: `whole` of what is in it adds its own rest.
        for (_, node) in self.fields() {
            below_here(&node);
        }
        for node in self.items() {
            below_here(&node);
        }
    }

    /// As [`Self::to`], with a difference.
    pub(crate) fn changed(
        &self,
        object: &str,
        field: impl Into<String>,
        effect: Effect,
        reason: impl Into<String>,
    ) {
        let (object, field, reason) = (object.to_owned(), field.into(), reason.into());
        if self.is_leaf() {
            self.say(Outcome::Changed { object, field, effect, reason });
            return;
        }
        for path in leaves(self.value) {
            let dot = if path.starts_with('[') || self.path.is_empty() { "" } else { "." };
            let outcome = Outcome::Changed {
                object: object.clone(),
                field: field.clone(),
                effect,
                reason: reason.clone(),
            };
            let entry = Entry { document: self.document, path: format!("{}{dot}{path}", self.path), outcome };
            self.ledger.entries.borrow_mut().push(entry);
        }
    }

    /// There is no counterpart of this part.
    pub(crate) fn lost(&self, effect: Effect, reason: impl Into<String>, instead: impl Into<String>) {
        self.say(Outcome::Lost { effect, reason: reason.into(), instead: instead.into() });
    }

    /// This part says nothing about requests.
    pub(crate) fn inert(&self, reason: impl Into<String>) {
        self.say(Outcome::Inert { reason: reason.into() });
    }

    /// The field of that name is inert, if it is there.
    pub(crate) fn inert_field(&self, key: &str, reason: &str) {
        if let Some(node) = self.get(key) {
            node.inert(reason);
        }
    }

    /// The field of that name is lost, if it is there.
    pub(crate) fn lost_field(&self, key: &str, effect: Effect, reason: &str, instead: &str) {
        if let Some(node) = self.get(key) {
            node.lost(effect, reason, instead);
        }
    }
}
