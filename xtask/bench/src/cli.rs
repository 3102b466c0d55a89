//! The command line. Only names and help; no behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::control::{Pace, Size};
use crate::peers::Programs;
use crate::rows::Row;

/// Measures our proxy and its peers under the same load, in the same minutes.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Fewer and shorter rounds: under three minutes, more noise
    #[arg(long)]
    pub(crate) quick: bool,
    /// Run these rows only (comma separated)
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROW")]
    pub(crate) rows: Vec<Row>,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Also write charts (SVG) into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) charts: Option<PathBuf>,
    /// The release build of `meshctl`
    #[arg(long, value_name = "FILE", required = true)]
    meshctl: Option<PathBuf>,
    /// Envoy; without it its rows are empty
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// nginx; without it its rows are empty
    #[arg(long, value_name = "FILE")]
    nginx: Option<PathBuf>,
    /// `HAProxy`; without it its rows are empty
    #[arg(long, value_name = "FILE")]
    haproxy: Option<PathBuf>,
}

/// What else is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure the control plane: a controller with very many objects under very many proxies
    Control(ControlArgs),
}

/// Arguments of `control`.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// The release build of `meshctl`
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: PathBuf,
    /// Where the objects are: a folder, or the API server that KUBECONFIG names
    #[arg(long, value_enum, default_value_t = From::Folder)]
    pub(crate) source: From,
    /// Services, over fifty namespaces
    #[arg(long, value_name = "N", default_value_t = 1000)]
    services: usize,
    /// Endpoints of each
    #[arg(long, value_name = "N", default_value_t = 10)]
    endpoints: usize,
    /// Whether endpoints are pods that are there too
    #[arg(long)]
    pods: bool,
    /// Simulated proxies
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    streams: u32,
    /// Shorter phases
    #[arg(long)]
    pub(crate) quick: bool,
    /// Fail when a goal for storms (reconnects, a restart) is not met
    #[arg(long)]
    pub(crate) check: bool,
    /// Of a cluster: kubectl, which applies the CRDs
    #[arg(long, value_name = "FILE")]
    pub(crate) kubectl: Option<PathBuf>,
    /// Of a cluster: folders of CRDs
    #[arg(long, value_name = "DIR")]
    pub(crate) crds: Vec<PathBuf>,
    /// How results are printed
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// Where objects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    Folder,
    Cluster,
}

impl ControlArgs {
    pub(crate) fn size(&self) -> Size {
        let streams = usize::try_from(self.streams).unwrap_or(usize::MAX);
        Size { services: self.services, endpoints: self.endpoints, streams, pods: self.pods }
    }

    pub(crate) fn pace(&self) -> Pace {
        if self.quick { Pace::QUICK } else { Pace::FULL }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables for people
    Table,
    /// The tables, and as the last line one JSON object
    Json,
}

impl Cli {
    /// The rows in the order of running.
    pub(crate) fn rows(&self) -> Vec<Row> {
        // It is about ourselves and takes longer than all other rows of a quick run together.
        let usual = |row: &Row| self.rows.is_empty() && !(self.quick && *row == Row::Features);
        let wanted = |row: &Row| usual(row) || self.rows.contains(row);
        Row::ALL.into_iter().filter(wanted).collect()
    }

    /// The build that is measured.
    pub(crate) fn meshctl(&self) -> PathBuf {
        self.meshctl.clone().unwrap_or_default()
    }

    pub(crate) fn programs(&self) -> Programs {
        Programs { envoy: self.envoy.clone(), nginx: self.nginx.clone(), haproxy: self.haproxy.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_running_whatever_was_typed() {
        let cli = Cli::parse_from(["bench", "--meshctl", "m", "--rows", "latency,h1", "-o", "json"]);
        assert_eq!(cli.rows(), [Row::H1, Row::Latency]);
        assert_eq!(Cli::parse_from(["bench", "--meshctl", "m"]).rows(), Row::ALL);
        let quick = Cli::parse_from(["bench", "--meshctl", "m", "--quick"]);
        assert!(!quick.rows().contains(&Row::Features));
    }
}
