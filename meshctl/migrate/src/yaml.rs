//! Objects as YAML, keys in the order in which people write them. It must not know what they mean.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::out::Object;

/// Keys that come first, in this order; the others follow by name.
const FIRST: [&str; 14] = [
    "apiVersion",
    "kind",
    "group",
    "type",
    "name",
    "namespace",
    "port",
    "annotations",
    "metadata",
    "spec",
    "targetRefs",
    "parentRefs",
    "hostnames",
    "matches",
];

/// One file of all objects, each with a comment that says where it came from.
pub fn yaml(objects: &[Object]) -> String {
    let mut out = String::new();
    for object in objects {
        let _ = writeln!(out, "---\n# from {}", object.from.join(", ").replace('\n', " "));
        if let Value::Object(map) = &object.value {
            fields(map, 0, &mut out);
        }
    }
    out
}

fn fields(map: &Map<String, Value>, depth: usize, out: &mut String) {
    let mut keys: Vec<&String> = map.keys().collect();
    let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    keys.sort_by(|a, b| (rank(a), a).cmp(&(rank(b), b)));
    for (at, key) in keys.into_iter().enumerate() {
        if at > 0 || depth == 0 {
            let _ = write!(out, "{}", "  ".repeat(depth));
        }
        let _ = write!(out, "{}:", text(key));
        if let Some(value) = map.get(key) {
            below(value, depth, out);
        }
    }
}

/// What follows `KEY:`.
fn below(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let _ = write!(out, "\n{}", "  ".repeat(depth + 1));
            fields(map, depth + 1, out);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            for item in list {
                let _ = write!(out, "{}- ", "  ".repeat(depth + 1));
                match item {
                    Value::Object(map) if !map.is_empty() => fields(map, depth + 2, out),
                    Value::Array(_) => {
                        let _ = writeln!(out, "{item}");
                    }
                    scalar => {
                        let _ = writeln!(out, "{}", word(scalar));
                    }
                }
            }
        }
        scalar => {
            let _ = writeln!(out, " {}", word(scalar));
        }
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(value) => text(value),
        other => other.to_string(),
    }
}

/// Plain where nothing else could be meant, else in double quotes.
fn text(value: &str) -> String {
    let plain = value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/' || b == b'_')
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    let meant_otherwise = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        .contains(&value.to_ascii_lowercase().as_str());
    if plain && !meant_otherwise { value.to_owned() } else { Value::from(value).to_string() }
}
