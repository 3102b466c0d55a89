//! The one change that is made in the text of a document: the label that asks for a sidecar comes or goes. Whoever calls compares what
//! the new text says with what it shall say, so that a text which is not understood is never written. It must not know objects.

use mesh_inject::{INJECT_LABEL, workload};
use serde_json::Value;

/// The text with the change from `before` to `after`; `None`: that is more than a label, or cannot be made here.
pub(super) fn apply(text: &str, before: &Value, after: &Value) -> Option<String> {
    let template = workload::of(after)?.template;
    let path: Vec<&str> = template.iter().copied().chain(["metadata", "labels", INJECT_LABEL]).collect();
    let value = |object: &Value| {
        path.iter().try_fold(object, |at, name| at.get(name)).and_then(Value::as_str).map(str::to_owned)
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    match (value(before), value(after)) {
        (None, Some(new)) => put(&lines, &path, &new),
        (Some(_), None) => take(&lines, &path),
        _ => None,
    }
}

/// A block of lines with the same or more indentation.
#[derive(Debug, Clone, Copy)]
struct Block {
    first: usize,
    end: usize,
    indent: usize,
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether a line says something.
fn speaks(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// The block of the fields from `first` on.
fn block(lines: &[&str], first: usize, end: usize) -> Option<Block> {
    let at = (first..end).find(|at| lines.get(*at).is_some_and(|line| speaks(line)))?;
    Some(Block { first: at, end, indent: indent(lines.get(at)?) })
}

/// Line and end of a field of the block, if its value is on the lines below it.
fn field(lines: &[&str], block: Block, name: &str) -> Option<(usize, usize)> {
    let named = |line: &str| {
        let line = line.trim();
        let rest = line.strip_prefix(name).or_else(|| line.strip_prefix(&format!("\"{name}\"")));
        rest.and_then(|rest| rest.trim_start().strip_prefix(':')).map(|rest| rest.trim().to_owned())
    };
    let at = (block.first..block.end).find(|at| {
        lines
            .get(*at)
            .is_some_and(|line| indent(line) == block.indent && speaks(line) && named(line).is_some())
    })?;
    let end = (at + 1..block.end)
        .find(|next| lines.get(*next).is_some_and(|line| speaks(line) && indent(line) <= block.indent))
        .unwrap_or(block.end);
    Some((at, end))
}

/// Whether nothing but a comment stands on the line of a field.
fn is_open(line: &str) -> bool {
    line.split_once(':').is_some_and(|(_, rest)| !speaks(rest))
}

fn put(lines: &[&str], path: &[&str], value: &str) -> Option<String> {
    let mut here = block(lines, 0, lines.len())?;
    for (depth, name) in path.iter().enumerate() {
        let Some((at, end)) = field(lines, here, name) else {
            let mut new = String::new();
            for (more, name) in path.iter().skip(depth).enumerate() {
                let last = depth + more + 1 == path.len();
                let text = if last { format!(" {value}") } else { String::new() };
                let indent = " ".repeat(here.indent + 2 * more);
                new.extend([indent.as_str(), name, ":", text.as_str(), "\n"]);
            }
            return Some(
                lines
                    .iter()
                    .take(here.first)
                    .copied()
                    .chain([new.as_str()])
                    .chain(lines.iter().skip(here.first).copied())
                    .collect(),
            );
        };
        if !is_open(lines.get(at)?) {
            return None;
        }
        here = block(lines, at + 1, end)?;
    }
    None
}

fn take(lines: &[&str], path: &[&str]) -> Option<String> {
    let mut here = block(lines, 0, lines.len())?;
    let mut parents = Vec::new();
    for name in path {
        let (at, end) = field(lines, here, name)?;
        parents.push((at, end));
        if parents.len() < path.len() {
            here = block(lines, at + 1, end)?;
        }
    }
    let without = |at: usize, end: usize| {
        lines
            .iter()
            .enumerate()
            .filter(|(n, _)| *n < at || *n >= end)
            .map(|(_, line)| *line)
            .collect::<String>()
    };
    let (at, end) = parents.pop()?;
    let (labels, labels_end) = parents.pop()?;
    // A map that has nothing else goes with it.
    let only =
        (labels + 1..labels_end).filter(|n| lines.get(*n).is_some_and(|line| speaks(line))).count() == 1;
    Some(if only { without(labels, labels_end) } else { without(at, end) })
}
