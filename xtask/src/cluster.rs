//! `cargo xtask cluster`: builds `mesh-cluster` and becomes it. It knows the rest.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::ClusterArgs;
use crate::config::{Workspace, cargo};
use crate::exec::Program;

const BUILD: Duration = Duration::from_mins(20);

/// Comes back only with an error: the terminal, its signals and the exit code are those of `mesh-cluster`.
pub(crate) fn run(workspace: &Workspace, args: &ClusterArgs) -> Result<bool> {
    let program = build(workspace)?;
    let error = Command::new(&program).arg("--cache").arg(&workspace.cache).args(&args.words).exec();
    Err(error).with_context(|| format!("start {}", program.display()))
}

/// The built program.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    Program::new(cargo(), BUILD)
        .args(["build", "--locked", "--quiet", "--profile", "ci", "--package", "mesh-cluster"])
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("CARGO_INCREMENTAL", "0")
        .run()
        .context("build mesh-cluster")?;
    Ok(workspace.target.join("ci/mesh-cluster"))
}
