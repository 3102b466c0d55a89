//! The application's metrics and our own as one valid text. Pure. Our own series are all there, in their order and unchanged, whatever
//! the application says; families are there once; `mesh_…` is ours alone. It must not know where either comes from.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use mesh_lifecycle::admin::Exposition;

use super::text::{Family, Labels, Sample, identity, series};

/// Names that no application has.
const OURS: &str = "mesh_";

/// Both.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) body: String,
    /// Samples of the application that are left out, because their name or series is ours, or there twice.
    pub(super) left_out: u64,
}

/// Puts the application's families beside our own text, both in the same format.
pub(super) fn merge(own: &str, theirs: Vec<Family<'_>>, format: Exposition) -> Merged {
    let ours = Ours::of(own);
    let mut left_out = 0;
    let mut joined: HashMap<&str, Family<'_>> = HashMap::new();
    let mut beside = Vec::new();
    let mut names = HashSet::new();
    for mut family in theirs {
        let before = family.samples.len();
        // Two can come to one name, once counters are named as their samples.
        if !names.insert(family.name.clone().into_owned()) {
            family.samples.clear();
        }
        let same = ours.kinds.get_key_value(&*family.name);
        let joins = same.is_some_and(|(_, kind)| *kind == family.kind);
        if family.name.starts_with(OURS) || (same.is_some() && !joins) {
            family.samples.clear();
        }
        let of_family = same.map(|(name, _)| *name).filter(|_| joins);
        family.samples.retain(|sample| {
            !sample.name.starts_with(OURS)
                && ours.samples.get(sample.name).is_none_or(|owner| Some(*owner) == of_family)
        });
        let mut known = HashSet::new();
        family.samples.retain(|sample| known.insert(identity(sample.name, &sample.labels)));
        left_out += before - family.samples.len();
        match of_family {
            _ if family.samples.is_empty() => {}
            Some(name) => drop(joined.insert(name, family)),
            None => beside.push(family),
        }
    }
    let mut body = String::with_capacity(own.len() * 2);
    left_out += write_own(&mut body, own, &mut joined);
    for family in &beside {
        write_family(&mut body, family, format);
    }
    if format == Exposition::OpenMetrics {
        body.push_str("# EOF\n");
    }
    Merged { body, left_out: left_out as u64 }
}

/// What is in our own text.
struct Ours<'a> {
    kinds: HashMap<&'a str, &'a str>,
    /// Of which family a sample's name is.
    samples: HashMap<&'a str, &'a str>,
}

impl<'a> Ours<'a> {
    fn of(own: &'a str) -> Self {
        let (mut kinds, mut samples, mut family) = (HashMap::new(), HashMap::new(), "");
        for line in own.lines() {
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                kinds.insert(name, kind);
                family = name;
            } else if !line.starts_with('#') {
                samples.insert(sample_name(line), family);
            }
        }
        Self { kinds, samples }
    }
}

fn sample_name(line: &str) -> &str {
    line.split(['{', ' ']).next().unwrap_or_default()
}

/// Our own text without its end mark; at the end of a family what joins it. Gives how many samples were there already.
fn write_own<'a>(body: &mut String, own: &'a str, joined: &mut HashMap<&'a str, Family<'_>>) -> usize {
    let (mut open, mut left_out) = (None, 0);
    let mut known: BTreeSet<String> = BTreeSet::new();
    for line in own.split_inclusive('\n') {
        if line.starts_with("# HELP ") || line.starts_with("# TYPE ") || line.starts_with("# EOF") {
            let name = line.get(7..).and_then(|rest| rest.split([' ', '\n']).next()).unwrap_or_default();
            if open.as_ref().is_some_and(|(open, _)| *open != name) {
                left_out += close(body, open.take(), &mut known);
            }
            if line.starts_with("# TYPE ") && open.is_none() {
                open = joined.remove_entry(name);
            }
        } else if !line.starts_with('#') && open.is_some() {
            known.extend(series(line));
        }
        if !line.starts_with("# EOF") {
            body.push_str(line);
        }
    }
    left_out + close(body, open, &mut known)
}

fn close(body: &mut String, joins: Option<(&str, Family<'_>)>, known: &mut BTreeSet<String>) -> usize {
    let Some((_, family)) = joins else { return 0 };
    let mut left_out = 0;
    for sample in &family.samples {
        if known.contains(&identity(sample.name, &sample.labels)) {
            left_out += 1;
        } else {
            write_sample(body, sample);
        }
    }
    known.clear();
    left_out
}

fn write_family(body: &mut String, family: &Family<'_>, format: Exposition) {
    if let Some(help) = family.help {
        writeln!(body, "# HELP {} {}", family.name, self::help(help, format)).ok();
    }
    writeln!(body, "# TYPE {} {}", family.name, family.kind).ok();
    if let Some(unit) = family.unit.filter(|_| format == Exposition::OpenMetrics) {
        writeln!(body, "# UNIT {} {unit}", family.name).ok();
    }
    for sample in &family.samples {
        write_sample(body, sample);
    }
}

/// A backslash stands for itself but before what it may escape.
fn help(text: &str, format: Exposition) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 4);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('"') if format == Exposition::Plain => out.push('"'),
                Some(known @ ('\\' | 'n' | '"')) => out.extend(['\\', known]),
                other => out.extend(['\\', '\\'].into_iter().chain(other)),
            },
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

fn write_sample(body: &mut String, sample: &Sample<'_>) {
    body.push_str(sample.name);
    write_labels(body, &sample.labels);
    write!(body, " {}", sample.value).ok();
    if let Some(timestamp) = &sample.timestamp {
        write!(body, " {timestamp}").ok();
    }
    if let Some(exemplar) = &sample.exemplar {
        body.push_str(" # ");
        if exemplar.labels.is_empty() {
            body.push_str("{}");
        }
        write_labels(body, &exemplar.labels);
        write!(body, " {}", exemplar.value).ok();
        if let Some(timestamp) = exemplar.timestamp {
            write!(body, " {timestamp}").ok();
        }
    }
    body.push('\n');
}

fn write_labels(body: &mut String, labels: &Labels<'_>) {
    for (at, (key, value)) in labels.iter().enumerate() {
        let before = if at == 0 { '{' } else { ',' };
        write!(body, "{before}{key}=\"{value}\"").ok();
    }
    if !labels.is_empty() {
        body.push('}');
    }
}

#[cfg(test)]
mod tests;
