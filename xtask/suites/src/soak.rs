//! The soak: mixed load on a mesh for long, while its configuration changes all the time. No error is free: every one is counted by
//! what it says, and one that nobody can explain fails the run. Memory must not grow.

mod churn;
pub(crate) mod lab;
pub(crate) mod load;
mod slope;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use mesh_lifecycle::tasks::Tasks;
use serde_json::json;
use tokio::time::Instant;

use self::churn::Churn;
use self::lab::Lab;
use self::load::{Counts, Kind};
use self::slope::Memory;
use crate::cli::Soak;
use crate::mesh::Authority;
use crate::report::{Outcome, Report};
use crate::screen;

const TOLD: Duration = Duration::from_secs(10);
const SAMPLE: Duration = Duration::from_secs(2);
/// Requests end within that after the load was stopped.
const END: Duration = Duration::from_secs(30);

/// Runs for the minutes that were asked for.
pub(crate) async fn run(args: &Soak) -> Result<ExitCode> {
    let tasks = Tasks::new();
    let mut lab = Lab::start(&args.meshctl, Authority::default(), &tasks).await?;
    let counts = Rc::new(Counts::default());
    let load = Tasks::new();
    load::start(&lab.ways, &counts, &load);
    let whole = Duration::from_secs(args.minutes * 60);
    screen::line(&format!("   load for {} min, {} changes a second", args.minutes, args.changes_per_second));
    let mut churn = Churn::new(args.changes_per_second);
    let mut memory = Memory::new(whole, lab.processes());
    let begin = Instant::now();
    let (mut told, mut sampled) = (begin, begin);
    while begin.elapsed() < whole {
        churn.due(begin.elapsed(), &lab.mesh)?;
        if sampled.elapsed() >= SAMPLE {
            sampled = Instant::now();
            memory.sample(begin.elapsed());
            lab.recorder.forget();
            lab.alive()?;
        }
        if told.elapsed() >= TOLD {
            told = Instant::now();
            let now = begin.elapsed().as_secs();
            screen::line(&format!(
                "{now:>5} s  {}; {} changes; {}",
                counts.shown(),
                churn.made,
                memory.shown()
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    load.shutdown(END).await;
    Ok(close(args, &counts, &churn, &memory))
}

fn close(args: &Soak, counts: &Counts, churn: &Churn, memory: &Memory) -> ExitCode {
    let mut report = Report::new("soak", args.output);
    screen::line("");
    for kind in Kind::ALL {
        let (fine, failed) = counts.of(kind);
        let got = format!("{fine} answered, {failed} failed");
        let outcome = if failed == 0 && fine > 0 { Outcome::passed(got) } else { Outcome::failed(got) };
        report.row("load", kind.name(), &format!("{} requests", fine + failed), "all answered", &outcome);
        screen::line(&format!("        {}", outcome.got));
    }
    let errors = counts.errors();
    for (text, count) in &errors {
        report.row(
            "errors",
            text,
            &format!("{count} times"),
            "no error",
            &Outcome::failed(format!("{count} times")),
        );
    }
    let wanted = args.minutes * 60 * u64::from(args.changes_per_second);
    let got = format!("{} of {wanted} changes made", churn.made);
    // A loop that is late now and then makes a few less.
    let outcome = if churn.made * 10 >= wanted * 9 { Outcome::passed(got) } else { Outcome::failed(got) };
    report.row("configuration", "changes", "the folder", "as many as asked for", &outcome);
    for process in memory.judged() {
        report.row("memory", &process.name, "the load", &process.expected, &process.outcome);
        screen::line(&format!("        {}", process.outcome.got));
    }
    report.close(&json!({
        "minutes": args.minutes,
        "changes": churn.made,
        "requests": Kind::ALL.map(|kind| json!({ "kind": kind.name(), "answered": counts.of(kind).0, "failed": counts.of(kind).1 })),
        "errors": errors.iter().map(|(text, count)| json!({ "error": text, "count": count })).collect::<Vec<_>>(),
        "memory": memory.json(),
    }))
}
