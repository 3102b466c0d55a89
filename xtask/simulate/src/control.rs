//! The control plane under very many proxies. [`scenario`] says what happens when, [`world`] plays it, [`replica`] is a controller, [`costs`] what
//! its work takes, [`report`] what came of it. Pure but for reading the figures of a bench; the same seed gives the same run.

mod costs;
mod replica;
mod report;
mod scenario;
mod world;

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::screen;

use self::costs::Costs;
use self::world::World;

/// How many, for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Proxies
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    proxies: u32,
    /// Replicas of the controller; by default so many that two thirds of their places are taken
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    replicas: Option<u32>,
    /// Cores of a replica
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    cores: u32,
    /// Services of the mesh
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    services: u32,
    /// Services that a proxy uses
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    uses: u32,
    /// Changes in a second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    changes: u32,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Figures of `cargo xtask bench control -o json`, in place of those that docs/scale.md has
    #[arg(long, value_name = "FILE")]
    bench: Option<PathBuf>,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Table,
    /// One JSON object as the last line
    Json,
}

/// What a run depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) proxies: usize,
    pub(crate) replicas: usize,
    pub(crate) cores: usize,
    pub(crate) services: usize,
    pub(crate) uses: usize,
    pub(crate) changes: u32,
    pub(crate) seed: u64,
}

/// `false`: something that must hold did not.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let replicas = args.replicas.unwrap_or_else(|| (args.proxies * 3).div_ceil(20_000).max(2));
    ensure!(args.uses <= args.services, "a proxy cannot use {} of {} services", args.uses, args.services);
    let size = Size {
        proxies: args.proxies as usize,
        replicas: replicas as usize,
        cores: args.cores as usize,
        services: args.services as usize,
        uses: args.uses as usize,
        changes: args.changes,
        seed: args.seed,
    };
    let costs = match &args.bench {
        Some(file) => Costs::read(file)?,
        None => Costs::default(),
    };
    let result = World::run(size, costs);
    if args.output == Output::Json {
        screen::line(&report::json(&result, size, costs).to_string());
    } else {
        screen::line(&report::table(&result, size, costs));
    }
    Ok(result.spells.iter().all(|spell| spell.settled_s.is_some()))
}
