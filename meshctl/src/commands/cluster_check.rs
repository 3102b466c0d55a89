//! `meshctl check`: what is wrong with the mesh in a cluster. It collects; `mesh-operate` judges. Neither the internet nor
//! Prometheus is asked.

use std::time::Duration;

use anyhow::bail;
use mesh_lifecycle::tasks::Tasks;
use mesh_operate::check::{self, Proxies, Proxy, Selection, State};

use super::Outcome;
use crate::client::inspect::Inspect;
use crate::cluster::{Api, ClusterArgs, Inside};
use crate::output::{self, Paint, Tone};

mod collect;

/// The controller has so long to say which proxies it knows.
const CONTROLLER: Duration = Duration::from_secs(5);
/// The check that needs its answer.
const CONNECTED: &str = "AMC064";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 fine (with --fail-on warning: no warnings either), 1 something is wrong, 2 the command failed."
)]
pub(crate) struct Args {
    /// Whether a mesh could be installed
    #[arg(long, conflicts_with = "proxy")]
    pre: bool,
    /// Look at every member too
    #[arg(long)]
    proxy: bool,
    /// Explain a check, without a cluster
    #[arg(long, value_name = "ID")]
    explain: Option<String>,
    /// List all checks, without a cluster
    #[arg(long)]
    list: bool,
    /// Only these checks
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,
    /// Not these checks
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    skip: Vec<String>,
    /// What makes the exit code 1
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Error)]
    fail_on: FailOn,
    /// Only what was found, or for machines
    #[arg(long, short, value_enum, value_name = "FORM", default_value_t = Form::Table)]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Warning,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Table,
    Short,
    Json,
    Junit,
}

pub(crate) async fn run(args: Args, tasks: &Tasks) -> anyhow::Result<Outcome> {
    if args.list {
        for check in check::all() {
            output::line(&format!("{}  {}: {}", check.id, check.group, check.title));
        }
        return Ok(Outcome::Fine);
    }
    if let Some(id) = &args.explain {
        return explain(id);
    }
    let unknown = args.only.iter().chain(&args.skip).find(|id| check::find(id).is_none());
    if let Some(unknown) = unknown {
        bail!("no check is named {unknown}: meshctl check --list shows all");
    }
    let selection =
        Selection { before: args.pre, members: args.proxy, only: args.only.clone(), skip: args.skip.clone() };
    let api = Api::connect(&args.cluster).await?;
    let state = Box::pin(collect::state(&api, &args.cluster.mesh_namespace, args.pre));
    let named = args.only.iter().any(|id| id.eq_ignore_ascii_case(CONNECTED));
    let proxies = async {
        if !args.proxy && !named {
            return Proxies::NotAsked;
        }
        match Inside::connect(&args.cluster).await {
            Ok(inside) => proxies(&inside, tasks).await,
            Err(error) => Proxies::Unanswered(error.to_string()),
        }
    };
    let (state, proxies) = tokio::join!(state, Box::pin(proxies));
    let state = State { proxies, ..state? };
    let report = check::run(&state, &selection);
    let paint = Paint::stdout();
    let mark = |mark: &'static str| paint.tone(tone(mark), mark);
    match args.output {
        Form::Table => output::print(&report.text(mark)),
        Form::Short => output::print(&report.short(mark)),
        Form::Json => output::json(&report.json())?,
        Form::Junit => output::print(&report.junit()),
    }
    let count = report.count();
    let wrong = count.errors > 0 || (args.fail_on == FailOn::Warning && count.warnings > 0);
    Ok(if wrong { Outcome::Finding } else { Outcome::Fine })
}

/// What a check of the mesh and its members finds, as JSON.
pub(crate) async fn report(
    api: &Api,
    inside: &Inside,
    namespace: &str,
    tasks: &Tasks,
) -> anyhow::Result<serde_json::Value> {
    let state = Box::pin(collect::state(api, namespace, false));
    let (state, proxies) = tokio::join!(state, Box::pin(proxies(inside, tasks)));
    let state = State { proxies, ..state? };
    let selection = Selection { before: false, members: true, only: Vec::new(), skip: Vec::new() };
    Ok(check::run(&state, &selection).json())
}

/// Which proxies the controller's replicas are connected to. That they do not say is no error here: other checks name it.
async fn proxies(inside: &Inside, tasks: &Tasks) -> Proxies {
    let ask = async { Inspect::inside(inside, tasks).await?.sync().await };
    match tokio::time::timeout(CONTROLLER, ask).await {
        Err(_) => Proxies::Unanswered(format!("no answer within {} s", CONTROLLER.as_secs())),
        Ok(Err(error)) => Proxies::Unanswered(format!("{:#}", anyhow::Error::from(error))),
        Ok(Ok(answer)) => {
            let connected = answer.proxies.into_iter().filter(|proxy| proxy.connected);
            let shown = connected.map(|proxy| Proxy {
                workload: format!("{}/{}", proxy.namespace, proxy.workload),
                version: proxy.proxy_version,
            });
            Proxies::Connected(shown.collect())
        }
    }
}

fn tone(mark: &str) -> Tone {
    match mark {
        "√" => Tone::Good,
        "‼" => Tone::Warning,
        "×" => Tone::Bad,
        _ => Tone::Faint,
    }
}

fn explain(id: &str) -> anyhow::Result<Outcome> {
    let Some(check) = check::find(id) else {
        bail!("no check is named {id}: meshctl check --list shows all");
    };
    output::line(&format!("{}  {}", check.id, check.title));
    output::line(&format!("\nWhat it means if this fails:\n  {}", check.meaning));
    output::line(&format!("\nWhat to do:\n  {}", check.remedy));
    Ok(Outcome::Fine)
}
