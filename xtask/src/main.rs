//! The developer entry: `cargo xtask <command>`. Reads the command line, hands over to the command, turns its outcome
//! into an exit code. Knows nothing of how a command does its work.

mod bench;
mod browser;
mod ci;
mod cli;
mod cluster;
mod config;
mod e2e;
mod exec;
mod fips;
mod generate;
mod helm;
mod images;
mod kubernetes;
mod lab;
mod links;
mod mutants;
mod screen;
mod simulate;
mod suites;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::config::Workspace;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            screen::line(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let workspace = Workspace::discover()?;
    let fine = match cli.command {
        Command::Ci(args) => ci::run(&workspace, &args)?,
        Command::Gen(args) => generate::run(&workspace, &args.into())?,
        Command::Tidy => tidy::run(&workspace)?,
        Command::Links => links::run(&workspace)?,
        Command::BookTest => {
            e2e::Binaries::build(&workspace)?;
            e2e::book_test(&workspace, None)?
        }
        Command::RealSoftware => e2e::real_software(&workspace, &e2e::Binaries::build(&workspace)?)?,
        Command::Bench(args) => bench::run(&workspace, &args)?,
        Command::Browser(args) => browser::run(&workspace, &args)?,
        Command::Hostile(args) => suites::hostile(&workspace, &args)?,
        Command::Suites(args) => suites::suites(&workspace, &args)?,
        Command::LabTest(args) => lab::run(&workspace, &args)?,
        Command::Images(args) => images::run(&workspace, &args)?,
        Command::Helm => helm::run(&workspace)?,
        Command::Fips => fips::run(&workspace)?,
        Command::Mutants(args) => mutants::run(&workspace, &args)?,
        Command::Cluster(args) => cluster::run(&workspace, &args)?,
        Command::E2e(args) => kubernetes::e2e(&workspace, &args)?,
        Command::Conformance(args) => kubernetes::conformance(&workspace, &args)?,
        Command::Soak(args) => suites::soak(&workspace, &args)?,
        Command::Rotation(args) => suites::rotation(&workspace, &args)?,
        Command::ControlFlood(args) => suites::control_flood(&workspace, &args)?,
        Command::Simulate(args) => simulate::run(&workspace, &args)?,
        Command::Demo => e2e::demo(&workspace, &e2e::Binaries::build(&workspace)?)?,
    };
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
