//! The command line. Only names and help; no behaviour.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::peers::Programs;
use crate::rows::Row;

/// Measures our proxy and its peers under the same load, in the same minutes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", disable_help_subcommand = true)]
pub(crate) struct Cli {
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
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: PathBuf,
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
