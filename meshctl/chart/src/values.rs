//! Values as people give them: files over defaults, `key=value` over files. Pure.

use serde_json::{Map, Value};

/// Why a `key=value` was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pair}`: {what}; write KEY=VALUE, such as controller.replicas=3")]
pub struct SetError {
    pair: String,
    what: String,
}

/// Lays `over` on `base`: maps are merged key by key, everything else is replaced.
pub fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// Sets one value: `a.b=c`. `true`, `false`, `null`, integers and lists in braces are read as such; a dot of a key is
/// written `\.`.
pub fn set(values: &mut Value, pair: &str) -> Result<(), SetError> {
    let fault = |what: &str| SetError { pair: pair.to_owned(), what: what.to_owned() };
    let (path, text) = pair.split_once('=').ok_or_else(|| fault("there is no ="))?;
    let mut over = scalar(text);
    for key in keys(path).into_iter().rev() {
        if key.is_empty() {
            return Err(fault("a key is empty"));
        }
        over = Value::Object(Map::from_iter([(key, over)]));
    }
    merge(values, over);
    Ok(())
}

fn keys(path: &str) -> Vec<String> {
    let (mut keys, mut current, mut escaped) = (Vec::new(), String::new(), false);
    for c in path.chars() {
        match c {
            _ if escaped => {
                current.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' => keys.push(std::mem::take(&mut current)),
            _ => current.push(c),
        }
    }
    keys.push(current);
    keys
}

fn scalar(text: &str) -> Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        "null" => Value::Null,
        _ => {
            if let Some(list) = text.strip_prefix('{').and_then(|list| list.strip_suffix('}')) {
                let elements = list.split(',').map(str::trim).filter(|element| !element.is_empty());
                return elements.map(scalar).collect::<Vec<_>>().into();
            }
            let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            number.map_or_else(|| text.into(), Value::from)
        }
    }
}

/// What is different, as `path: before → after`, in the order of the paths.
pub fn diff(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut changes);
    changes
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Keys and positions: `spec.containers[0].image`.
    pub path: String,
    /// What it was; None where there was none.
    pub before: Option<Value>,
    /// What it becomes; None where it goes.
    pub after: Option<Value>,
}

fn compare(path: String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut keys: Vec<&String> =
                a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                let dot = if path.is_empty() { "" } else { "." };
                compare(format!("{path}{dot}{key}"), a.get(key), b.get(key), changes);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for at in 0..a.len().max(b.len()) {
                compare(format!("{path}[{at}]"), a.get(at), b.get(at), changes);
            }
        }
        (a, b) if a == b => {}
        (a, b) => changes.push(Change { path, before: a.cloned(), after: b.cloned() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_are_merged_and_lists_replaced() {
        let mut base = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x"});
        merge(&mut base, json!({"a": {"c": [3]}, "d": null, "e": true}));
        assert_eq!(base, json!({"a": {"b": 1, "c": [3]}, "d": null, "e": true}));
    }

    #[test]
    fn pairs_are_typed() {
        for (pair, wanted) in [
            ("a.b=c", json!({"a": {"b": "c"}})),
            ("a=3", json!({"a": 3})),
            ("a=03", json!({"a": "03"})),
            ("a=true", json!({"a": true})),
            ("a=", json!({"a": ""})),
            ("a={x, 1}", json!({"a": ["x", 1]})),
            ("a={}", json!({"a": []})),
            (r"a.b\.io/c=d=e", json!({"a": {"b.io/c": "d=e"}})),
        ] {
            let mut values = json!({});
            set(&mut values, pair).unwrap();
            assert_eq!(values, wanted, "{pair}");
        }
        let mut values = json!({});
        let error = set(&mut values, "replicas").unwrap_err().to_string();
        assert_eq!(error, "`replicas`: there is no =; write KEY=VALUE, such as controller.replicas=3");
        assert!(set(&mut values, "a..b=1").is_err());
    }

    #[test]
    fn a_difference_has_a_path() {
        let changes = diff(&json!({"a": {"b": [1, 2]}, "c": 1}), &json!({"a": {"b": [1, 3, 4]}, "d": 1}));
        let shown: Vec<_> =
            changes.iter().map(|c| (c.path.as_str(), c.before.is_some(), c.after.is_some())).collect();
        assert_eq!(
            shown,
            [("a.b[1]", true, true), ("a.b[2]", false, true), ("c", true, false), ("d", false, true)]
        );
    }
}
