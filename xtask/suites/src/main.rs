//! Long tests of running proxies, as `cargo xtask hostile`, `suites`, `soak` and `rotation` run them. This file only puts them together; each
//! suite knows what it expects, and none of them knows how a proxy does it.

mod bystander;
mod cli;
mod flood;
mod h2raw;
mod hostile;
mod mesh;
mod process;
mod raw;
mod recorder;
mod report;
mod rotation;
mod screen;
mod soak;
mod suites;
mod way;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            screen::line(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// On one thread: what was started ends with the values that are dropped here, also after a signal.
fn run(cli: Cli) -> Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            code = Box::pin(suite(&cli)) => code,
            () = mesh_lifecycle::signal::shutdown() => anyhow::bail!("interrupted"),
        }
    })
}

async fn suite(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::Hostile(args) => hostile::run(args).await,
        Command::Suites(args) => suites::run(args).await,
        Command::Soak(args) => soak::run(args).await,
        Command::Rotation(args) => rotation::run(args).await,
        Command::ControlFlood(args) => Box::pin(flood::run(args)).await,
    }
}
