//! `cargo xtask lab-test`: builds `meshctl`, `mesh-lab` and the program of Go that it needs, and runs `mesh-lab`, which knows the rest.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::cli::LabTestArgs;
use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::{screen, suites};

const BUILD: Duration = Duration::from_mins(20);
/// Five minutes is the promise; tests that fail wait longer before they say so.
const LIMIT: Duration = Duration::from_mins(25);

/// False when a test failed.
pub(crate) fn run(workspace: &Workspace, args: &LabTestArgs) -> Result<bool> {
    screen::line("   building mesh-lab");
    Program::new(cargo(), BUILD)
        .args(["build", "--locked", "--profile", "ci", "--package", "mesh-lab"])
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("CARGO_INCREMENTAL", "0")
        .run()
        .context("build mesh-lab")?;
    let program = Program::new(workspace.target.join("ci/mesh-lab"), LIMIT).dir(&workspace.root);
    if args.list {
        return fine(program.arg("list"));
    }
    let python = workspace.python().join("bin/python");
    ensure!(python.is_file(), "Python's packages are missing; `cargo xtask ci --only setup` installs them");
    let program = program
        .args(["run", "--meshctl"])
        .arg(suites::meshctl(workspace, args.meshctl.as_ref())?)
        .arg("--go")
        .arg(suites::lab_program(workspace)?)
        .arg("--python")
        .arg(python)
        .arg("--scripts")
        .arg(workspace.root.join("xtask"));
    fine(args.only.iter().fold(program, |program, name| program.arg("--only").arg(name)))
}

/// Tests that failed are exit code 1 and were printed; anything else that is not 0 is an error.
fn fine(program: Program) -> Result<bool> {
    match program.code()? {
        0 => Ok(true),
        1 => Ok(false),
        code => anyhow::bail!("mesh-lab ended with exit code {code}"),
    }
}
