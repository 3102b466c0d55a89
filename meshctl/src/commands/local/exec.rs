//! `meshctl local exec`: a command beside a program, in its network namespace and with its environment, so that what it
//! calls sees the program's identity.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, bail};

use super::super::Outcome;
use super::super::foreground::{self, Signals};
use super::{called, roster};
use crate::local::orphan::PARENT_VARIABLE;
use crate::local::process;
use crate::local::process_ref::ProcessRef;
use crate::local::roster::{Entry, Roster};
use crate::local::spec::{PROXY_VARIABLES, REMOVED_VARIABLES};

/// Arguments of `meshctl local exec`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The program
    #[arg(value_name = "NAME[.NAMESPACE]")]
    name: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs it to its end; its exit code is ours.
pub(crate) async fn run(args: &Args, mesh: &str) -> anyhow::Result<Outcome> {
    let (_, roster) = roster(mesh)?;
    let pid = running(&roster, &args.name)?;
    let mut signals = Signals::new()?;
    let mut command = process::ourselves();
    command.arg("__enter").arg(pid.to_string()).args(&args.command).kill_on_drop(true);
    // What leads elsewhere must not come from us.
    for name in PROXY_VARIABLES.iter().chain(&REMOVED_VARIABLES) {
        command.env_remove(name);
    }
    command.envs(command_environment(pid)?);
    let mut child = command.spawn().context("cannot start the command's watcher")?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(Outcome::Code(foreground::code(status?))),
            signal = signals.next() => {
                if let Some(signal) = foreground::to_pass_on(signal) {
                    process::signal(&child, signal);
                }
            }
        }
    }
}

/// The process whose surroundings are those of the program.
fn running(roster: &Roster, name: &str) -> anyhow::Result<u32> {
    let found = called(roster, name)?;
    let alive = |entry: &&&Entry| entry.watcher.is_some_and(ProcessRef::lives);
    match found.iter().find(alive).and_then(|entry| entry.watcher) {
        Some(watcher) => Ok(watcher.pid),
        None => {
            let states: Vec<String> = found
                .iter()
                .map(|entry| format!("{} is {}", entry.full_name(), entry.state.word()))
                .collect();
            bail!("`{name}` does not run: {}; see `meshctl local ps`", states.join(", "))
        }
    }
}

/// What the program found in its environment.
fn command_environment(pid: u32) -> anyhow::Result<Vec<(OsString, OsString)>> {
    let bytes = fs::read(format!("/proc/{pid}/environ"))
        .with_context(|| format!("cannot read the environment of process {pid}"))?;
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|pair| {
        let middle = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(middle)?;
        Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.get(1..)?.to_vec())))
    });
    // Whose child it is to be, we know better.
    Ok(pairs.filter(|(name, _)| name != PARENT_VARIABLE).collect())
}
