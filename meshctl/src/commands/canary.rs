//! `meshctl canary`: releases of new versions. `list`, `status`, `watch` and `history` look, the others steer; `simulate` asks nobody.

mod create;
mod diff;
mod simulate;
mod steer;
mod view;
mod watch;

use anyhow::bail;
use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{CanaryOrder, CanaryRelease};

use super::{Outcome, inspect};
use crate::client::inspect::Inspect;
use crate::cluster::ClusterArgs;
use crate::output::{self, Format, Paint};

/// Arguments of `meshctl canary`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a Canary from a few flags: into the cluster, or into the objects of the mesh on this machine
    Create(Box<create::Args>),
    /// Show all releases
    List(ListArgs),
    /// Show where a release stands and what it is judged by; exit code 1 if it was taken back
    Status(OneArgs),
    /// Follow a release to its end; exit code 1 if it is taken back
    Watch(watch::Args),
    /// Let a release go on: the next step, or with --full all of it
    Promote(steer::PromoteArgs),
    /// Take no further step; figures are still looked at
    Pause(steer::Args),
    /// Take steps again
    Resume(steer::Args),
    /// Take the new version back
    Abort(steer::Args),
    /// Show the releases that are over
    History(OneArgs),
    /// Show where answers of the new version differ from those that callers got; exit code 1 if they do
    Diff(diff::Args),
    /// Run the analysis over made-up histories of good and bad versions, and count what becomes of them
    Simulate(simulate::Args),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only this namespace
    #[arg(short, long, default_value = "", hide_default_value = true)]
    namespace: String,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Which one.
#[derive(Debug, clap::Args)]
struct Which {
    /// The Canary
    #[arg(value_name = "[NAMESPACE/]NAME")]
    name: String,
    /// Its namespace, if the name does not say it
    #[arg(short, long, default_value = "default")]
    namespace: String,
}

impl Which {
    fn split(&self) -> (&str, &str) {
        self.name.split_once('/').unwrap_or((&self.namespace, &self.name))
    }
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    #[command(flatten)]
    which: Which,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Carries out the subcommand.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let asked = async |cluster: &ClusterArgs| inspect(mesh, cluster, tasks).await;
    match args.command {
        Command::Create(args) => Box::pin(create::run(&args, mesh)).await,
        Command::List(args) => list(&args, &asked(&args.cluster).await?).await,
        Command::Status(args) => status(&args, &asked(&args.cluster).await?).await,
        Command::Watch(args) => {
            let client = asked(&args.cluster).await?;
            watch::run(&args, &client).await
        }
        Command::Promote(args) => {
            let order = if args.full { CanaryOrder::PromoteFully } else { CanaryOrder::Promote };
            steer::run(&args.steer, &asked(&args.steer.cluster).await?, order).await
        }
        Command::Pause(args) => steer::run(&args, &asked(&args.cluster).await?, CanaryOrder::Pause).await,
        Command::Resume(args) => steer::run(&args, &asked(&args.cluster).await?, CanaryOrder::Resume).await,
        Command::Abort(args) => steer::run(&args, &asked(&args.cluster).await?, CanaryOrder::Abort).await,
        Command::History(args) => history(&args, &asked(&args.cluster).await?).await,
        Command::Diff(args) => diff::run(&args, &asked(&args.cluster).await?).await,
        Command::Simulate(args) => simulate::run(&args),
    }
}

async fn list(args: &ListArgs, client: &Inspect) -> anyhow::Result<Outcome> {
    let all = client.canaries(&args.namespace).await?;
    match args.output {
        Format::Json => output::json(&all.iter().map(json::canary).collect::<Vec<_>>())?,
        Format::Table if all.is_empty() => {
            output::note("there is no Canary; docs/tasks/canary.md says how one is written");
        }
        Format::Table => output::print(&view::table(&all).render(Paint::stdout())),
    }
    Ok(Outcome::Fine)
}

async fn status(args: &OneArgs, client: &Inspect) -> anyhow::Result<Outcome> {
    let release = one(client, &args.which).await?;
    match args.output {
        Format::Json => output::json(&json::canary(&release))?,
        Format::Table => output::print(&view::status(&release, now(), Paint::stdout())),
    }
    Ok(view::outcome(&release))
}

async fn history(args: &OneArgs, client: &Inspect) -> anyhow::Result<Outcome> {
    let release = one(client, &args.which).await?;
    match args.output {
        Format::Json => output::json(&json::canary_past(&release))?,
        Format::Table if release.past.is_empty() => output::note("no release is over yet"),
        Format::Table => output::print(&view::history(&release).render(Paint::stdout())),
    }
    Ok(Outcome::Fine)
}

/// The release of that name.
async fn one(client: &Inspect, which: &Which) -> anyhow::Result<CanaryRelease> {
    let (namespace, name) = which.split();
    let all = client.canaries("").await?;
    if let Some(found) = all.iter().find(|it| it.namespace == namespace && it.name == name) {
        return Ok(found.clone());
    }
    let known: Vec<String> = all.iter().map(|it| format!("{}/{}", it.namespace, it.name)).collect();
    if known.is_empty() {
        bail!("there is no Canary {namespace}/{name}, nor any other");
    }
    bail!("there is no Canary {namespace}/{name}; there are {}", known.join(", "));
}

/// Unix seconds.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}
