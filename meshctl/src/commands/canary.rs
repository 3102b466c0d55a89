//! `meshctl canary`: releases of new versions. One file a subcommand.

mod simulate;

use super::Outcome;

/// Arguments of `meshctl canary`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the analysis over made-up histories of good and bad versions, and count what becomes of them
    Simulate(simulate::Args),
}

/// Carries out the subcommand.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    match &args.command {
        Command::Simulate(args) => simulate::run(args),
    }
}
