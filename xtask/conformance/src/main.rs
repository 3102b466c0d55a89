//! Gateway API's conformance suite run against a mesh that is installed on a cluster, and our own cases for what the suite leaves
//! unchecked. It reaches the cluster by `KUBECONFIG` alone; who made it, and how the mesh came there, it must not know: `cargo xtask
//! conformance` does that and starts this where the cluster's addresses lead somewhere.

mod case;
mod cases;
mod cli;
mod kubectl;
mod own;
mod reply;
mod report;
mod screen;
mod suite;
mod verdict;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            screen::line(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// False when a test failed.
fn run(cli: &Cli) -> Result<bool> {
    match &cli.command {
        Command::Suite(args) => suite::run(args),
        Command::Own(args) => own::run(args),
        Command::List => {
            for case in cases::all() {
                screen::line(&format!("{:28} {}", case.name, case.about));
            }
            Ok(true)
        }
    }
}
