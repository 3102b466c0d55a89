//! Which steps run, what came of them, and how that is summed up. Pure.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::screen;

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed(String),
    /// A step that it needs did not pass.
    Skipped(&'static str),
}

impl Outcome {
    /// Of a step that printed what is wrong where it says no.
    pub(super) fn of(ran: Result<bool>) -> Self {
        match ran {
            Ok(true) => Self::Passed,
            Ok(false) => Self::Failed("see above".to_owned()),
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
            Self::Skipped(need) => write!(f, "skipped: {need} did not pass"),
        }
    }
}

/// A step: what it is called, what must have passed before it if it was chosen, what it does.
pub(super) struct Step<W: 'static> {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) needs: &'static [&'static str],
    pub(super) run: fn(&W) -> Result<bool>,
}

/// The steps of one run.
pub(super) struct Plan<W: 'static> {
    steps: Vec<&'static Step<W>>,
    /// How many were handed out, or skipped.
    at: usize,
    done: Vec<(&'static str, Outcome, Duration)>,
}

impl<W> Plan<W> {
    /// Refuses names that no step has: a typo must not pass as success.
    pub(super) fn new(all: &'static [Step<W>], only: &[String], skip: &[String]) -> Result<Self> {
        for name in only.iter().chain(skip) {
            if !all.iter().any(|step| step.name == name) {
                bail!("no step is named `{name}`; `cargo xtask ci --list` names them");
            }
        }
        let chosen = |step: &&Step<W>| {
            (only.is_empty() || only.iter().any(|name| name == step.name))
                && !skip.iter().any(|name| name == step.name)
        };
        let steps: Vec<_> = all.iter().filter(chosen).collect();
        if steps.is_empty() {
            bail!("no step is left to run");
        }
        Ok(Self { steps, at: 0, done: Vec::new() })
    }

    /// The next step whose needs passed; those before it whose needs did not are recorded as skipped.
    pub(super) fn next(&mut self) -> Option<&'static Step<W>> {
        loop {
            let step = *self.steps.get(self.at)?;
            self.at += 1;
            let Some(need) = step.needs.iter().find(|need| self.did_not_pass(need)) else {
                return Some(step);
            };
            self.done.push((step.name, Outcome::Skipped(need), Duration::ZERO));
        }
    }

    fn did_not_pass(&self, name: &str) -> bool {
        self.done.iter().any(|(done, outcome, _)| *done == name && *outcome != Outcome::Passed)
    }

    /// Whether others come after the step that was handed out last.
    pub(super) fn goes_on(&self) -> bool {
        self.at < self.steps.len()
    }

    /// Where the step that was handed out last stands: `[3/12]`.
    pub(super) fn position(&self) -> String {
        format!("[{}/{}]", self.at, self.steps.len())
    }

    pub(super) fn record(&mut self, step: &Step<W>, outcome: Outcome, took: Duration) {
        self.done.push((step.name, outcome, took));
    }

    pub(super) fn fine(&self) -> bool {
        self.done.iter().all(|(_, outcome, _)| *outcome == Outcome::Passed)
    }

    /// One line a step, one line in total, and the plain closing line that machines read.
    pub(super) fn summary(&self, took: Duration) -> Vec<String> {
        let mut lines = vec![String::new()];
        for (name, outcome, took) in &self.done {
            let first = outcome.to_string();
            let first = first.lines().next().unwrap_or_default();
            lines.push(format!("{name:15} {:>12}  {first}", screen::elapsed(*took)));
        }
        let count =
            |wanted: fn(&Outcome) -> bool| self.done.iter().filter(|(_, outcome, _)| wanted(outcome)).count();
        let passed = count(|outcome| *outcome == Outcome::Passed);
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = self.done.len() - passed - failed;
        lines.push(format!("ci: {} steps in {}", self.done.len(), screen::elapsed(took)));
        lines.push(match skipped {
            0 => format!("{passed} passed, {failed} failed"),
            _ => format!("{passed} passed, {failed} failed, {skipped} skipped"),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step<()>] = &[
        Step { name: "a", about: "", needs: &[], run: |()| Ok(true) },
        Step { name: "b", about: "", needs: &["a"], run: |()| Ok(true) },
        Step { name: "c", about: "", needs: &[], run: |()| Ok(true) },
    ];

    fn run(only: &[&str], skip: &[&str], failing: &str) -> (Vec<&'static str>, Vec<String>) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut plan = Plan::new(STEPS, &owned(only), &owned(skip)).unwrap();
        let mut ran = Vec::new();
        while let Some(step) = plan.next() {
            ran.push(step.name);
            let failed = step.name == failing;
            plan.record(
                step,
                if failed { Outcome::Failed("x".to_owned()) } else { Outcome::Passed },
                Duration::ZERO,
            );
        }
        (ran, plan.summary(Duration::ZERO))
    }

    #[test]
    fn a_step_whose_need_failed_is_skipped_and_the_others_run() {
        let (ran, summary) = run(&[], &[], "a");
        assert_eq!(ran, ["a", "c"]);
        assert_eq!(summary.last().unwrap(), "1 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn a_need_that_was_not_chosen_holds_nothing_up() {
        assert_eq!(run(&["b"], &[], "").0, ["b"]);
        assert_eq!(run(&[], &["a"], "").0, ["b", "c"]);
    }

    #[test]
    fn the_closing_line_stands_alone() {
        assert_eq!(run(&[], &[], "").1.last().unwrap(), "3 passed, 0 failed");
    }

    #[test]
    fn an_unknown_step_is_refused() {
        let error = Plan::new(STEPS, &["d".to_owned()], &[]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("no step is named `d`"), "{error}");
    }
}
