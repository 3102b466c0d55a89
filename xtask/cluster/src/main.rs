//! Clusters to test on from the command line, as `cargo xtask cluster` runs it; also the first process of a node. This file only puts
//! commands and library together.

mod cli;
mod show;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use mesh_cluster::{Backend, Cluster, Extent, Folders, Name, Program, Request, Use};

use crate::cli::{Cli, Command, Made, PackArgs, UpArgs, Which};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            show::line(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let folders = |which: &Which| {
        let cache = cli.cache.as_deref().context("`--cache` is missing; `cargo xtask cluster` says it")?;
        Ok::<_, anyhow::Error>(Folders::new(cache, Name::new(&which.name)?))
    };
    match cli.command {
        Command::Up(args) => {
            let cluster = Cluster::up(folders(&args.which)?, request(&args))?;
            show::status(&cluster.status()?);
        }
        Command::Smoke(args) => {
            mesh_cluster::smoke(folders(&args.up.which)?, request(&args.up), &args.images)?;
        }
        Command::Down(which) => Cluster::down(&folders(&which)?)?,
        Command::Status(args) => {
            let status = Cluster::open(folders(&args.which)?)?.status()?;
            if args.output == "json" {
                show::line(&serde_json::to_string(&status).context("write JSON")?);
            } else {
                show::status(&status);
            }
        }
        Command::Load(args) => {
            let cluster = Cluster::open(folders(&args.which)?)?;
            args.archives.iter().try_for_each(|archive| cluster.load(archive))?;
        }
        Command::Kubectl(args) => {
            return interactive(Cluster::open(folders(&args.which)?)?.kubectl(args.words)?);
        }
        Command::Run(args) => {
            let cluster = Cluster::open(folders(&args.which)?)?;
            let (program, rest) = args.words.split_first().context("a call has a program")?;
            return interactive(cluster.call(program)?.args(rest));
        }
        Command::Pack(args) => pack(&args)?,
        Command::With(args) => {
            let use_it = Use { archives: &args.archives, words: &args.words, keep: args.keep };
            let code = Cluster::with(folders(&args.up.which)?, request(&args.up), &use_it)?;
            return Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)));
        }
        Command::Bundle(args) => {
            mesh_cluster::bundle(&args.image, &args.files, &args.entrypoint, &args.user, &args.out)?;
            show::line(&format!("{} {}", args.image, args.out.display()));
        }
        Command::Node { spec } => return node(&spec),
        Command::Guard(which) => mesh_cluster::watch(&folders(&which)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn request(args: &UpArgs) -> Request {
    let backend = match args.backend {
        Made::Node => Backend::Node,
        Made::Kind => Backend::Kind,
    };
    let extent = if args.api_only { Extent::Api } else { Extent::Whole };
    Request { backend, nodes: args.nodes, extent }
}

fn pack(args: &PackArgs) -> Result<()> {
    for (name, program) in &args.images {
        let path = mesh_cluster::pack(name, program, &args.version, &args.out)?;
        show::line(&format!("{name} {}", path.display()));
    }
    Ok(())
}

fn node(spec: &Path) -> Result<ExitCode> {
    mesh_cluster::node::init::run(spec).map(|()| ExitCode::SUCCESS)
}

/// A program's exit code is ours.
fn interactive(program: Program) -> Result<ExitCode> {
    let code = program.interactive()?.code();
    Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
