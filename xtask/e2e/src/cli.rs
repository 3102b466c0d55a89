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
    /// Install the mesh, and run Gateway API's suite, or our own cases, or both.
    Conformance(ConformanceArgs),
    /// Name the scenarios and our own cases, and stop.
    List,
}

/// A user's programs.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
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
    /// The helm to use, for the scenario of that name; without it that one is not run.
    #[arg(long, value_name = "FILE", requires = "chart")]
    pub(crate) helm: Option<PathBuf>,
    /// The chart that it installs.
    #[arg(long, value_name = "DIR")]
    pub(crate) chart: Option<PathBuf>,
    /// Run these only, and what they need; may be repeated.
    #[arg(long = "only", value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Leave everything as it is at the end.
    #[arg(long)]
    pub(crate) keep: bool,
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct ScenariosArgs {
    #[command(flatten)]
    pub(crate) user: UserArgs,
    /// Requests a second of each protocol while pods come and go.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) rate: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ConformanceArgs {
    #[command(flatten)]
    pub(crate) user: UserArgs,
    /// Which tests.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: Profile,
    /// The mesh is there already.
    #[arg(long)]
    pub(crate) installed: bool,
    #[command(flatten)]
    pub(crate) suite: SuiteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SuiteArgs {
    /// The suite's test binary.
    #[arg(long, value_name = "FILE", default_value = "conformance.test")]
    pub(crate) binary: PathBuf,
    /// Where the suite's report goes; only for a run of everything.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Everything that the suite prints goes here.
    #[arg(long, value_name = "FILE", default_value = "conformance.log")]
    pub(crate) log: PathBuf,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// MESH-HTTP, MESH-GRPC, and the tests of a mesh that belong to no profile.
    Mesh,
    /// Our own cases.
    Own,
    /// Both.
    #[default]
    All,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object as the last line.
    Json,
}
