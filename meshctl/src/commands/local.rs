//! `meshctl local`: several programs as a mesh, from one file. It must not know how one is kept running.

mod down;
mod exec;
mod logs;
mod ps;
mod up;

use anyhow::{Context, bail};
use mesh_lifecycle::tasks::Tasks;

use super::Outcome;
use crate::local::paths::MeshPaths;
use crate::local::roster::{Entry, Roster};

/// Arguments of `meshctl local`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
A file:
  workloads:
    - name: hello
      command: python3 -m http.server 80
      ports: [80]
    - name: caller
      command: while sleep 1; do curl -s http://hello/ >/dev/null; done
      dependsOn: [hello]
Other documents of the same file, separated by ---, are objects of the mesh.";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start the programs of a file, each with a sidecar
    Up(up::Args),
    /// End all of them, also what a crash left behind
    Down(down::Args),
    /// Show how they are; exit code 1 if something is wrong
    Ps(ps::Args),
    /// Show what they wrote
    Logs(logs::Args),
    /// Run a command beside one of them: in its network namespace, with its identity
    Exec(exec::Args),
}

/// Carries it out.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Up(args) => Box::pin(up::run(&args, mesh, tasks)).await,
        Command::Down(_) => down::run(mesh).await,
        Command::Ps(args) => ps::run(&args, mesh),
        Command::Logs(args) => logs::run(&args, mesh).await,
        Command::Exec(args) => exec::run(&args, mesh).await,
    }
}

/// What runs, or ran until a crash.
fn roster(mesh: &str) -> anyhow::Result<(MeshPaths, Roster)> {
    let paths = MeshPaths::find(mesh)?;
    let roster =
        Roster::load(&paths).with_context(|| format!("cannot read `{}`", paths.roster().display()))?;
    match roster {
        Some(roster) => Ok((paths, roster)),
        None => bail!("no programs of `meshctl local up` run in the mesh `{mesh}`"),
    }
}

/// The programs that the user means by `name`.
fn called<'a>(roster: &'a Roster, name: &str) -> anyhow::Result<Vec<&'a Entry>> {
    let found: Vec<&Entry> = roster.entries.iter().filter(|entry| entry.is_called(name)).collect();
    if found.is_empty() {
        let all: Vec<String> = roster.entries.iter().map(Entry::full_name).collect();
        bail!("no program is called `{name}`; there are {}", all.join(", "));
    }
    Ok(found)
}
