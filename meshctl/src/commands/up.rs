//! `meshctl up`: the control plane of a mesh on this machine, in the foreground, for members that `meshctl run` adds.

use std::net::SocketAddr;

use mesh_lifecycle::tasks::Tasks;

use super::Outcome;
use crate::local::control_plane::{ControlPlane, Options, TRUST_DOMAIN};
use crate::output::{self, Paint, Tone};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The mesh's trust domain; meshes that federate have different ones
    #[arg(long, value_name = "NAME", default_value = TRUST_DOMAIN)]
    trust_domain: String,
    /// Serve the trust bundle here to meshes that federate with this one
    #[arg(long, value_name = "IP:PORT")]
    bundle_endpoint: Option<SocketAddr>,
    /// Federate with meshes whose bundle endpoints are on this machine too
    #[arg(long)]
    federation_loopback: bool,
}

/// Runs until Ctrl-C or SIGTERM.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let end = mesh_lifecycle::signal::shutdown();
    tokio::pin!(end);
    let Args { trust_domain, bundle_endpoint, federation_loopback } = args;
    let options = Options { trust_domain, bundle_endpoint, federation_loopback };
    let plane = tokio::select! {
        biased;
        () = &mut end => return Ok(Outcome::Fine),
        plane = ControlPlane::start(mesh, options, tasks) => plane?,
    };
    plane.publish(Vec::new(), true)?;
    let state = plane.state();
    let paint = Paint::stdout();
    output::line(&paint.tone(Tone::Strong, &format!("The mesh `{mesh}` runs.")));
    output::line(&format!("  objects     {}", state.objects.display()));
    output::line(&format!("  logs        {}", plane.paths().logs().display()));
    output::line(&format!("  identities  spiffe://{}/ns/…", state.trust_domain));
    if let Some(at) = bundle_endpoint {
        output::line(&format!("  bundle      https://{at}/, for meshes that federate with this one"));
    }
    output::line("  a member    meshctl run --name api --port 8080 -- COMMAND");
    output::line("Ctrl-C stops it.");
    end.await;
    plane.stop().await;
    Ok(Outcome::Fine)
}
