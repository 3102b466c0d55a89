//! `cargo xtask ci`: the steps in order, each with a limit, its time printed, all within one hour.
//!
//! A failed step does not stop the others: one run tells everything that is wrong. One that mostly waits runs beside those that follow it. Knows
//! nothing of what a step does.

mod plan;
mod setup;
mod steps;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::cli::CiArgs;
use crate::config::Workspace;
use crate::exec::{Captured, Program};
use crate::screen;

use self::plan::{Outcome, Plan, Step};
use self::steps::{STEPS, WAITING};

/// Past this nothing more is started: who waits for a check has something else to do.
const BUDGET: Duration = Duration::from_hours(1);
/// For a step that runs beside others.
const ASIDE: Duration = Duration::from_mins(20);

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
    let mut beside: Option<Beside> = None;
    while let Some(step) = plan.next() {
        screen::line(&format!("\n── {} {}: {}", plan.position(), step.name, step.about));
        let late = start.elapsed() > BUDGET;
        if WAITING.contains(&step.name) && beside.is_none() && plan.goes_on() && !late {
            screen::line("   beside those that follow");
            beside = Some(Beside::start(workspace, step)?);
            continue;
        }
        let began = Instant::now();
        let outcome = if late {
            Outcome::Failed("not started: the hour is over".to_owned())
        } else {
            Outcome::of((step.run)(workspace))
        };
        settle(&mut plan, step, outcome, began.elapsed());
        if let Some(ended) = beside.take_if(|beside| beside.has_ended()) {
            ended.join(&mut plan);
        }
    }
    if let Some(beside) = beside {
        beside.join(&mut plan);
    }
    for line in plan.summary(start.elapsed()) {
        screen::line(&line);
    }
    Ok(plan.fine())
}

fn settle(plan: &mut Plan<Workspace>, step: &Step<Workspace>, outcome: Outcome, took: Duration) {
    screen::line(&format!("   {} {} in {}", step.name, outcome, screen::elapsed(took)));
    plan.record(step, outcome, took);
}

/// A step that runs as a process of its own, so that what it prints is told whole when it ends.
struct Beside {
    step: &'static Step<Workspace>,
    run: JoinHandle<(Result<Captured>, Duration)>,
}

impl Beside {
    fn start(workspace: &Workspace, step: &'static Step<Workspace>) -> Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        let program = Program::new(own, ASIDE).dir(&workspace.root).args(["ci", "--only", step.name]);
        let run = std::thread::spawn(move || {
            let began = Instant::now();
            (program.capture(), began.elapsed())
        });
        Ok(Self { step, run })
    }

    fn has_ended(&self) -> bool {
        self.run.is_finished()
    }

    fn join(self, plan: &mut Plan<Workspace>) {
        let (ran, took) = match self.run.join() {
            Ok((ran, took)) => (ran, took),
            Err(_) => (Err(anyhow::anyhow!("its thread panicked")), Duration::ZERO),
        };
        let ran = ran.map(|ran| {
            screen::line(&format!(
                "\n── {}, which ran beside the others\n{}{}",
                self.step.name, ran.stdout, ran.stderr
            ));
            ran.status.success()
        });
        settle(plan, self.step, Outcome::of(ran), took);
    }
}
