//! Where two answers differ. It must not know which of several pairs it looks at, nor what a difference is worth.
//!
//! Which entry of an array it is does not count (`$.items[*].id`), nor a key that looks like an identifier or an address (`$.users.*.name`):
//! such places are many, and they would tell who was asked about.

use std::collections::BTreeMap;

use mesh_model::compare::{Compare, JsonPath, Step};
use serde_json::Value;

use crate::answer::Answer;

#[cfg(test)]
mod tests;

/// Places at which one pair may differ; more are counted.
pub const MAX_FOUND: usize = 64;
/// Bytes of a place.
pub const MAX_PLACE: usize = 200;
/// Bytes of an example's side.
pub const MAX_EXAMPLE: usize = 64;
/// Keys beyond it are not written.
const MAX_KEY: usize = 48;

/// Headers whose values are shown to nobody; and so are those with one of [`SECRET_PARTS`] in their name.
const SECRET: [&str; 4] = ["authorization", "cookie", "set-cookie", "proxy-authorization"];
const SECRET_PARTS: [&str; 6] = ["token", "secret", "password", "api-key", "apikey", "session"];

/// How a place differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Another value of the same type.
    Value,
    /// A value of another type.
    Type,
    /// Only the stable version has it.
    Missing,
    /// Only the other one has it.
    Added,
    /// As many bytes or entries are not the same.
    Length,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Value, Self::Type, Self::Missing, Self::Added, Self::Length];

    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Type => "type",
            Self::Missing => "missing",
            Self::Added => "added",
            Self::Length => "length",
        }
    }
}

/// A place where two answers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `status`, `grpc-status`, `answer`, `header NAME`, `body`, or a path in JSON.
    pub place: String,
    /// How.
    pub kind: Kind,
    /// What the stable version says: a status, a type, a length; a value only if values are asked for.
    pub stable: String,
    /// And the other one.
    pub other: String,
}

/// All differences of a pair, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// By place.
    pub all: Vec<Difference>,
    /// Those that found no room.
    pub dropped: u64,
}

impl Found {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.dropped == 0
    }
}

/// Compares the answer of the stable version with another one; `None`: there was no answer.
pub fn differences(compare: &Compare, stable: &Answer, other: Option<&Answer>) -> Found {
    let mut walk = Walk { compare, steps: JsonPath::default(), bytes: 1, found: BTreeMap::new(), dropped: 0 };
    match other {
        None => walk.note("answer".to_owned(), Kind::Missing, "there", ""),
        Some(other) => {
            walk.heads(stable, other);
            if compare.body {
                walk.bodies(stable, other);
            }
        }
    }
    let one = |((place, kind), (stable, other))| Difference { place, kind, stable, other };
    Found { all: walk.found.into_iter().map(one).collect(), dropped: walk.dropped }
}

/// A pair on the way down.
struct Walk<'a> {
    compare: &'a Compare,
    steps: JsonPath,
    /// Of the steps, as they are written.
    bytes: usize,
    found: BTreeMap<(String, Kind), (String, String)>,
    dropped: u64,
}

impl Walk<'_> {
    fn note(&mut self, place: String, kind: Kind, stable: impl Into<String>, other: impl Into<String>) {
        let key = (place, kind);
        if self.found.contains_key(&key) {
            return;
        }
        if self.found.len() >= MAX_FOUND {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.found.insert(key, (stable.into(), other.into()));
    }

    fn heads(&mut self, stable: &Answer, other: &Answer) {
        if stable.status != other.status {
            let text = |answer: &Answer| answer.status.to_string();
            self.note("status".to_owned(), Kind::Value, text(stable), text(other));
        }
        if stable.grpc_status != other.grpc_status {
            let text = |answer: &Answer| cut(answer.grpc_status.as_deref().unwrap_or_default());
            let kind = both(stable.grpc_status.as_ref(), other.grpc_status.as_ref());
            self.note("grpc-status".to_owned(), kind, text(stable), text(other));
        }
        let compare = self.compare;
        for (name, (one, two)) in compare.headers.iter().zip(stable.headers.iter().zip(&other.headers)) {
            if one == two {
                continue;
            }
            let is_shown = compare.values && !is_secret(name);
            let text = |value: &Option<Vec<u8>>| match value {
                Some(value) if is_shown => cut(&String::from_utf8_lossy(value)),
                Some(_) | None => String::new(),
            };
            let place = cut_to(&format!("header {name}"), MAX_PLACE);
            self.note(place, both(one.as_ref(), two.as_ref()), text(one), text(two));
        }
    }

    fn bodies(&mut self, stable: &Answer, other: &Answer) {
        let (one, two) = (&stable.content, &other.content);
        if one.hash() == two.hash() && one.length() == two.length() {
            return;
        }
        match (one.json(), two.json()) {
            (Some(one), Some(two)) => self.values(&one, &two),
            (Some(_), None) => self.note("body".to_owned(), Kind::Type, "JSON", "no JSON"),
            (None, Some(_)) => self.note("body".to_owned(), Kind::Type, "no JSON", "JSON"),
            (None, None) if one.length() != two.length() => {
                let text = |length: u64| format!("{length} bytes");
                self.note("body".to_owned(), Kind::Length, text(one.length()), text(two.length()));
            }
            (None, None) => self.note("body".to_owned(), Kind::Value, "", ""),
        }
    }

    fn values(&mut self, one: &Value, two: &Value) {
        if self.compare.ignore.iter().any(|path| path.is(&self.steps.0)) {
            return;
        }
        match (one, two) {
            (Value::Object(one), Value::Object(two)) => {
                for (key, value) in one {
                    self.down(key_step(key), Some(value), two.get(key));
                }
                for (key, value) in two.iter().filter(|(key, _)| !one.contains_key(*key)) {
                    self.down(key_step(key), None, Some(value));
                }
            }
            (Value::Array(one), Value::Array(two)) => {
                if one.len() != two.len() {
                    let text = |length: usize| format!("{length} entries");
                    self.note(self.steps.to_string(), Kind::Length, text(one.len()), text(two.len()));
                }
                for (one, two) in one.iter().zip(two) {
                    self.down(Step::Entry, Some(one), Some(two));
                }
            }
            (one, two) if is_same(one, two) => {}
            (one, two) => {
                let kind = if type_of(one) == type_of(two) { Kind::Value } else { Kind::Type };
                let (stable, other) = match kind {
                    // That both are texts says nothing.
                    Kind::Value if !self.compare.values => Default::default(),
                    _ => (self.shown(one), self.shown(two)),
                };
                self.note(self.steps.to_string(), kind, stable, other);
            }
        }
    }

    /// One step down; a place that is too long to be told differs above.
    fn down(&mut self, step: Step, one: Option<&Value>, two: Option<&Value>) {
        let bytes = match &step {
            Step::Key(key) => key.len() + 4,
            Step::AnyKey | Step::Entry => 3,
        };
        if self.bytes + bytes > MAX_PLACE {
            if one != two {
                self.note(self.steps.to_string(), Kind::Value, "", "");
            }
            return;
        }
        self.bytes += bytes;
        self.steps.0.push(step);
        match (one, two) {
            (Some(one), Some(two)) => self.values(one, two),
            (one, two) if !self.compare.ignore.iter().any(|path| path.is(&self.steps.0)) => {
                let shown = |value: Option<&Value>| value.map(|it| self.shown(it)).unwrap_or_default();
                let (stable, other) = (shown(one), shown(two));
                self.note(self.steps.to_string(), both(one, two), stable, other);
            }
            (_, _) => {}
        }
        self.steps.0.pop();
        self.bytes -= bytes;
    }

    /// A value, or its type.
    fn shown(&self, value: &Value) -> String {
        match value {
            Value::Object(_) | Value::Array(_) => type_of(value).to_owned(),
            scalar if self.compare.values => cut(&scalar.to_string()),
            scalar => type_of(scalar).to_owned(),
        }
    }
}

fn both<T>(one: Option<&T>, two: Option<&T>) -> Kind {
    match (one, two) {
        (Some(_), None) => Kind::Missing,
        (None, Some(_)) => Kind::Added,
        (Some(_), Some(_)) | (None, None) => Kind::Value,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// 1 and 1.0 are the same number.
fn is_same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => {
            one == two || ((one.is_f64() || two.is_f64()) && one.as_f64() == two.as_f64())
        }
        (one, two) => one == two,
    }
}

/// A key as a step, without one that is rather a value: a number, an identifier, an address, a long text.
fn key_step(key: &str) -> Step {
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    let is_identifier =
        key.len() >= 16 && digits > 0 && key.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b'_');
    let is_number = digits > 0 && key.bytes().all(|b| b.is_ascii_digit() || b"-.:".contains(&b));
    let is_value = key.is_empty()
        || key.len() > MAX_KEY
        || is_identifier
        || is_number
        || key.contains(['@', '"', '\\'])
        || key.chars().any(char::is_control);
    if is_value { Step::AnyKey } else { Step::Key(key.to_owned()) }
}

fn is_secret(name: &str) -> bool {
    SECRET.contains(&name) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

fn cut(text: &str) -> String {
    cut_to(text, MAX_EXAMPLE)
}

/// At most so many bytes of it, at the border of a character.
fn cut_to(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}
