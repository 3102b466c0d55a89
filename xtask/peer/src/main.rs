//! The application of the end-to-end tests: a server that ends as a good one should (it goes on answering what it has begun, and
//! tells the others to go), and a client that sends at a steady rate and counts every failure. It must not know the mesh: that is
//! what it is for.

mod cli;
mod exec;
mod faults;
mod load;
mod server;
mod tally;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use mesh_lifecycle::{Tasks, signal};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell if stderr is gone.
            writeln!(std::io::stderr(), "mesh-peer: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")?;
    let tasks = Tasks::new();
    runtime.block_on(async {
        match &cli.command {
            Command::Serve(args) => Box::pin(server::serve(args, &tasks, signal::shutdown())).await,
            Command::Load(args) => Box::pin(load::run(args, &tasks, signal::shutdown())).await,
            Command::Get(args) => {
                let by = Box::pin(load::get(args, &tasks)).await?;
                writeln!(std::io::stdout(), "{by}").context("print who answered")
            }
            Command::EndSidecar(args) => exec::end_sidecar(args.admin).await,
            Command::Report(args) => {
                let report = exec::get(args.listen).await?;
                writeln!(std::io::stdout(), "{report}").context("print the report")
            }
        }
    })
}
