//! What is said about an object: conditions in the manner of Kubernetes, and on how many proxies it is in force. Pure.
//! It must not know streams; [`programmed`] gets what each proxy holds.

pub mod counters;
pub mod programmed;

use std::sync::Arc;

/// Which question a condition answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// Could it be read?
    Readable,
    /// Is it good, and attached to something?
    Accepted,
    /// Is all that it refers to there?
    ResolvedRefs,
}

impl ConditionType {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Readable => "Readable",
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
        }
    }
}

/// Whether the answer is yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Yes.
    True,
    /// No.
    False,
}

/// An answer about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The question.
    pub kind: ConditionType,
    /// The answer.
    pub verdict: Verdict,
    /// One word, for programs.
    pub reason: &'static str,
    /// Which field decides; may be empty.
    pub field: String,
    /// For people.
    pub message: String,
}

impl Condition {
    /// The answer is no.
    pub fn failed(
        kind: ConditionType,
        reason: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, verdict: Verdict::False, reason, field: field.into(), message: message.into() }
    }

    /// The answer is yes, and something is worth telling.
    pub fn noted(
        kind: ConditionType,
        reason: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, verdict: Verdict::True, reason, field: field.into(), message: message.into() }
    }
}

/// What compiling found out about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectReport {
    /// `PATH:LINE`.
    pub origin: Arc<str>,
    /// Which resource of the model carries it to proxies; none if it has no effect by itself.
    pub resource: Option<String>,
    /// In the order of fields; empty when all is well.
    pub conditions: Vec<Condition>,
}

impl Default for ObjectReport {
    fn default() -> Self {
        Self { origin: Arc::from(""), resource: None, conditions: Vec::new() }
    }
}
