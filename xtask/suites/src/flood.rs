//! T34: a controller of its own process is flooded in every way that is bounded. [`attack`] says what is done, [`watcher`] is a proxy that does nothing
//! wrong meanwhile. Each offender must be refused or ended, what others are told must go on in time, and memory must stay in its bound.

mod attack;
mod watcher;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_lifecycle::tasks::Tasks;
use serde_json::json;
use tokio::time::Instant;

use self::attack::{ATTACKS, Attack, Target};
use self::watcher::{Told, Watcher};
use crate::cli::Flood;
use crate::mesh::Mesh;
use crate::mesh::objects::{self, Mtls};
use crate::process::resident;
use crate::report::{Outcome, Report};

/// What all floods together may add.
const GROWTH: u64 = 50 << 20;
/// Without floods, to compare.
const QUIET: Duration = Duration::from_secs(8);
/// An update may take twice as long as in quiet, and at least so long: below it the figure is the machine's.
const LEAST: Duration = Duration::from_millis(400);
const SAMPLE: Duration = Duration::from_millis(50);

/// Every attack, one after the other.
pub(crate) async fn run(args: &Flood) -> Result<ExitCode> {
    let mut report = Report::new("control-flood", args.output);
    let tasks = Tasks::new();
    let base = objects::settings(Mtls::Strict);
    let mesh = Mesh::start(&args.meshctl, &base).await?;
    let controller = *mesh.control().last().context("the controller runs")?;
    let mut watcher = Watcher::start(&mesh, &tasks).await.context("a proxy that does nothing wrong")?;
    let quiet = watcher.watch(&mesh, QUIET).await.context("without floods")?;
    report.note(format!("in quiet: {quiet}"));
    let target = Target::new(&mesh, &tasks);
    let before = resident(controller).context("the controller runs")?;
    let mut most = before;
    for attack in ATTACKS {
        let outcome = one(attack, &target, &mut watcher, &mesh, (&quiet, controller, &mut most)).await?;
        report.row("control plane", attack.name, attack.sent, attack.expected, &outcome);
    }
    let mib = |bytes: u64| bytes >> 20;
    let got = format!("{} MiB before, {} MiB at most", mib(before), mib(most));
    let outcome =
        if most.saturating_sub(before) <= GROWTH { Outcome::passed(got) } else { Outcome::failed(got) };
    report.row("control plane", "memory", "all of them", "at most 50 MiB more", &outcome);
    Ok(report.close(
        &json!({ "quiet_p99_ms": quiet.p99.as_millis(), "memory_before": before, "memory_most": most }),
    ))
}

async fn one(
    attack: &Attack,
    target: &Target<'_>,
    watcher: &mut Watcher,
    mesh: &Mesh,
    (quiet, controller, most): (&Told, u32, &mut u64),
) -> Result<Outcome> {
    let begin = Instant::now();
    let came = {
        let mut attacking = std::pin::pin!(target.make(attack.kind));
        let mut watching = std::pin::pin!(watcher.watch_until(mesh));
        let mut sample = tokio::time::interval(SAMPLE);
        loop {
            tokio::select! {
                came = &mut attacking => break came,
                told = &mut watching => anyhow::bail!("the watcher ended: {told:?}"),
                _ = sample.tick() => *most = (*most).max(resident(controller).context("the controller has ended")?),
            }
        }
    };
    let told = watcher.take();
    let bound = (quiet.p99 * 2).max(LEAST);
    let got = match &came {
        Ok(came) => format!("{came} after {:.1} s; meanwhile {told}", begin.elapsed().as_secs_f32()),
        Err(error) => format!("{error:#}; meanwhile {told}"),
    };
    Ok(if came.is_ok() && told.updates > 0 && told.p99 <= bound {
        Outcome::passed(got)
    } else {
        Outcome::failed(got)
    })
}
