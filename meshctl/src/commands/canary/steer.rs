//! `meshctl canary promote`, `pause`, `resume`, `abort`: an order, and what became of it.

use mesh_proto::inspect::v1::{CanaryOrder, SteerCanaryRequest};
use serde_json::json;

use super::Which;
use crate::client::inspect::Inspect;
use crate::cluster::ClusterArgs;
use crate::commands::Outcome;
use crate::output::{self, Format};

/// Arguments of an order.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// Arguments of `meshctl canary promote`.
#[derive(Debug, clap::Args)]
pub(super) struct PromoteArgs {
    #[command(flatten)]
    pub(super) steer: Args,
    /// All requests to the new version at once, without the steps that are left
    #[arg(long)]
    pub(super) full: bool,
}

/// Gives the order and prints what became of it.
pub(super) async fn run(args: &Args, client: &Inspect, order: CanaryOrder) -> anyhow::Result<Outcome> {
    let (namespace, name) = args.which.split();
    let request = SteerCanaryRequest {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        order: order.into(),
        local_only: false,
    };
    let said = client.steer_canary(request).await?;
    match args.output {
        Format::Json => output::json(&json!({ "namespace": namespace, "name": name, "said": said }))?,
        Format::Table => output::line(&said),
    }
    Ok(Outcome::Fine)
}
