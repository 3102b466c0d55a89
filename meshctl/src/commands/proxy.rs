//! `meshctl proxy`: what one sidecar of a cluster holds, asked from itself. The controller's view is in `sync`; where the two differ, this
//! one carries the traffic.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use serde_json::Value;

use super::Outcome;
use crate::cluster::{Api, CONTAINER, ClusterArgs, Inside, LogAsk, Sidecar, Target};
use crate::output::{self, Format, Paint};

mod view;

/// Arguments of `meshctl proxy`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

const HELP: &str = "\
POD is NAME or pod/NAME; deploy/NAME, sts/NAME and ds/NAME mean one of the workload's Pods.

Examples:
  meshctl proxy config web-7d8f -n shop            what the sidecar holds
  meshctl proxy endpoints deploy/web -n shop       where it would send requests
  meshctl proxy log deploy/web -n shop --level mesh_proxy=debug,info -f";

#[derive(Debug, Subcommand)]
enum What {
    /// Services, routes, policies and addresses that are in force in the sidecar
    Config(Show),
    /// Endpoints of every service that the sidecar knows, and how they stand
    Endpoints(Show),
    /// The certificate that the sidecar shows and the roots that it trusts; exit code 1 if it is no longer good
    Certs(Show),
    /// The sidecar's log; with --level, what it logs from now on
    Log(Log),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The Pod
    #[arg(value_name = "POD")]
    pod: Target,
    /// Its namespace; without it that of the context
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, clap::Args)]
struct Show {
    #[command(flatten)]
    which: Which,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
struct Log {
    #[command(flatten)]
    which: Which,
    /// Log this from now on, until the sidecar ends: error, warn, info, debug, trace, or a filter as `mesh_proxy=debug,info`
    #[arg(long, value_name = "FILTER")]
    level: Option<String>,
    /// How many lines to begin with
    #[arg(long, default_value_t = 100, value_name = "LINES")]
    tail: u32,
    /// Of the run before
    #[arg(short, long, conflicts_with_all = ["follow", "level"])]
    previous: bool,
    /// And what is logged from now on
    #[arg(short, long)]
    follow: bool,
}

/// Asks the sidecar and prints.
pub(crate) async fn run(args: Args) -> anyhow::Result<Outcome> {
    match args.what {
        What::Config(show) => {
            let (sidecar, dump) = ask(&show, "/config").await?;
            print(&show, &dump, || view::config(&sidecar.to_string(), &dump, Paint::stdout()))
        }
        What::Endpoints(show) => {
            let (_, dump) = ask(&show, "/endpoints").await?;
            print(&show, &dump, || view::endpoints(&dump).render(Paint::stdout()))
        }
        What::Certs(show) => {
            let (_, dump) = ask(&show, "/certs").await?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            print(&show, &dump, || view::certificate(&dump, now).render(Paint::stdout()))?;
            let good = dump.get("notAfter").and_then(Value::as_u64).is_none_or(|end| end > now);
            Ok(if good { Outcome::Fine } else { Outcome::Finding })
        }
        What::Log(log) => show_log(log).await,
    }
}

async fn ask(show: &Show, path: &str) -> anyhow::Result<(Sidecar, Value)> {
    let sidecar = find(&show.which).await?;
    let dump = sidecar.get(path).await?;
    Ok((sidecar, dump))
}

async fn find(which: &Which) -> anyhow::Result<Sidecar> {
    let api = Api::connect(&which.cluster).await?;
    let inside = Inside::connect(&which.cluster).await?;
    let namespace = which.namespace.clone().unwrap_or_else(|| api.default_namespace().to_owned());
    Ok(Sidecar::find(&api, inside, &namespace, &which.pod).await?)
}

fn print(show: &Show, dump: &Value, table: impl FnOnce() -> String) -> anyhow::Result<Outcome> {
    match show.output {
        Format::Json => output::json(dump)?,
        Format::Table => output::print(&table()),
    }
    Ok(Outcome::Fine)
}

async fn show_log(log: Log) -> anyhow::Result<Outcome> {
    let sidecar = find(&log.which).await?;
    if let Some(filter) = &log.level {
        sidecar.set_log(filter).await?;
        output::note(&format!("{sidecar} logs `{filter}` from now on, until its sidecar ends"));
    }
    let (tail, previous, follow) = (log.tail, log.previous, log.follow);
    let ask = LogAsk { container: CONTAINER, tail, most_bytes: None, previous, follow };
    sidecar.log(&ask, |chunk| output::print(&String::from_utf8_lossy(chunk))).await?;
    Ok(Outcome::Fine)
}
