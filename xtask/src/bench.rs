//! `cargo xtask bench`: builds the release build of `meshctl` and of the load generator, finds or installs the peers, and
//! runs `mesh-bench`, which knows the rest.

mod control;
mod peers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::{BenchArgs, BenchCommand};
use crate::config::{Workspace, cargo};
use crate::e2e::Binaries;
use crate::exec::Program;
use crate::screen;

/// Two cores build everything in less.
const BUILD: Duration = Duration::from_mins(40);
/// Full rounds over all rows take a quarter of this.
const RUN: Duration = Duration::from_mins(40);
/// The promise of `--quick`, with room for a machine that does other things too.
const QUICK: Duration = Duration::from_mins(6);

/// Measures and prints; what came out is no reason to fail, only what could not be measured at all.
pub(crate) fn run(workspace: &Workspace, args: &BenchArgs) -> Result<bool> {
    let (meshctl, bench) = build(workspace)?;
    if let Some(BenchCommand::Control(args)) = &args.command {
        return control::run(workspace, args, &meshctl, &bench);
    }
    let peers = peers::find_or_install(workspace);
    let mut program = Program::new(bench, if args.quick { QUICK } else { RUN })
        .dir(&workspace.root)
        .arg("--meshctl")
        .arg(meshctl);
    for (option, path) in [("--envoy", peers.envoy), ("--nginx", peers.nginx), ("--haproxy", peers.haproxy)] {
        if let Some(path) = path {
            program = program.arg(option).arg(path);
        }
    }
    if args.quick {
        program = program.arg("--quick");
    }
    if !args.rows.is_empty() {
        program = program.arg("--rows").arg(args.rows.join(","));
    }
    if let Some(output) = &args.output {
        program = program.arg("--output").arg(output);
    }
    if let Some(charts) = &args.charts {
        program = program.arg("--charts").arg(charts);
    }
    program.run()?;
    Ok(true)
}

/// The programs: what is measured, and what measures.
fn build(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    screen::line("   building meshctl and mesh-bench");
    // One after the other: built together they would share features, and the proxy would not be the one that users build.
    let meshctl = Binaries::build(workspace)?.meshctl;
    Program::new(cargo(), BUILD)
        .args(["build", "--locked", "--release", "--package", "mesh-bench"])
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .run()
        .context("build the load generator")?;
    Ok((meshctl, workspace.target.join("release/mesh-bench")))
}
