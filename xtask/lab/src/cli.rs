//! The command line of `mesh-lab`. Only names and help; no behaviour.

use clap::{Parser, Subcommand};

use crate::tools::Tools;

#[derive(Debug, Parser)]
#[command(
    name = "mesh-lab",
    about = "Tests of transparent capture in network namespaces",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the tests
    Run {
        /// Only tests whose name begins so; may be repeated
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
        #[command(flatten)]
        tools: Tools,
    },
    /// Name the tests and stop
    List,
    /// Run one test here; this process must have been started in a lab
    #[command(hide = true)]
    Case {
        /// Its name
        name: String,
        #[command(flatten)]
        tools: Tools,
    },
}
