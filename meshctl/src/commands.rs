//! One file a command: each carries out what `cli` typed. Errors end here as sentences on standard error.

pub(crate) mod analyze;
mod ask;
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

use mesh_lifecycle::tasks::Tasks;

use crate::client::inspect::Inspect;
use crate::local::state;

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

/// The connection that all inspecting commands start with.
async fn inspect(mesh: &str, tasks: &Tasks) -> anyhow::Result<Inspect> {
    Ok(Inspect::connect(&state::find(mesh)?, tasks).await?)
}
