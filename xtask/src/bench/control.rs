//! `cargo xtask bench control`: runs the bench of the control plane, with an API server of its own where objects are to be in one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::cli::ControlBenchArgs;
use crate::cluster;
use crate::config::Workspace;
use crate::exec::Program;

/// Ten thousand services take most of it to be made.
const RUN: Duration = Duration::from_mins(40);
const CRDS: [&str; 2] = ["deploy/crds", "deploy/gateway-api"];

/// What came out is no reason to fail, but with `--check` a goal for storms that is not met is.
pub(super) fn run(
    workspace: &Workspace,
    args: &ControlBenchArgs,
    meshctl: &Path,
    bench: &Path,
) -> Result<bool> {
    ensure!(!args.pods || args.source == "cluster", "--pods needs --source cluster: a folder has no pods");
    let program = if args.source == "cluster" {
        let words = ["with", "--name", "bench", "--api-only", "--"];
        Program::new(cluster::build(workspace)?, RUN)
            .arg("--cache")
            .arg(&workspace.cache)
            .args(words)
            .arg(bench)
    } else {
        Program::new(bench, RUN)
    };
    let mut program =
        program.dir(&workspace.root).args(["control", "--source", &args.source, "--meshctl"]).arg(meshctl);
    let numbers =
        [("--services", args.services), ("--endpoints", args.endpoints), ("--streams", args.streams)];
    for (option, number) in numbers {
        program = program.args([option, &number.to_string()]);
    }
    if args.source == "cluster" {
        program = program.args(["--kubectl", "{kubectl}"]);
        for folder in CRDS {
            program = program.arg("--crds").arg(workspace.root.join(folder));
        }
    }
    for (option, given) in [("--pods", args.pods), ("--quick", args.quick), ("--check", args.check)] {
        if given {
            program = program.arg(option);
        }
    }
    if let Some(output) = &args.output {
        program = program.args(["--output", output]);
    }
    program.run()?;
    Ok(true)
}
