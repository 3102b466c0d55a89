//! The benchmark, as `cargo xtask bench` runs it: one thread of load, one of the back end, the proxies as processes.
//! `run` measures, `results` judges; this file only puts them together.

mod accounting;
mod authority;
mod backend;
mod certificates;
mod chart;
mod cli;
mod control;
mod features;
mod lab;
mod load;
mod machine;
mod peers;
mod process;
mod results;
mod rows;
mod run;
mod screen;
mod stats;
mod table;
mod wire;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use serde_json::json;

use crate::cli::{Cli, Command, Output};
use crate::lab::Lab;
use crate::machine::Cores;
use crate::process::Starter;
use crate::results::Results;
use crate::run::Pace;

fn main() -> ExitCode {
    match bench(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::line(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn bench(cli: &Cli) -> Result<()> {
    let begin = Instant::now();
    let meshctl = match &cli.command {
        Some(Command::Control(args)) => args.meshctl.clone(),
        None => cli.meshctl(),
    };
    ensure!(meshctl.is_file(), "{} is not there; `cargo xtask bench` builds it", meshctl.display());
    let (rows, cores) = (cli.rows(), Cores::find()?);
    let notes = machine::prepare();
    for note in &notes {
        screen::line(&format!("note: {note}"));
    }
    Cores::bind(cores.load)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")?;
    let local = tokio::task::LocalSet::new();
    if let Some(Command::Control(args)) = &cli.command {
        local.block_on(&runtime, until_interrupted(Box::pin(control::run(args, cores))))?;
        screen::line(&format!("bench: {} s", begin.elapsed().as_secs()));
        return Ok(());
    }
    let results = local.block_on(&runtime, until_interrupted(Box::pin(measured(cli, cores))))?;
    screen::line(&table::render(&results, &rows));
    if let Some(folder) = &cli.charts {
        let count = chart::write(&results, folder)?;
        screen::line(&format!("{count} charts in {}", folder.display()));
    }
    let seconds = begin.elapsed().as_secs();
    screen::line(&format!("bench: {seconds} s"));
    if cli.output == Output::Json {
        let facts = json!({
            "quick": cli.quick,
            "seconds": seconds,
            "load_core": cores.load,
            "proxy_core": cores.proxy,
            "notes": notes,
        });
        screen::line(&results.json(&rows, &facts).to_string());
    }
    Ok(())
}

async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        // What was started ends with the values that are dropped here.
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("wait for Ctrl-C")?;
            anyhow::bail!("interrupted")
        }
    }
}

async fn measured(cli: &Cli, cores: Cores) -> Result<Results> {
    let folder = tempfile::Builder::new().prefix("mesh-bench").tempdir().context("make a folder")?;
    let starter = Starter { cores, folder: folder.path().to_path_buf() };
    let rows = cli.rows();
    let lab = Lab::start(&starter, &cli.meshctl(), &cli.programs(), &rows).await?;
    let pace = if cli.quick { Pace::QUICK } else { Pace::FULL };
    Ok(run::rows(&lab, &rows, pace).await)
}
