//! `meshctl check`: what is wrong with the mesh in a cluster. It collects; `mesh-operate` judges. Neither the internet nor
//! Prometheus is asked.

use anyhow::bail;
use mesh_operate::check::{self, Selection};

use super::Outcome;
use crate::cluster::{Api, ClusterArgs};
use crate::output::{self, Paint, Tone};

mod collect;

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

pub(crate) async fn run(args: Args) -> anyhow::Result<Outcome> {
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
    let state = Box::pin(collect::state(&api, &args.cluster.mesh_namespace, args.pre)).await?;
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

/// What a check without options finds, as JSON.
pub(crate) async fn report(api: &Api, namespace: &str) -> anyhow::Result<serde_json::Value> {
    let state = Box::pin(collect::state(api, namespace, false)).await?;
    let selection = Selection { before: false, members: true, only: Vec::new(), skip: Vec::new() };
    Ok(check::run(&state, &selection).json())
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
