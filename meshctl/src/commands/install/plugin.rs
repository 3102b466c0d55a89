//! The CNI plugin on nodes: it comes with its DaemonSet, and is taken off every node before that one goes.

use std::time::Duration;

use mesh_operate::install::farewell;
use mesh_operate::object::ObjectRef;
use mesh_operate::readiness::Progress;
use tokio::time::Instant;

use super::wait;
use crate::cluster::{Api, Dry};
use crate::output;

/// For all nodes to take over the last instruction.
const TOLD: Duration = Duration::from_mins(2);
const PACE: Duration = Duration::from_secs(1);

/// Tells a DaemonSet's Pods to take the plugin away when they end. A node that is away cannot be told: it is named and left.
pub(crate) async fn dismiss(api: &Api, set: &ObjectRef) -> anyhow::Result<()> {
    let Some(live) = api.get(set).await? else { return Ok(()) };
    let Some(told) = farewell(&live) else { return Ok(()) };
    api.apply(&told, Dry::No).await?;
    output::line(&format!("  {set} is told to take the plugin off its nodes"));
    let namespace = set.namespace.as_deref().unwrap_or_default();
    let deadline = Instant::now() + TOLD;
    loop {
        let Progress { ready, words, .. } = wait::progress(api, &set.kind, namespace, &set.name).await?;
        if ready {
            return Ok(());
        }
        if Instant::now() > deadline {
            output::line(&format!(
                "  not all nodes were told within {} s ({words}): where they were not, the plugin stays, does nothing for \
                 Pods outside the mesh, and is to be taken away by hand",
                TOLD.as_secs()
            ));
            return Ok(());
        }
        tokio::time::sleep(PACE).await;
    }
}
