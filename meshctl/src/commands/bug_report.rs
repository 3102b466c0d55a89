//! `meshctl bug-report`: an archive with what somebody needs who is to find out what is wrong with a mesh in a cluster. What cannot be had is
//! left out, and said. It must not know how secrets are taken out; `report` writes nothing without.

use std::path::PathBuf;

use jiff::Timestamp;
use mesh_lifecycle::tasks::Tasks;

use super::Outcome;
use crate::cluster::{Api, ClusterArgs, Inside};
use crate::output;

mod collect;
mod redact;
mod report;

use report::Report;

/// Arguments of `meshctl bug-report`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The archive to make [default: amime-bug-report-TIME.tar.gz]
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    file: Option<PathBuf>,
    /// Make this folder, and no archive
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only sidecars of this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Dumps and logs of so many sidecars; those that are not ready come first
    #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=100))]
    sidecars: u32,
    #[command(flatten)]
    cluster: ClusterArgs,
}

const HELP: &str = "\
Keys, tokens, passwords, values of the environment and contents of Secrets are removed before
anything is written. Nothing is sent anywhere. Look through it before you give it to others.

Examples:
  meshctl bug-report
  meshctl bug-report --dir report -n shop";

/// Collects; only a report that cannot be written is an error, or a cluster that cannot be had.
pub(crate) async fn run(args: Args, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let api = Api::connect(&args.cluster).await?;
    let server = api.version().await?;
    let inside = Inside::connect(&args.cluster).await?;
    let name = Timestamp::now().strftime("amime-bug-report-%Y%m%dT%H%M%SZ").to_string();
    let (report, path) = match (args.dir, args.file) {
        (Some(dir), _) => (Report::folder(&dir)?, dir),
        (None, file) => {
            let file = file.unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
            (Report::archive(&file, &name)?, file)
        }
    };
    let mesh_namespace = args.cluster.mesh_namespace.clone();
    let mut collector = collect::Collector { api, inside, mesh_namespace, report };
    collector.installation().await?;
    Box::pin(collector.judgements(server, tasks)).await?;
    Box::pin(collector.sidecars(args.namespace.as_deref(), args.sidecars)).await?;
    let left_out = collector.report.close()?;
    if !left_out.is_empty() {
        output::note("left out:");
        for line in &left_out {
            output::note(&format!("  {line}"));
        }
    }
    output::line(&path.display().to_string());
    Ok(Outcome::Fine)
}
