//! `meshctl mtls`: who still speaks plaintext to whom and why, and a service made strict when that loses nobody.

mod enforce;
mod facts;
mod report;

use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{StatRequest, StatResponse};
use mesh_proto::report::v1::Side;

use self::facts::Facts;
use super::analyze::{cluster_files, objects};
use super::explain::objects::{Objects, Place};
use super::{Outcome, inspect};
use crate::client::inspect::Inspect;
use crate::cluster::{Api, ClusterArgs, has_cluster};
use crate::local::state::{self, FindError};

/// Arguments of `meshctl mtls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show who still speaks plaintext to whom, and why; exit code 1 if somebody does
    Report(report::Args),
    /// Make a Service strict, when nobody would be lost that was seen; else say who, with exit code 1
    Enforce(enforce::Args),
}

/// How far back, and where.
#[derive(Debug, clap::Args)]
struct Window {
    /// Seconds to look back
    #[arg(short = 't', long, default_value_t = 3600, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Carries out one of the two.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Report(args) => Box::pin(report::run(args, mesh, tasks)).await,
        Command::Enforce(args) => Box::pin(enforce::run(args, mesh, tasks)).await,
    }
}

/// What proxies reported, from both sides.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// As callers saw it.
    outbound: StatResponse,
    /// As those who were called saw it.
    inbound: StatResponse,
}

async fn seen(inspect: &Inspect, window_seconds: u32) -> anyhow::Result<Seen> {
    let side = |side: Side| StatRequest { window_seconds, side: side.into(), ..StatRequest::default() };
    let outbound = inspect.stat(side(Side::Outbound)).await?;
    Ok(Seen { outbound, inbound: inspect.stat(side(Side::Inbound)).await? })
}

/// Where the mesh is, and where its objects go.
enum Home {
    /// On this machine: the folder of its objects.
    Folder(std::path::PathBuf),
    /// In a cluster.
    Cluster(Api),
}

/// The mesh that is meant, as `inspect` finds it, with what its objects say.
async fn home(mesh: &str, cluster: &ClusterArgs) -> anyhow::Result<(Home, Facts)> {
    let folder = if cluster.is_named() {
        None
    } else {
        match state::find(mesh) {
            Ok(state) => Some(state.objects),
            Err(FindError::NotRunning(_)) if has_cluster() => None,
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(folder) = folder {
        let objects = Objects::load(&[Place::Path(folder.clone())])?;
        return Ok((Home::Folder(folder), Facts::of(&objects)));
    }
    let api = Api::connect(cluster).await?;
    // With Pods: who has a sidecar is written there.
    let objects = objects(cluster_files(&api, &[]).await?, &[])?;
    Ok((Home::Cluster(api), Facts::of(&objects)))
}

/// Asks the controller and its objects.
async fn ask(window: &Window, mesh: &str, tasks: &Tasks) -> anyhow::Result<(Home, Facts, Seen)> {
    let inspect = inspect(mesh, &window.cluster, tasks).await?;
    let (home, facts) = home(mesh, &window.cluster).await?;
    Ok((home, facts, seen(&inspect, window.window).await?))
}
