//! The command line. Only names and help; no behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Debug, Parser)]
#[command(name = "mesh-e2e", disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install the mesh, live with it, and take it away.
    Scenarios(ScenariosArgs),
    /// Run Gateway API's own suite.
    Suite(SuiteArgs),
    /// Run our own cases.
    Own(OwnArgs),
    /// Name the scenarios and our own cases, and stop.
    List,
}

#[derive(Debug, Args)]
pub(crate) struct ScenariosArgs {
    /// The meshctl to use.
    #[arg(long, value_name = "FILE", default_value = "meshctl")]
    pub(crate) meshctl: PathBuf,
    /// The kubectl to use.
    #[arg(long, value_name = "FILE", default_value = "kubectl")]
    pub(crate) kubectl: PathBuf,
    /// Where the mesh's images are from, as `meshctl install --image-hub` takes it.
    #[arg(long, value_name = "HUB")]
    pub(crate) image_hub: Option<String>,
    /// Their tag.
    #[arg(long, value_name = "TAG")]
    pub(crate) image_tag: Option<String>,
    /// Requests a second of each protocol while pods come and go.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) rate: u32,
    /// Run these scenarios only, and the installation; may be repeated.
    #[arg(long = "only", value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Leave mesh and application as they are at the end.
    #[arg(long)]
    pub(crate) keep: bool,
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct SuiteArgs {
    /// The suite's test binary.
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: PathBuf,
    /// Run these tests only; may be repeated.
    #[arg(long = "test", value_name = "NAME")]
    pub(crate) tests: Vec<String>,
    /// Where the suite's report goes; only for a run of everything.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Version of the mesh that the report names.
    #[arg(long, value_name = "VERSION")]
    pub(crate) mesh_version: String,
    /// Everything that the suite prints goes here.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: PathBuf,
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct OwnArgs {
    /// The kubectl to use.
    #[arg(long, value_name = "FILE", default_value = "kubectl")]
    pub(crate) kubectl: PathBuf,
    /// Run these cases only; may be repeated.
    #[arg(long = "case", value_name = "NAME")]
    pub(crate) cases: Vec<String>,
    /// Leave the namespaces as they are at the end.
    #[arg(long)]
    pub(crate) keep: bool,
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object as the last line.
    Json,
}
