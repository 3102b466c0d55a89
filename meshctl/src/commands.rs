//! One file a command: each carries out what `cli` typed. Errors end here as sentences on standard error.

pub(crate) mod analyze;
mod ask;
pub(crate) mod bug_report;
pub(crate) mod certs;
pub(crate) mod check;
pub(crate) mod cluster_check;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod error;
pub(crate) mod explain;
mod foreground;
pub(crate) mod inject;
pub(crate) mod install;
pub(crate) mod local;
pub(crate) mod proxy;
pub(crate) mod run;
pub(crate) mod stat;
pub(crate) mod sync;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod traffic;
pub(crate) mod uninstall;
pub(crate) mod up;
pub(crate) mod upgrade;
pub(crate) mod version;

use anyhow::Context;
use mesh_lifecycle::tasks::Tasks;

use crate::client::inspect::Inspect;
use crate::cluster::{ClusterArgs, Inside, has_cluster, has_kubeconfig};
use crate::local::state::{self, FindError};
use crate::output;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Fine,
    /// It worked and found something wrong: exit code 1.
    Finding,
    /// The exit code of the command that was run.
    Code(u8),
}

/// The connection that all inspecting commands start with. A cluster that is named is meant; else the mesh on this machine; where
/// none runs, the cluster of the kubeconfig, if there is one, or the one that this Pod runs in.
async fn inspect(mesh: &str, cluster: &ClusterArgs, tasks: &Tasks) -> anyhow::Result<Inspect> {
    if cluster.is_named() {
        return inside(cluster, tasks).await;
    }
    match state::find(mesh) {
        Ok(state) => {
            if has_kubeconfig() {
                output::note(&format!(
                    "this is the mesh `{mesh}` on this machine; for the one in a cluster give --context"
                ));
            }
            Ok(Inspect::connect(&state, tasks).await?)
        }
        Err(away @ FindError::NotRunning(_)) if has_cluster() => {
            let which = if has_kubeconfig() { "of the kubeconfig" } else { "that this Pod runs in" };
            inside(cluster, tasks).await.with_context(|| format!("{away}; so the cluster {which} was asked"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn inside(cluster: &ClusterArgs, tasks: &Tasks) -> anyhow::Result<Inspect> {
    Ok(Box::pin(Inspect::inside(&Inside::connect(cluster).await?, tasks)).await?)
}
