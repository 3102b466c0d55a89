//! One file a command: each carries out what `cli` typed. Errors end here as sentences on standard error.

pub(crate) mod analyze;
mod ask;
pub(crate) mod authz;
pub(crate) mod bug_report;
mod callee;
pub(crate) mod canary;
pub(crate) mod certs;
pub(crate) mod check;
pub(crate) mod cluster_check;
pub(crate) mod cost;
pub(crate) mod dashboard;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod edges;
pub(crate) mod error;
pub(crate) mod explain;
mod foreground;
pub(crate) mod inject;
pub(crate) mod install;
pub(crate) mod local;
pub(crate) mod migrate;
pub(crate) mod mtls;
pub(crate) mod policy;
pub(crate) mod protocols;
pub(crate) mod proxy;
pub(crate) mod routes;
pub(crate) mod run;
pub(crate) mod stat;
pub(crate) mod sync;
pub(crate) mod tap;
pub(crate) mod test;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod traffic;
pub(crate) mod uninstall;
pub(crate) mod up;
pub(crate) mod upgrade;
pub(crate) mod version;
pub(crate) mod wait;
pub(crate) mod why;

use anyhow::Context;
use mesh_lifecycle::tasks::Tasks;

use crate::client::authority::AuthorityClient;
use crate::client::inspect::Inspect;
use crate::cluster::{ClusterArgs, Inside, has_cluster, has_kubeconfig};
use crate::local::state::{self, FindError, MeshState};
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

/// Which mesh is meant. A cluster that is named; else the mesh on this machine; where none runs, the cluster of the kubeconfig, if there is
/// one, or the one that this Pod runs in.
enum Meant {
    Here(MeshState),
    Inside(Inside),
}

async fn meant(mesh: &str, cluster: &ClusterArgs) -> anyhow::Result<Meant> {
    if cluster.is_named() {
        return Ok(Meant::Inside(Inside::connect(cluster).await?));
    }
    match state::find(mesh) {
        Ok(state) => {
            if has_kubeconfig() {
                output::note(&format!(
                    "this is the mesh `{mesh}` on this machine; for the one in a cluster give --context"
                ));
            }
            Ok(Meant::Here(state))
        }
        Err(away @ FindError::NotRunning(_)) if has_cluster() => {
            let which = if has_kubeconfig() { "of the kubeconfig" } else { "that this Pod runs in" };
            let asked = || format!("{away}; so the cluster {which} was asked");
            Ok(Meant::Inside(Inside::connect(cluster).await.with_context(asked)?))
        }
        Err(error) => Err(error.into()),
    }
}

/// The connection that all inspecting commands start with.
async fn inspect(mesh: &str, cluster: &ClusterArgs, tasks: &Tasks) -> anyhow::Result<Inspect> {
    match meant(mesh, cluster).await? {
        Meant::Here(state) => Ok(Inspect::connect(&state, tasks).await?),
        Meant::Inside(inside) => Ok(Box::pin(Inspect::inside(&inside, tasks)).await?),
    }
}

/// The certificate authority of that mesh.
async fn authority(mesh: &str, cluster: &ClusterArgs, tasks: &Tasks) -> anyhow::Result<AuthorityClient> {
    match meant(mesh, cluster).await? {
        Meant::Here(state) => Ok(AuthorityClient::local(&state.ca.admin_socket).await?),
        Meant::Inside(inside) => Ok(Box::pin(AuthorityClient::inside(&inside, tasks)).await?),
    }
}
