//! What is to be said of an object in its status: from what its source, compiling and proxies say. Pure. It must not know how a status is
//! written down.
//!
//! Types and reasons are the Gateway API's where it has them: `Accepted`, `ResolvedRefs`, `PartiallyInvalid`; `Programmed` says on how
//! many proxies the object is in force.

use std::collections::{BTreeSet, HashMap};

use crate::api::{Kind, ObjectKey};
use crate::inspect::objects::Objects;
use crate::inspect::peers::Peers;
use crate::sources::state::{Effect, Report};
use crate::status::programmed::Programmed;
use crate::status::{Condition, ConditionType, Verdict};

/// Longest message; an API server takes 32 KiB, a person less.
const MAX_MESSAGE: usize = 1_024;

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    True,
    /// No.
    False,
}

impl Answer {
    /// As in a condition's `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The question.
    pub kind: &'static str,
    /// The answer.
    pub answer: Answer,
    /// One word.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Said {
    fn new(kind: &'static str, answer: Answer, reason: impl Into<String>, message: String) -> Self {
        let message = match message.char_indices().nth(MAX_MESSAGE) {
            Some((cut, _)) => format!("{}…", message.get(..cut).unwrap_or_default()),
            None => message,
        };
        Self { kind, answer, reason: reason.into(), message }
    }
}

/// Of which part of an object something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of all of it.
    Whole,
    /// Of its attachment to what entry `index` of `field` names.
    Attachment {
        /// `spec.parentRefs` or `spec.targetRefs`.
        field: &'static str,
        /// From 0.
        index: usize,
    },
}

impl Part {
    /// Whether what is said about `field` concerns this part: what names another attachment does not.
    fn concerns(self, field: &str) -> bool {
        let Self::Attachment { field: list, index } = self else { return true };
        let named = field.strip_prefix(list).and_then(|rest| rest.strip_prefix('['));
        let named = named.and_then(|rest| rest.split_once(']')).and_then(|(number, _)| number.parse().ok());
        named.is_none_or(|named: usize| named == index)
    }
}

/// Everything that is said at one moment.
#[derive(Debug)]
pub struct Sayings<'a> {
    objects: &'a Objects,
    problems: HashMap<&'a ObjectKey, Vec<&'a Report>>,
    programmed: &'a Programmed,
    peers: &'a Peers,
}

impl<'a> Sayings<'a> {
    /// From what is known.
    pub fn new(objects: &'a Objects, programmed: &'a Programmed, peers: &'a Peers) -> Self {
        let mut problems: HashMap<&ObjectKey, Vec<&Report>> = HashMap::new();
        for report in &objects.problems {
            if let Some(key) = &report.problem.object {
                problems.entry(key).or_default().push(report);
            }
        }
        Self { objects, problems, programmed, peers }
    }

    /// The conditions of a part of an object that has so many rules.
    pub fn of(&self, key: &ObjectKey, part: Part, rules: usize) -> Vec<Said> {
        let report = self.objects.compiled.get(key);
        let conditions: Vec<&Condition> = report
            .into_iter()
            .flat_map(|report| &report.conditions)
            .filter(|condition| part.concerns(&condition.field))
            .collect();
        let bad: Vec<&Report> = self.problems.get(key).cloned().unwrap_or_default();
        let mut said = accepted(key, &bad, &conditions, rules);
        said.push(resolved(&conditions));
        let resource = report.and_then(|report| report.resource.as_deref());
        said.extend(resource.map(|resource| {
            let (own, others) = (self.programmed.of(resource), self.peers.of(&key.to_string()));
            in_force((own.0.saturating_add(others.0), own.1.saturating_add(others.1)))
        }));
        said
    }
}

fn told(conditions: &[&Condition]) -> String {
    let one = |condition: &&Condition| {
        if condition.field.is_empty() {
            condition.message.clone()
        } else {
            format!("{}: {}", condition.field, condition.message)
        }
    };
    conditions.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn accepted(key: &ObjectKey, bad: &[&Report], conditions: &[&Condition], rules: usize) -> Vec<Said> {
    let bad: Vec<&&Report> = bad.iter().filter(|report| report.effect != Effect::InForce).collect();
    if let Some(first) = bad.first() {
        let what = bad.iter().map(|report| report.problem.fault.to_string()).collect::<Vec<_>>().join("; ");
        let effect = first.effect.words();
        // The Gateway API has one word for every value that cannot be used.
        let reason = if is_route(key.kind) { "UnsupportedValue" } else { "Invalid" };
        return vec![Said::new("Accepted", Answer::False, reason, format!("{what}; {effect}"))];
    }
    let of = |verdict| {
        let fits = move |c: &&&Condition| c.kind == ConditionType::Accepted && c.verdict == verdict;
        conditions.iter().filter(fits).copied().collect::<Vec<&Condition>>()
    };
    let failed = of(Verdict::False);
    let (in_rules, others): (Vec<&Condition>, Vec<&Condition>) =
        failed.iter().partition(|condition| is_route(key.kind) && rule(&condition.field).is_some());
    if let Some(first) = others.first() {
        return vec![Said::new("Accepted", Answer::False, first.reason, told(&failed))];
    }
    let broken: BTreeSet<usize> = in_rules.iter().filter_map(|condition| rule(&condition.field)).collect();
    let notes = told(&of(Verdict::True));
    match in_rules.first() {
        None => vec![Said::new("Accepted", Answer::True, "Accepted", notes)],
        Some(_) if broken.len() < rules => vec![
            Said::new("Accepted", Answer::True, "Accepted", notes),
            Said::new("PartiallyInvalid", Answer::True, "UnsupportedValue", told(&in_rules)),
        ],
        Some(first) => vec![Said::new("Accepted", Answer::False, first.reason, told(&failed))],
    }
}

/// The rule that a field is in.
fn rule(field: &str) -> Option<usize> {
    field.strip_prefix("spec.rules[")?.split_once(']')?.0.parse().ok()
}

fn is_route(kind: Kind) -> bool {
    matches!(kind, Kind::HttpRoute | Kind::GrpcRoute | Kind::TcpRoute | Kind::TlsRoute | Kind::UdpRoute)
}

fn resolved(conditions: &[&Condition]) -> Said {
    let failed: Vec<&Condition> = conditions
        .iter()
        .filter(|c| c.kind == ConditionType::ResolvedRefs && c.verdict == Verdict::False)
        .copied()
        .collect();
    match failed.first() {
        None => Said::new("ResolvedRefs", Answer::True, "ResolvedRefs", String::new()),
        Some(first) => Said::new("ResolvedRefs", Answer::False, first.reason, told(&failed)),
    }
}

fn in_force((in_force, of): (u32, u32)) -> Said {
    let plural = if of == 1 { "proxy" } else { "proxies" };
    let (answer, reason, message) = match of {
        0 => (Answer::True, "Unused", "no proxy uses it now; one that will gets it as it is".to_owned()),
        _ if in_force == of => (Answer::True, "Programmed", format!("in force on {of} of {of} {plural}")),
        _ => (Answer::False, "Pending", format!("in force on {in_force} of {of} {plural}")),
    };
    Said::new("Programmed", answer, reason, message)
}

#[cfg(test)]
mod tests;
