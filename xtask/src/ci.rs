//! `cargo xtask ci`: the steps in order, each with a limit, its time printed, all within one hour.
//!
//! A failed step does not stop the others: one run tells everything that is wrong. Knows nothing of what a step does.

mod plan;
mod setup;
mod steps;

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cli::CiArgs;
use crate::config::Workspace;
use crate::screen;

use self::plan::{Outcome, Plan};
use self::steps::STEPS;

/// Past this nothing more is started: who waits for a check has something else to do.
const BUDGET: Duration = Duration::from_hours(1);

/// Runs the chosen steps; false when one failed.
pub(crate) fn run(workspace: &Workspace, args: &CiArgs) -> Result<bool> {
    if args.list {
        for step in STEPS {
            screen::line(&format!("{:15} {}", step.name, step.about));
        }
        return Ok(true);
    }
    let mut plan = Plan::new(STEPS, &args.only, &args.skip)?;
    let start = Instant::now();
    while let Some(step) = plan.next() {
        screen::line(&format!("\n── {} {}: {}", plan.position(), step.name, step.about));
        let began = Instant::now();
        let outcome = if start.elapsed() > BUDGET {
            Outcome::Failed("not started: the hour is over".to_owned())
        } else {
            match (step.run)(workspace) {
                Ok(true) => Outcome::Passed,
                Ok(false) => Outcome::Failed("see above".to_owned()),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            }
        };
        screen::line(&format!("   {} {} in {}", step.name, outcome, screen::elapsed(began.elapsed())));
        plan.record(step, outcome, began.elapsed());
    }
    for line in plan.summary(start.elapsed()) {
        screen::line(&line);
    }
    Ok(plan.fine())
}
