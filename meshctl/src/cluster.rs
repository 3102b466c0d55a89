//! The cluster of a kubeconfig: which one, and its API server as calls on objects. It must not know what objects mean.

use std::path::PathBuf;

mod api;
mod inside;
mod sidecar;

pub(crate) use api::{Api, ApiError, Applied, Dry, LogAsk, has_cluster, has_kubeconfig};
pub(crate) use inside::{Inside, InsideError, PodPort};
pub(crate) use sidecar::{CONTAINER, Sidecar, Target};

/// Which cluster, and where the mesh is in it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClusterArgs {
    /// The context of the kubeconfig to use
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig; without it $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The namespace of the mesh's own Pods
    #[arg(long, value_name = "NS", default_value = "amime-system")]
    pub(crate) mesh_namespace: String,
}

impl ClusterArgs {
    /// Whether a cluster was asked for.
    pub(crate) fn is_named(&self) -> bool {
        self.context.is_some() || self.kubeconfig.is_some()
    }
}
