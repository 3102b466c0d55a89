//! What checks found, as people and machines read it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Check, Severity, Verdict};

/// One check and its verdict.
#[derive(Debug)]
pub struct Line {
    /// The check.
    pub check: &'static Check,
    /// What it found.
    pub verdict: Verdict,
}

/// All that were made.
#[derive(Debug)]
pub struct Report {
    /// In the order in which they are shown.
    pub lines: Vec<Line>,
}

/// How many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Nothing was found.
    pub passed: usize,
    /// Warnings.
    pub warnings: usize,
    /// Errors.
    pub errors: usize,
    /// It could not be said.
    pub skipped: usize,
}

impl Line {
    fn mark(&self) -> &'static str {
        match &self.verdict {
            Verdict::Passed => "√",
            Verdict::Skipped(_) => "-",
            Verdict::Found(Severity::Warning, _) => "‼",
            Verdict::Found(Severity::Error, _) => "×",
        }
    }

    fn result(&self) -> &'static str {
        match &self.verdict {
            Verdict::Passed => "success",
            Verdict::Skipped(_) => "skipped",
            Verdict::Found(Severity::Warning, _) => "warning",
            Verdict::Found(Severity::Error, _) => "error",
        }
    }

    fn found(&self) -> &[String] {
        match &self.verdict {
            Verdict::Found(_, found) => found,
            Verdict::Passed | Verdict::Skipped(_) => &[],
        }
    }
}

impl Report {
    /// How many of each.
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for line in &self.lines {
            match &line.verdict {
                Verdict::Passed => count.passed += 1,
                Verdict::Skipped(_) => count.skipped += 1,
                Verdict::Found(Severity::Warning, _) => count.warnings += 1,
                Verdict::Found(Severity::Error, _) => count.errors += 1,
            }
        }
        count
    }

    /// Every check under its heading, with what it found. `paint` colours a mark.
    pub fn text(&self, paint: impl Fn(&'static str) -> String) -> String {
        let mut out = String::new();
        let mut group = "";
        for line in &self.lines {
            if line.check.group != group {
                group = line.check.group;
                let gap = if out.is_empty() { "" } else { "\n" };
                write!(out, "{gap}{group}\n{}\n", "-".repeat(group.len())).ok();
            }
            writeln!(out, "{} {}  {}", paint(line.mark()), line.check.id, line.check.title).ok();
            if let Verdict::Skipped(why) = &line.verdict {
                writeln!(out, "    not checked: {why}").ok();
            }
            details(line, &mut out);
        }
        writeln!(out, "\n{}", self.words()).ok();
        out
    }

    /// Only what was found; empty if all is well.
    pub fn short(&self, paint: impl Fn(&'static str) -> String) -> String {
        let mut out = String::new();
        for line in self.lines.iter().filter(|line| !line.found().is_empty()) {
            writeln!(out, "{} {}  {}", paint(line.mark()), line.check.id, line.check.title).ok();
            details(line, &mut out);
        }
        out
    }

    /// The last line.
    pub fn words(&self) -> String {
        let Count { passed, warnings, errors, skipped } = self.count();
        let rest = if skipped == 0 { String::new() } else { format!(", {skipped} not checked") };
        format!("{passed} well, {warnings} warnings, {errors} errors{rest}")
    }

    /// One document.
    pub fn json(&self) -> Value {
        let checks: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                let mut check = json!({
                    "id": line.check.id,
                    "category": line.check.group,
                    "description": line.check.title,
                    "result": line.result(),
                });
                if let (Some(map), false) = (check.as_object_mut(), line.found().is_empty()) {
                    map.insert("findings".to_owned(), json!(line.found()));
                    map.insert("hint".to_owned(), json!(line.check.remedy));
                }
                if let (Some(map), Verdict::Skipped(why)) = (check.as_object_mut(), &line.verdict) {
                    map.insert("reason".to_owned(), json!(why));
                }
                check
            })
            .collect();
        json!({ "apiVersion": "meshctl.amime.io/v1", "kind": "CheckReport", "success": self.count().errors == 0, "checks": checks })
    }

    /// JUnit's XML, in which CI systems show tests.
    pub fn junit(&self) -> String {
        let count = self.count();
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let (all, failed) = (self.lines.len(), count.errors + count.warnings);
        let skipped = count.skipped;
        writeln!(
            out,
            "<testsuite name=\"meshctl check\" tests=\"{all}\" failures=\"{failed}\" skipped=\"{skipped}\">"
        )
        .ok();
        for line in &self.lines {
            let (group, name) = (xml(line.check.group), xml(line.check.title));
            write!(out, "  <testcase classname=\"{group}\" name=\"{} {name}\"", line.check.id).ok();
            match &line.verdict {
                Verdict::Passed => out.push_str("/>\n"),
                Verdict::Skipped(why) => {
                    writeln!(out, "><skipped message=\"{}\"/></testcase>", xml(why)).ok();
                }
                Verdict::Found(_, found) => {
                    let text = xml(&found.join("\n"));
                    writeln!(out, "><failure type=\"{}\">{text}</failure></testcase>", line.result()).ok();
                }
            }
        }
        out.push_str("</testsuite>\n");
        out
    }
}

fn details(line: &Line, out: &mut String) {
    for found in line.found() {
        writeln!(out, "    {found}").ok();
    }
    if !line.found().is_empty() {
        writeln!(out, "    → meshctl check --explain {}", line.check.id).ok();
    }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
