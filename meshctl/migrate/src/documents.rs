//! Text to documents. It must not know what they say.

use serde_json::Value;

use crate::aws;

/// Most bytes of one file.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most documents of one file.
const MAX_DOCUMENTS: usize = 100_000;

/// An object with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file's name, as it was given.
    pub file: String,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What it says.
    pub value: Value,
}

/// A file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {why}")]
pub struct Broken {
    /// The file's name.
    pub file: String,
    /// The line on which the document begins.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl Document {
    /// A text at a path of keys.
    pub(crate) fn text(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))?.as_str()
    }

    /// Whether AWS's own tools wrote it.
    pub(crate) fn is_of_aws(&self) -> bool {
        self.text(&["apiVersion"]) == Some(aws::VERSION)
    }

    pub(crate) fn kind(&self) -> &str {
        self.text(&["kind"]).unwrap_or_default()
    }

    /// Of its `apiVersion`; empty for the core group.
    pub(crate) fn group(&self) -> &str {
        self.text(&["apiVersion"]).and_then(|version| version.split_once('/')).map_or("", |(group, _)| group)
    }

    pub(crate) fn name(&self) -> &str {
        self.text(&["metadata", "name"]).unwrap_or_default()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"]).unwrap_or("default")
    }

    /// As reports name it: `VirtualService shop/reviews`.
    pub(crate) fn label(&self) -> String {
        format!("{} {}/{}", self.kind(), self.namespace(), self.name())
    }
}

/// Every document of a file; those of a `List` are documents of their own.
pub fn read(file: &str, text: &str) -> Result<Vec<Document>, Broken> {
    let broken = |line: usize, why: String| Broken { file: file.to_owned(), line, why };
    if text.len() > MAX_BYTES {
        return Err(broken(1, format!("has {} bytes, at most {MAX_BYTES} are read", text.len())));
    }
    let mut documents = Vec::new();
    for (line, part) in parts(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let empty = |line: &str| {
            let line = line.trim();
            line.is_empty() || line.starts_with(['#', '%']) || line == "..."
        };
        if part.lines().all(empty) {
            continue;
        }
        for value in values(&part).map_err(|why| broken(line, why))? {
            if value.get("kind").and_then(Value::as_str).is_none() {
                return Err(broken(line, "is no object of Kubernetes: it has no `kind`; nor is it what `aws appmesh describe-…` prints".to_owned()));
            }
            if documents.len() == MAX_DOCUMENTS {
                return Err(broken(line, format!("has over {MAX_DOCUMENTS} documents")));
            }
            documents.push(Document { file: file.to_owned(), line, value });
        }
    }
    Ok(documents)
}

/// The objects of a document: one, those of a `List` or of an array, or JSON texts one after the other, as commands in a loop print them.
fn values(text: &str) -> Result<Vec<Value>, String> {
    let is_json = text.trim_start().starts_with(['{', '[']);
    let json: Option<Vec<Value>> = is_json
        .then(|| serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().ok())
        .flatten();
    let read = if let Some(values) = json {
        values
    } else {
        let options = serde_saphyr::options! { strict_booleans: true };
        vec![serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let text = error.without_snippet().to_string();
            text.lines().next().unwrap_or_default().to_owned()
        })?]
    };
    let mut found = Vec::new();
    for value in read {
        let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
        match value {
            Value::Object(mut map) if is_list && map.get("items").is_some_and(Value::is_array) => {
                found.extend(
                    map.remove("items").and_then(|items| items.as_array().cloned()).unwrap_or_default(),
                );
            }
            Value::Array(items) => found.extend(items),
            Value::Null => {}
            value => found.push(value),
        }
    }
    Ok(found.into_iter().map(|value| aws::object(&value).unwrap_or(value)).collect())
}

/// Each document with the line of its first word.
fn parts(text: &str) -> Vec<(usize, String)> {
    let mut parts: Vec<(usize, String)> = vec![(1, String::new())];
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let marker = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']));
        match (marker, parts.last_mut()) {
            (Some(_), _) => parts.push((at + 2, String::new())),
            (None, Some((begin, part))) => {
                if part.is_empty() && line.trim().is_empty() {
                    *begin = at + 2;
                } else {
                    part.push_str(line);
                }
            }
            (None, None) => {}
        }
    }
    parts
}
