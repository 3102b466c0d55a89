//! `meshctl local down`: ends the programs, or what is left of them when their keeper was killed.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tokio::time::Instant;

use super::super::Outcome;
use crate::local::descendants;
use crate::local::paths::MeshPaths;
use crate::local::probe::PACE;
use crate::local::process_ref::ProcessRef;
use crate::local::roster::Roster;
use crate::output;

/// Arguments of `meshctl local down`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {}

/// A program gets 10 s, its sidecar 7 s, the control plane 6 s.
const DEADLINE: Duration = Duration::from_secs(40);
/// Those that lost their keeper are told already.
const LEFT_BEHIND: Duration = Duration::from_secs(5);

/// Ends them. That there is nothing to end is no error: afterwards nothing runs.
pub(crate) async fn run(mesh: &str) -> anyhow::Result<Outcome> {
    let paths = MeshPaths::find(mesh)?;
    let roster = Roster::load(&paths).with_context(|| {
        format!("cannot read `{}`; if no programs run any more, remove it", paths.roster().display())
    })?;
    let Some(roster) = roster else {
        output::note(&format!("meshctl: no programs of `meshctl local up` run in the mesh `{mesh}`"));
        return Ok(Outcome::Fine);
    };
    let orderly = roster.keeper.lives();
    if orderly {
        roster.keeper.signal(Signal::TERM);
        if !all_end(&[roster.keeper], DEADLINE).await {
            bail!(
                "process {} does not end after {} s; `kill -KILL {}` and another `meshctl local down` end all",
                roster.keeper.pid,
                DEADLINE.as_secs(),
                roster.keeper.pid
            );
        }
    }
    let left = left_behind(&roster).await;
    fs::remove_file(paths.roster()).ok();
    let count = roster.entries.len();
    output::line(&match (orderly, left) {
        (true, _) => format!("Ended {count} programs of {}.", roster.file.display()),
        (false, 0) => format!("The programs of {} had ended already; cleaned up.", roster.file.display()),
        (false, left) => {
            format!("Ended {left} processes that a crash had left of {}.", roster.file.display())
        }
    });
    Ok(Outcome::Fine)
}

/// Ends what lost its keeper; how many there were.
async fn left_behind(roster: &Roster) -> usize {
    let mut left: Vec<ProcessRef> = roster
        .entries
        .iter()
        .flat_map(|entry| entry.processes().collect::<Vec<_>>())
        .filter(|process| process.lives())
        .flat_map(with_descendants)
        .collect();
    left.dedup();
    for process in &left {
        process.signal(Signal::TERM);
    }
    if !all_end(&left, LEFT_BEHIND).await {
        for process in &left {
            process.signal(Signal::KILL);
        }
        all_end(&left, LEFT_BEHIND).await;
    }
    left.len()
}

fn with_descendants(process: ProcessRef) -> Vec<ProcessRef> {
    let below = i32::try_from(process.pid).map(descendants::of).unwrap_or_default();
    let below = below.into_iter().filter_map(|pid| ProcessRef::of(u32::try_from(pid).ok()?));
    std::iter::once(process).chain(below).collect()
}

async fn all_end(processes: &[ProcessRef], within: Duration) -> bool {
    let until = Instant::now() + within;
    while processes.iter().any(|process| process.lives()) {
        if Instant::now() > until {
            return false;
        }
        tokio::time::sleep(PACE).await;
    }
    true
}
