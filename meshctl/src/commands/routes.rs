//! `meshctl routes`: success, rate and latency of each route.

use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{Group, StatRequest};

use super::stat::{Filter, bare, objectives_of, print_golden};
use super::{Outcome, inspect};
use crate::cluster::ClusterArgs;
use crate::output::Format;

/// Arguments of `meshctl routes`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only routes of this Service, or the route of this name
    #[arg(value_name = "NAME", default_value = "", hide_default_value = true, value_parser = bare)]
    name: String,
    #[command(flatten)]
    filter: Filter,
    /// Seconds to look back
    #[arg(short = 't', long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Asks once and prints.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let inspect = inspect(mesh, &args.cluster, tasks).await?;
    let asked = args.filter.request(args.window);
    let request = StatRequest { group: Group::Route.into(), name: args.name, ..asked };
    let objectives = objectives_of(&inspect, Group::Route).await;
    print_golden(&inspect.stat(request).await?, Group::Route, false, &objectives, args.output)?;
    Ok(Outcome::Fine)
}
