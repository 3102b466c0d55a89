//! The documents of a file, each with the text that it was written as. A document that is not changed comes out byte by byte; one that
//! is changed keeps its comments where the change can be made in its text. It must not know what is changed.

use anyhow::Context as _;
use serde_json::Value;

use super::edit;

/// One document.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// As it was written, without its marker.
    text: String,
    /// What follows the marker `---` on its line; `None`: there was no marker.
    marker: Option<String>,
    /// What it says; `None`: nothing but comments.
    value: Option<Value>,
    changed: bool,
}

impl Document {
    /// What it says.
    pub(super) fn object(&self) -> Option<&Value> {
        self.value.as_ref()
    }

    /// Lets every object be changed: the document's one, or those of its `List`.
    pub(super) fn change(
        &mut self,
        change: &mut impl FnMut(&mut Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Some(value) = &mut self.value else { return Ok(()) };
        let before = value.clone();
        let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind == "List");
        match value.get_mut("items").and_then(Value::as_array_mut).filter(|_| is_list) {
            Some(items) => items.iter_mut().try_for_each(change)?,
            None => change(value)?,
        }
        if *value != before {
            self.changed = true;
            if let Some(text) = edit::apply(&self.text, &before, value)
                .filter(|text| parse(text).as_ref().ok() == Some(&self.value))
            {
                self.text = text;
                self.changed = false;
            }
        }
        Ok(())
    }
}

/// Splits a file.
pub(super) fn split(text: &str) -> anyhow::Result<Vec<Document>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parts: Vec<(Option<String>, String)> = vec![(None, String::new())];
    for line in text.split_inclusive('\n') {
        let marker = line
            .strip_prefix("---")
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']));
        match (marker, parts.last_mut()) {
            (Some(rest), _) => parts.push((Some(rest.trim_end().to_owned()), String::new())),
            (None, Some((_, part))) => part.push_str(line),
            (None, None) => {}
        }
    }
    if parts.first().is_some_and(|(_, text)| text.trim().is_empty()) && parts.len() > 1 {
        parts.remove(0);
    }
    let mut documents = Vec::new();
    for (number, (marker, text)) in parts.into_iter().enumerate() {
        let value = parse(&text).with_context(|| format!("document {}", number + 1))?;
        documents.push(Document { text, marker, value, changed: false });
    }
    Ok(documents)
}

/// `None`: nothing but comments.
fn parse(text: &str) -> anyhow::Result<Option<Value>> {
    let empty = |line: &str| {
        line.trim().is_empty() || line.trim_start().starts_with(['#', '%']) || line.trim() == "..."
    };
    if text.lines().all(empty) {
        return Ok(None);
    }
    let options = serde_saphyr::options! { strict_booleans: true };
    let value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| anyhow::anyhow!("{}", error.without_snippet()))?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// One file of all.
pub(super) fn join(documents: &[Document]) -> anyhow::Result<String> {
    let mut out = String::new();
    for document in documents {
        match &document.marker {
            Some(rest) => out.extend(["---", rest, "\n"]),
            None if out.is_empty() => {}
            None => out.push_str("---\n"),
        }
        match &document.value {
            Some(value) if document.changed => {
                let is_json = document.text.trim_start().starts_with('{');
                let text = if is_json {
                    serde_json::to_string_pretty(value)?
                } else {
                    serde_saphyr::to_string(value)?
                };
                out.push_str(text.trim_end());
                out.push('\n');
            }
            _ => {
                out.push_str(&document.text);
                if !document.text.is_empty() && !document.text.ends_with('\n') {
                    out.push('\n');
                }
            }
        }
    }
    Ok(out)
}
