//! What came of it, and how it is told in JSON. It must not know any mesh.

use serde::Serialize;
use serde_json::{Value, json};

use crate::documents::Document;
use crate::ledger::{Effect, Entry, Outcome};
use crate::out::Object;

/// What came of the documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    /// In the order in which they are applied.
    pub objects: Vec<Object>,
    /// What became of each field, in the order of the documents.
    pub entries: Vec<Entry>,
    /// Differences that no field says.
    pub notes: Vec<Note>,
}

/// A difference that no field says, such as another default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about.
    pub object: String,
    /// What it means.
    pub effect: Effect,
    /// The difference, and what to do.
    pub text: String,
}

impl Migration {
    /// The gravest that happens.
    pub fn worst(&self) -> Effect {
        let entries = self.entries.iter().map(|entry| entry.outcome.effect());
        entries.chain(self.notes.iter().map(|note| note.effect)).max().unwrap_or(Effect::None)
    }

    /// Whether requests are treated otherwise than before in more than rare cases.
    pub fn is_same(&self) -> bool {
        self.worst() < Effect::Behaviour
    }

    /// How many fields: carried over as they are, with a difference, without counterpart, without meaning.
    pub fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for entry in &self.entries {
            let at = match entry.outcome {
                Outcome::Converted { .. } => 0,
                Outcome::Changed { .. } => 1,
                Outcome::Lost { .. } => 2,
                Outcome::Inert { .. } => 3,
            };
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
        }
        counts
    }

    /// The report as JSON, stable for scripts.
    pub fn json(&self, documents: &[Document]) -> Value {
        let [converted, changed, lost, inert] = self.counts();
        let fields = self.entries.iter().map(|entry| {
            let document = documents.get(entry.document);
            let mut row = json!({
                "source": document.map(Document::label),
                "at": document.map(|document| format!("{}:{}", document.file, document.line)),
                "sourceField": entry.path,
            });
            if let (Value::Object(row), Ok(Value::Object(more))) =
                (&mut row, serde_json::to_value(&entry.outcome))
            {
                row.extend(more);
            }
            row
        });
        json!({
            "same": self.is_same(),
            "worst": self.worst(),
            "counts": { "converted": converted, "changed": changed, "lost": lost, "inert": inert },
            "notes": self.notes,
            "fields": fields.collect::<Vec<_>>(),
        })
    }
}

/// What is to be told to people: a difference, or something without counterpart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it means.
    pub effect: Effect,
    /// `VirtualService shop/reviews`.
    pub source: String,
    /// The field there; empty for a difference that no field says.
    pub field: String,
    /// What it became, or why it became nothing, and what to do.
    pub words: String,
}

impl Migration {
    /// The gravest first; within that in the order of the documents. What is carried over as it is, or means nothing, is not among them.
    pub fn rows(&self, documents: &[Document]) -> Vec<Row> {
        let of_entry = |entry: &Entry| {
            let words = match &entry.outcome {
                Outcome::Changed { object, field, reason, .. } => format!("{object}: {field}: {reason}"),
                Outcome::Lost { reason, instead, .. } if instead == "nothing" => {
                    format!("no counterpart: {reason}")
                }
                Outcome::Lost { reason, instead, .. } => {
                    format!("no counterpart: {reason}; instead: {instead}")
                }
                Outcome::Converted { .. } | Outcome::Inert { .. } => return None,
            };
            let source = documents.get(entry.document).map(Document::label).unwrap_or_default();
            Some(Row { effect: entry.outcome.effect(), source, field: entry.path.clone(), words })
        };
        let mut rows: Vec<Row> = self.entries.iter().filter_map(of_entry).collect();
        rows.extend(self.notes.iter().map(|note| Row {
            effect: note.effect,
            source: note.object.clone(),
            field: String::new(),
            words: note.text.clone(),
        }));
        rows.sort_by_key(|row| std::cmp::Reverse(row.effect));
        rows.dedup();
        rows
    }
}

impl Outcome {
    /// What it means for requests.
    pub fn effect(&self) -> Effect {
        match self {
            Self::Converted { .. } | Self::Inert { .. } => Effect::None,
            Self::Changed { effect, .. } | Self::Lost { effect, .. } => *effect,
        }
    }
}
