//! What came of the rows: printed as they end, counted, and given as JSON. Pure but for the printing.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::Output;
use crate::screen;

/// Longest text of a row that is printed; more is cut.
const SHOWN: usize = 300;

/// What came of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: bool,
    pub(crate) got: String,
}

impl Outcome {
    pub(crate) fn passed(got: impl Into<String>) -> Self {
        Self { passed: true, got: got.into() }
    }

    pub(crate) fn failed(got: impl Into<String>) -> Self {
        Self { passed: false, got: got.into() }
    }
}

/// All rows so far.
#[derive(Debug)]
pub(crate) struct Report {
    title: &'static str,
    output: Output,
    rows: Vec<Value>,
    passed: usize,
    failed: Vec<String>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(title: &'static str, output: Output) -> Self {
        Self { title, output, rows: Vec::new(), passed: 0, failed: Vec::new(), notes: Vec::new() }
    }

    /// What a reader must know that no row says.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        screen::line(&format!("note: {text}"));
        self.notes.push(text);
    }

    /// One row: `part` is a role or a suite.
    pub(crate) fn row(&mut self, part: &str, name: &str, sent: &str, expected: &str, outcome: &Outcome) {
        let word = if outcome.passed { "passed" } else { "FAILED" };
        screen::line(&format!("{word}  {part:<14} {name}"));
        if outcome.passed {
            self.passed += 1;
        } else {
            self.failed.push(format!("{part} {name}"));
            screen::line(&format!("        sent     {}", cut(sent)));
            screen::line(&format!("        expected {expected}"));
            screen::line(&format!("        got      {}", cut(&outcome.got)));
        }
        self.rows.push(json!({
            "part": part,
            "row": name,
            "passed": outcome.passed,
            "sent": cut(sent),
            "expected": expected,
            "got": cut(&outcome.got),
        }));
    }

    /// The names of failed rows, the JSON if it was asked for, and the closing line.
    pub(crate) fn close(self, facts: &Value) -> ExitCode {
        if !self.failed.is_empty() {
            screen::line("\nfailed:");
            for name in &self.failed {
                screen::line(&format!("  {name}"));
            }
        }
        if self.output == Output::Json {
            let all = json!({
                "title": self.title,
                "passed": self.passed,
                "failed": self.failed.len(),
                "notes": self.notes,
                "facts": facts,
                "rows": self.rows,
            });
            screen::line(&all.to_string());
        }
        screen::line(&format!("{} passed, {} failed", self.passed, self.failed.len()));
        if self.passed == 0 && self.failed.is_empty() {
            screen::line("no row was run: does --row name the beginning of one?");
        }
        let fine = self.failed.is_empty() && self.passed > 0;
        if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn cut(text: &str) -> String {
    if text.len() <= SHOWN {
        return text.to_owned();
    }
    let mut end = SHOWN;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
}

/// Bytes for people: printable ASCII as it is, the rest escaped.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let part = bytes.get(..bytes.len().min(SHOWN)).unwrap_or_default();
    if part.len() < bytes.len() {
        return format!("{}… ({} bytes)", part.escape_ascii(), bytes.len());
    }
    part.escape_ascii().to_string()
}

/// Whether a row is wanted: every row when nothing is named.
pub(crate) fn wanted(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|wanted| name.starts_with(wanted.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(200);
        assert_eq!(cut(&long), format!("{}… (400 bytes)", "é".repeat(150)));
        assert!(shown(&[0x41; 400]).ends_with("… (400 bytes)"));
        assert_eq!(shown(b"a\r\n\x80"), "a\\r\\n\\x80");
    }

    #[test]
    fn a_report_without_rows_is_no_success() {
        let empty = Report::new("t", Output::Text).close(&Value::Null);
        assert_eq!(format!("{empty:?}"), format!("{:?}", ExitCode::FAILURE));
    }

    #[test]
    fn rows_are_chosen_by_their_beginning() {
        assert!(wanted(&[], "te-and-cl"));
        assert!(wanted(&["te-".to_owned()], "te-and-cl"));
        assert!(!wanted(&["cl-".to_owned()], "te-and-cl"));
    }
}
