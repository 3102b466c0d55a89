//! `cargo xtask helm`: renders the chart with Helm's own engine, a Go module, and with ours, and compares the objects. It must not
//! know the chart.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::{screen, suites};

const LIMIT: Duration = Duration::from_mins(20);

/// False when an object differs.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let helm = suites::helm_program(workspace)?;
    screen::line("   comparing the chart's objects with Helm's");
    let code = Program::new(cargo(), LIMIT)
        .args([
            "run",
            "--quiet",
            "--locked",
            "--profile",
            "ci",
            "--package",
            "mesh-chart",
            "--example",
            "compare",
            "--",
        ])
        .arg(helm)
        .args(["deploy/chart", "meshctl/chart/samples"])
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("CARGO_INCREMENTAL", "0")
        .code()
        .context("compare")?;
    Ok(code == 0)
}
