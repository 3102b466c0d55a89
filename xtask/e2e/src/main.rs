//! Tests of a mesh on a cluster: scenarios of a user's life with it, Gateway API's conformance suite, and our own cases for what that
//! leaves unchecked. It reaches the cluster by `KUBECONFIG` alone; who made it, it must not know: `cargo xtask e2e` and `conformance`
//! do that and start this where the cluster's addresses lead somewhere.

mod cli;
mod conformance;
mod kubectl;
mod program;
mod report;
mod scenarios;
mod screen;
mod wait;

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
        Command::Scenarios(args) => scenarios::run(args),
        Command::Conformance(args) => conformance::run(args),
        Command::List => {
            scenarios::list();
            conformance::list();
            Ok(true)
        }
    }
}
