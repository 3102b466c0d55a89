//! `mesh-simulate`: very many proxies and a few controllers in virtual time. What decides is the mesh's own code (back-off with its jitter,
//! admission of streams) and what it says about itself (deadlines, bounds); what things cost is measured by `cargo xtask bench control`. The
//! tests of this package simulate single streams, with the whole code of both sides.

mod control;
mod screen;

use std::process::ExitCode;

use clap::Parser as _;

use crate::control::Args;

#[derive(Debug, clap::Parser)]
#[command(name = "mesh-simulate", about = "The mesh in virtual time")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Proxies and replicas of the controller: they start, replicas die and come back, networks part, versions roll
    Control(Args),
}

fn main() -> ExitCode {
    let Command::Control(args) = Cli::parse().command;
    match control::run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            screen::line(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}
