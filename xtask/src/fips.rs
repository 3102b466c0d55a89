//! `cargo xtask fips`: builds with the validated form of AWS-LC, and asks the result whether it is one and offers nothing else (T44). In a
//! target folder of its own, since every package that touches TLS is built anew. It must not know what is approved; the test does.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::screen;
use crate::suites;

/// AWS-LC itself takes minutes.
const BUILD: Duration = Duration::from_mins(40);

/// False when the test fails.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    if let Some(problem) = suites::go_problem() {
        anyhow::bail!(problem);
    }
    let cargo = |args: &[&str]| {
        Program::new(cargo(), BUILD)
            .args(args)
            .dir(&workspace.root)
            .env("CARGO_TARGET_DIR", workspace.target.join("fips"))
            .env("CARGO_INCREMENTAL", "0")
    };
    screen::line("   what is offered, in a build for FIPS 140-3");
    let test =
        ["test", "--locked", "--profile", "ci", "--package", "mesh-identity", "--features", "fips", "--lib"];
    let fine = cargo(&test).arg("approved").code().context("test mesh-identity with the feature fips")? == 0;
    screen::line("   every program of ours with it");
    cargo(&["check", "--locked", "--profile", "ci", "--package", "meshctl", "--features", "fips"])
        .run()
        .context("check meshctl with the feature fips")?;
    Ok(fine)
}
