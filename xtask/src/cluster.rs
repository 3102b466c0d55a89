//! `cargo xtask cluster`: builds `mesh-cluster` and becomes it. It knows the rest.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::{ClusterArgs, ImagesArgs};
use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::images;

const BUILD: Duration = Duration::from_mins(20);
/// The first time Kubernetes is built: some 900 seconds of one core.
const SMOKE: Duration = Duration::from_mins(30);

/// Comes back only with an error: the terminal, its signals and the exit code are those of `mesh-cluster`.
pub(crate) fn run(workspace: &Workspace, args: &ClusterArgs) -> Result<bool> {
    let program = build(workspace)?;
    let error = Command::new(&program).arg("--cache").arg(&workspace.cache).args(&args.words).exec();
    Err(error).with_context(|| format!("start {}", program.display()))
}

/// Our images in a cluster of their own: it comes up, serves, and leaves nothing behind.
pub(crate) fn smoke(workspace: &Workspace) -> Result<bool> {
    let args = ImagesArgs { profile: "ci".to_owned(), ..ImagesArgs::default() };
    let packed = images::make(workspace, &args)?;
    packed
        .iter()
        .fold(
            Program::new(build(workspace)?, SMOKE)
                .arg("--cache")
                .arg(&workspace.cache)
                .args(["smoke", "--name", "ci"]),
            |program, (name, archive)| program.arg("--image").arg(format!("{name}={}", archive.display())),
        )
        .run()?;
    Ok(true)
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
