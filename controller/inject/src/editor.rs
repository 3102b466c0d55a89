//! Changes of a JSON document that are made and written down as a JSON patch (RFC 6902) at once, so that both say the same. It must not
//! know what the document is.

use serde::Serialize;
use serde_json::{Map, Value};

/// One step of a JSON patch.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Op {
    /// Sets a field, or puts an element into a list before the one that has this place.
    Add {
        /// JSON pointer.
        path: String,
        /// What is put there.
        value: Value,
    },
    /// Sets what is there already.
    Replace {
        /// JSON pointer.
        path: String,
        /// What is put there.
        value: Value,
    },
    /// Takes away.
    Remove {
        /// JSON pointer.
        path: String,
    },
}

/// A document under change. Paths are lists of names and places, never text that somebody else wrote.
#[derive(Debug)]
pub(crate) struct Editor {
    document: Value,
    ops: Vec<Op>,
}

/// A step of a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    /// The field of an object.
    Field(&'a str),
    /// The element of a list.
    Index(usize),
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(name: &'a str) -> Self {
        Self::Field(name)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl Editor {
    pub(crate) fn new(document: Value) -> Self {
        Self { document, ops: Vec::new() }
    }

    pub(crate) fn finish(self) -> (Value, Vec<Op>) {
        (self.document, self.ops)
    }

    pub(crate) fn get(&self, path: &[Step<'_>]) -> Option<&Value> {
        path.iter().try_fold(&self.document, |at, step| match step {
            Step::Field(name) => at.get(name),
            Step::Index(index) => at.get(index),
        })
    }

    /// Sets a field of an object, and makes the objects around it where they are missing.
    pub(crate) fn set(&mut self, path: &[Step<'_>], value: Value) {
        match self.get(path) {
            Some(same) if *same == value => return,
            Some(_) => {
                if let Some(slot) = self.slot(path) {
                    slot.clone_from(&value);
                    self.ops.push(Op::Replace { path: pointer(path), value });
                }
                return;
            }
            None => {}
        }
        let Some((Step::Field(name), parents)) = path.split_last() else { return };
        self.ensure(parents, Value::Object(Map::new()));
        if let Some(Value::Object(fields)) = self.slot(parents) {
            fields.insert((*name).to_owned(), value.clone());
            self.ops.push(Op::Add { path: pointer(path), value });
        }
    }

    /// Puts an element into a list, which is made where it is missing.
    pub(crate) fn insert(&mut self, list: &[Step<'_>], index: usize, value: Value) {
        self.ensure(list, Value::Array(Vec::new()));
        if let Some(Value::Array(elements)) = self.slot(list) {
            let index = index.min(elements.len());
            elements.insert(index, value.clone());
            self.ops.push(Op::Add { path: format!("{}/{index}", pointer(list)), value });
        }
    }

    /// Puts an element at the end of a list.
    pub(crate) fn push(&mut self, list: &[Step<'_>], value: Value) {
        self.insert(list, usize::MAX, value);
    }

    /// Takes a list or a map away that has nothing in it any more.
    pub(crate) fn remove_empty(&mut self, path: &[Step<'_>]) {
        let empty = |value: &Value| {
            value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
        };
        if self.get(path).is_some_and(empty) {
            self.remove(path);
        }
    }

    /// Takes a field or an element away.
    pub(crate) fn remove(&mut self, path: &[Step<'_>]) {
        let Some((last, parents)) = path.split_last() else { return };
        let gone = match (self.slot(parents), last) {
            (Some(Value::Object(fields)), Step::Field(name)) => fields.remove(*name).is_some(),
            (Some(Value::Array(elements)), Step::Index(index)) if *index < elements.len() => {
                elements.remove(*index);
                true
            }
            _ => false,
        };
        if gone {
            self.ops.push(Op::Remove { path: pointer(path) });
        }
    }

    /// Makes what is missing or null: `leaf` at the end, objects around it.
    fn ensure(&mut self, path: &[Step<'_>], leaf: Value) {
        if self.get(path).is_some_and(|there| !there.is_null()) {
            return;
        }
        let Some((Step::Field(name), parents)) = path.split_last() else { return };
        self.ensure(parents, Value::Object(Map::new()));
        if let Some(Value::Object(fields)) = self.slot(parents) {
            fields.insert((*name).to_owned(), leaf.clone());
            self.ops.push(Op::Add { path: pointer(path), value: leaf });
        }
    }

    fn slot(&mut self, path: &[Step<'_>]) -> Option<&mut Value> {
        path.iter().try_fold(&mut self.document, |at, step| match step {
            Step::Field(name) => at.get_mut(name),
            Step::Index(index) => at.get_mut(index),
        })
    }
}

fn pointer(path: &[Step<'_>]) -> String {
    path.iter().fold(String::new(), |text, step| match step {
        Step::Field(name) => format!("{text}/{}", name.replace('~', "~0").replace('/', "~1")),
        Step::Index(index) => format!("{text}/{index}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_around_a_field_is_made_and_written_down() {
        let mut editor = Editor::new(json!({ "metadata": { "labels": null } }));
        editor.set(&["metadata".into(), "labels".into(), "a.io/b".into()], json!("x"));
        editor.push(&["spec".into(), "list".into()], json!(1));
        let (document, ops) = editor.finish();
        assert_eq!(document, json!({ "metadata": { "labels": { "a.io/b": "x" } }, "spec": { "list": [1] } }));
        let wanted = json!([
            { "op": "add", "path": "/metadata/labels", "value": {} },
            { "op": "add", "path": "/metadata/labels/a.io~1b", "value": "x" },
            { "op": "add", "path": "/spec", "value": {} },
            { "op": "add", "path": "/spec/list", "value": [] },
            { "op": "add", "path": "/spec/list/0", "value": 1 },
        ]);
        assert_eq!(serde_json::to_value(ops).unwrap(), wanted);
    }

    #[test]
    fn what_is_so_already_is_not_written() {
        let mut editor = Editor::new(json!({ "a": { "b": 1 } }));
        editor.set(&["a".into(), "b".into()], json!(1));
        editor.remove(&["a".into(), "c".into()]);
        assert!(editor.finish().1.is_empty());
    }

    #[test]
    fn elements_come_and_go_by_their_place() {
        let mut editor = Editor::new(json!({ "list": [1, 2] }));
        editor.insert(&["list".into()], 0, json!(0));
        editor.remove(&["list".into(), 1.into()]);
        assert_eq!(editor.finish().0, json!({ "list": [0, 2] }));
    }
}
