//! `meshctl up`: the control plane of a mesh on this machine, in the foreground, for members that `meshctl run` adds.

use mesh_lifecycle::tasks::Tasks;

use super::Outcome;
use crate::local::control_plane::ControlPlane;
use crate::output::{self, Paint, Tone};

/// Runs until Ctrl-C or SIGTERM.
pub(crate) async fn run(mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let end = mesh_lifecycle::signal::shutdown();
    tokio::pin!(end);
    let plane = tokio::select! {
        biased;
        () = &mut end => return Ok(Outcome::Fine),
        plane = ControlPlane::start(mesh, tasks) => plane?,
    };
    plane.publish(Vec::new(), true)?;
    let state = plane.state();
    let paint = Paint::stdout();
    output::line(&paint.tone(Tone::Strong, &format!("The mesh `{mesh}` runs.")));
    output::line(&format!("  objects     {}", state.objects.display()));
    output::line(&format!("  logs        {}", plane.paths().logs().display()));
    output::line("  a member    meshctl run --name api --port 8080 -- COMMAND");
    output::line("Ctrl-C stops it.");
    end.await;
    plane.stop().await;
    Ok(Outcome::Fine)
}
