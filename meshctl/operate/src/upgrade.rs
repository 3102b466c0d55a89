//! What an upgrade changes, in words: values, fields of objects, fields of users' objects that a new definition no longer has.
//! Pure.

use mesh_chart::values::{self, Change};
use serde_json::{Map, Value};

use crate::object::ObjectRef;

/// More changes of one object than these are counted, not shown.
const SHOWN: usize = 6;
/// A value longer than this is cut.
const LONG: usize = 60;
/// Written by controllers and by the API server.
const OTHERS: [&str; 2] = ["status", "metadata"];

/// What differs between an object as it is and as it would be.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = values::diff(&without_others(before), &without_others(after));
    let labels = |object: &Value| object.pointer("/metadata/labels").cloned().unwrap_or_default();
    let mut metadata = values::diff(&labels(before), &labels(after));
    for change in &mut metadata {
        change.path = format!("metadata.labels.{}", change.path);
    }
    changes.extend(metadata);
    changes
}

fn without_others(object: &Value) -> Value {
    let mut map: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    for key in OTHERS {
        map.remove(key);
    }
    Value::Object(map)
}

/// An object's changes, a line each.
pub fn change_words(object: &ObjectRef, changes: &[Change]) -> Vec<String> {
    if changes.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("  {object}")];
    lines.extend(changes.iter().take(SHOWN).map(|change| format!("    {}", words(change))));
    if changes.len() > SHOWN {
        lines.push(format!("    and {} more fields", changes.len() - SHOWN));
    }
    lines
}

/// Values that differ.
pub fn values_words(changes: &[Change]) -> Vec<String> {
    if changes.is_empty() {
        return vec!["Values stay as they are.".to_owned()];
    }
    let mut lines = vec!["Values:".to_owned()];
    lines.extend(changes.iter().map(|change| format!("  {}", words(change))));
    lines
}

fn words(change: &Change) -> String {
    let shown = |value: &Value| {
        let text = value.to_string();
        if text.chars().count() <= LONG {
            return text;
        }
        format!("{}…", text.chars().take(LONG).collect::<String>())
    };
    let path = &change.path;
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{path}: {} → {}", shown(before), shown(after)),
        (None, Some(after)) => format!("+ {path}: {}", shown(after)),
        (Some(before), None) => format!("- {path}: {}", shown(before)),
        (None, None) => path.clone(),
    }
}

/// Fields that the live definition has and the new one lacks, and versions that the new one no longer serves.
pub fn vanishing_fields(live: &Value, new: &Value) -> Vec<String> {
    let kind = new.pointer("/spec/names/kind").and_then(Value::as_str).unwrap_or_default();
    let mut lines = Vec::new();
    let versions =
        |crd: &Value| crd.pointer("/spec/versions").and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |version: &Value| version.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let new_versions = versions(new);
    for old in versions(live) {
        let Some(new) = new_versions.iter().find(|new| name(new) == name(&old)) else {
            lines.push(format!("{kind}: version {} is no longer served", name(&old)));
            continue;
        };
        let schema =
            |version: &Value| version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_default();
        vanishing(&schema(&old), &schema(new), kind, &mut lines);
    }
    lines
}

fn vanishing(old: &Value, new: &Value, path: &str, lines: &mut Vec<String>) {
    for (name, field) in old.get("properties").and_then(Value::as_object).into_iter().flatten() {
        match new.get("properties").and_then(|properties| properties.get(name)) {
            None => lines.push(format!("{path}.{name} is no field any more: what stands there is dropped")),
            Some(new) => vanishing(field, new, &format!("{path}.{name}"), lines),
        }
    }
    if let (Some(old), Some(new)) = (old.get("items"), new.get("items")) {
        vanishing(old, new, &format!("{path}[]"), lines);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_of_what_we_write() {
        let before = json!({"metadata": {"resourceVersion": "1", "labels": {"v": "1"}}, "spec": {"a": 1, "b": [1]}, "status": {"x": 1}});
        let after = json!({"metadata": {"resourceVersion": "2", "labels": {"v": "2"}}, "spec": {"a": 2, "b": [1, 2]}, "status": {}});
        let object = ObjectRef::namespaced("apps/v1", "Deployment", "a", "b");
        assert_eq!(
            change_words(&object, &changes(&before, &after)),
            [
                "  Deployment a/b",
                "    spec.a: 1 → 2",
                "    + spec.b[1]: 2",
                "    metadata.labels.v: \"1\" → \"2\""
            ]
        );
        assert_eq!(change_words(&object, &changes(&before, &before)), [""; 0]);
        let many: Value = (0..20).map(|n| (n.to_string(), json!(n))).collect::<Map<_, _>>().into();
        let lines = change_words(&object, &changes(&json!({"spec": {}}), &json!({"spec": many})));
        assert_eq!(lines.last().unwrap(), "    and 14 more fields");
    }

    #[test]
    fn fields_that_go_are_named() {
        let crd = |versions: Value| json!({"spec": {"names": {"kind": "Canary"}, "versions": versions}});
        let live = crd(json!([
            {"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": {
                "steps": {"items": {"properties": {"weight": {}, "pause": {}}}}, "old": {}}}}}}},
            {"name": "v0"},
        ]));
        let new =
            crd(json!([{"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": {
            "steps": {"items": {"properties": {"weight": {}}}}}}}}}}]));
        assert_eq!(
            vanishing_fields(&live, &new),
            [
                "Canary.spec.old is no field any more: what stands there is dropped",
                "Canary.spec.steps[].pause is no field any more: what stands there is dropped",
                "Canary: version v0 is no longer served",
            ]
        );
        assert_eq!(vanishing_fields(&live, &live), [""; 0]);
    }

    #[test]
    fn values_that_differ() {
        let changes = values::diff(&json!({"a": {"b": 1}}), &json!({"a": {"b": 2}, "c": true}));
        assert_eq!(values_words(&changes), ["Values:", "  a.b: 1 → 2", "  + c: true"]);
        assert_eq!(values_words(&[]), ["Values stay as they are."]);
    }
}
