//! What came of the tests: printed as they end, and counted. Pure but for the printing.

use serde::Serialize;

use crate::cli::Output;
use crate::screen;

/// Names of tests by what came of them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: Vec<String>,
    pub(crate) failed: Vec<String>,
    pub(crate) skipped: Vec<String>,
}

impl Report {
    pub(crate) fn passed(&mut self, name: &str) {
        screen::line(&format!("passed   {name}"));
        self.passed.push(name.to_owned());
    }

    pub(crate) fn failed(&mut self, name: &str, why: &str) {
        screen::line(&format!("FAILED   {name}{}{why}", if why.is_empty() { "" } else { ": " }));
        self.failed.push(name.to_owned());
    }

    pub(crate) fn skipped(&mut self, name: &str) {
        screen::line(&format!("skipped  {name}"));
        self.skipped.push(name.to_owned());
    }

    pub(crate) fn is_begun(&self) -> bool {
        !(self.passed.is_empty() && self.failed.is_empty() && self.skipped.is_empty())
    }

    /// Prints the sum. Nothing failed, nothing was skipped and something ran: true.
    pub(crate) fn end(&self, output: Output) -> anyhow::Result<bool> {
        let Self { passed, failed, skipped } = self;
        screen::line(&format!("{} passed, {} failed, {} skipped", passed.len(), failed.len(), skipped.len()));
        if output == Output::Json {
            screen::line(&serde_json::to_string(self)?);
        }
        Ok(failed.is_empty() && skipped.is_empty() && !passed.is_empty())
    }
}
