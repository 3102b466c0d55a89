//! Results as a table, as JSON and as JUnit XML. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::file::Case;
use super::judge::{Got, Mismatch};
use super::live::Live;
use crate::output::{Paint, Tone};

/// What became of a file's cases.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SuiteResult {
    pub(super) file: String,
    pub(super) cases: Vec<CaseResult>,
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CaseResult {
    pub(super) case: Case,
    /// `Err`: it asks about something that is not there.
    pub(super) got: Result<Got, String>,
    pub(super) mismatches: Vec<Mismatch>,
    /// What came of sending it; `None`: nobody asked for that.
    pub(super) live: Option<Live>,
}

impl CaseResult {
    pub(super) fn passes(&self) -> bool {
        self.got.is_ok() && self.mismatches.is_empty()
    }

    fn call(&self) -> String {
        let port = self.case.to.port.map(|port| format!(":{port}")).unwrap_or_default();
        let request = match &self.case.request {
            _ if self.case.tcp => " as TCP".to_owned(),
            Some(request) => format!(
                " {} {}",
                request.method.as_deref().unwrap_or("GET"),
                request.path.as_deref().unwrap_or("/")
            ),
            None => " GET /".to_owned(),
        };
        format!("{} → {}{port}{request}", self.case.from.words(), self.case.to.service)
    }

    /// What is wrong, a line each.
    fn lines(&self) -> Vec<String> {
        let got = match &self.got {
            Err(error) => return vec![error.clone()],
            Ok(got) => got,
        };
        let mut lines: Vec<String> = self
            .mismatches
            .iter()
            .map(|it| format!("{}: expected {}, got {}", it.what, it.expected, it.got))
            .collect();
        lines.push(got.words.clone());
        lines.extend(got.decided_by.iter().map(|by| format!("decided by {by}")));
        lines.extend(got.reasons.iter().cloned());
        lines
    }
}

fn all(suites: &[SuiteResult]) -> impl Iterator<Item = &CaseResult> {
    suites.iter().flat_map(|suite| &suite.cases)
}

pub(super) fn failed(suites: &[SuiteResult]) -> usize {
    all(suites).filter(|result| !result.passes()).count()
}

pub(super) fn text(suites: &[SuiteResult], paint: Paint) -> String {
    let mut out = String::new();
    for suite in suites {
        let _ = writeln!(out, "{}", paint.tone(Tone::Strong, &suite.file));
        for result in &suite.cases {
            let (word, tone) = if result.passes() { ("pass", Tone::Good) } else { ("FAIL", Tone::Bad) };
            let call = paint.tone(Tone::Faint, &format!("({})", result.call()));
            let _ = writeln!(out, "  {}  {} {call}", paint.tone(tone, word), result.case.name);
            if let Some(live) = &result.live {
                let live = match live {
                    Live::Sent(answer) => format!("sent: {}", answer.words),
                    Live::Not(why) => format!("not sent: {why}"),
                };
                let _ = writeln!(out, "        {}", paint.tone(Tone::Faint, &live));
            }
            if !result.passes() {
                for line in result.lines() {
                    let _ = writeln!(out, "        {line}");
                }
            }
        }
        out.push('\n');
    }
    let (total, failed) = (all(suites).count(), failed(suites));
    let _ = writeln!(out, "{} passed, {failed} failed", total - failed);
    if all(suites).any(|result| result.live.is_some()) {
        let sent = all(suites).filter(|result| matches!(result.live, Some(Live::Sent(_)))).count();
        let _ = writeln!(out, "{sent} of {total} sent, the others judged alone");
    }
    out
}

pub(super) fn json(suites: &[SuiteResult], judged_on: &str) -> Value {
    let (total, failed) = (all(suites).count(), failed(suites));
    json!({
        "apiVersion": "meshctl.amime.io/v1",
        "kind": "MeshTestReport",
        "judgedOn": judged_on,
        "passed": total - failed,
        "failed": failed,
        "suites": suites.iter().map(|suite| json!({
            "file": suite.file,
            "tests": suite.cases.iter().map(case).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn case(result: &CaseResult) -> Value {
    let mismatches = result.mismatches.iter();
    let mismatches = mismatches.map(|it| json!({ "field": it.what, "expected": it.expected, "got": it.got }));
    let got = result.got.as_ref().ok();
    json!({
        "name": result.case.name,
        "call": result.call(),
        "passed": result.passes(),
        "error": result.got.as_ref().err(),
        "mismatches": mismatches.collect::<Vec<_>>(),
        "live": result.live.as_ref().map(|live| match live {
            Live::Sent(answer) => json!({
                "sent": true,
                "verdict": answer.verdict.map(super::file::Wanted::word),
                "status": answer.status,
                "words": answer.words,
            }),
            Live::Not(why) => json!({ "sent": false, "words": why }),
        }),
        "got": got.map(|got| json!({
            "verdict": got.verdict.map(super::file::Wanted::word),
            "words": got.words,
            "policy": got.policy,
            "wouldDeny": got.would_deny,
            "route": got.route.first(),
            "backends": got.backends,
            "status": got.status,
            "decidedBy": got.decided_by,
            "reasons": got.reasons,
        })),
    })
}

/// One `testsuite` a file, as build servers read them. No times: they would differ at every run and mean nothing.
pub(super) fn junit(suites: &[SuiteResult]) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let wrong = |result: &&CaseResult| result.got.is_err();
    let (total, errors) = (all(suites).count(), all(suites).filter(wrong).count());
    let failures = failed(suites) - errors;
    let _ = writeln!(
        out,
        "<testsuites name=\"meshctl test\" tests=\"{total}\" failures=\"{failures}\" errors=\"{errors}\">"
    );
    for suite in suites {
        let one = std::slice::from_ref(suite);
        let errors = suite.cases.iter().filter(wrong).count();
        let (tests, failures) = (suite.cases.len(), failed(one) - errors);
        let name = escaped(&suite.file);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">"
        );
        for result in &suite.cases {
            junit_case(&mut out, &name, result);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn junit_case(out: &mut String, class: &str, result: &CaseResult) {
    let name = escaped(&result.case.name);
    let head = format!("    <testcase classname=\"{class}\" name=\"{name}\"");
    if result.passes() {
        let _ = writeln!(out, "{head}/>");
        return;
    }
    let lines = result.lines();
    let message = escaped(lines.first().map_or("", String::as_str));
    let text = escaped(&lines.join("\n"));
    let kind = if result.got.is_err() { "error" } else { "failure" };
    let _ = writeln!(out, "{head}>\n      <{kind} message=\"{message}\">{text}</{kind}>\n    </testcase>");
}

/// For attributes and text alike. What XML 1.0 has no way to write (section 2.2) becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // An attribute would turn them into blanks.
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\r' => out.push_str("&#13;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
