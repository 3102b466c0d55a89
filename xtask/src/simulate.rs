//! `cargo xtask simulate`: builds `mesh-simulate` as users' programs are built, since it is a loop over millions of events, and runs it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cli::SimulateArgs;
use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::screen;

const BUILD: Duration = Duration::from_mins(40);
/// A million proxies take less.
const RUN: Duration = Duration::from_mins(20);

/// False when something did not hold that must.
pub(crate) fn run(workspace: &Workspace, args: &SimulateArgs) -> Result<bool> {
    screen::line("   building mesh-simulate");
    Program::new(cargo(), BUILD)
        .args(["build", "--locked", "--release", "--package", "mesh-simulate"])
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .run()
        .context("build mesh-simulate")?;
    let program = Program::new(workspace.target.join("release/mesh-simulate"), RUN);
    match program.dir(&workspace.root).args(&args.args).code()? {
        0 => Ok(true),
        1 => Ok(false),
        code => bail!("mesh-simulate ended with exit code {code}"),
    }
}
