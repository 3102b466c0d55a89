//! The dashboard: a web page and the answers that it shows, on loopback only, read only. Requests enter in [`server`], are let through by
//! [`guard`], read by [`routes`] and answered by [`answers`] and [`events`] with what `inspect` says, so that a page and
//! `meshctl -o json` cannot disagree. Who looks has signed in ([`signin`]). It must not know how anything came to be known.

pub mod answers;
pub mod assets;
pub mod counters;
pub mod events;
pub mod guard;
pub mod query;
pub mod review;
pub mod routes;
pub mod server;
pub mod signin;

use std::net::TcpListener;

use mesh_lifecycle::Tasks;

use crate::access::sessions::Desk;
use crate::cluster::Cluster;
use crate::inspect::Inspector;
use counters::DashboardCounters;

/// What it is made of.
#[derive(Debug)]
pub struct Dashboard {
    /// Where browsers connect.
    pub listener: TcpListener,
    /// Who is signed in.
    pub desk: Desk,
    /// What is known.
    pub inspector: Inspector,
    /// Whose tokens are known; `None`: tickets alone are good.
    pub cluster: Option<Cluster>,
    /// What is counted.
    pub counters: DashboardCounters,
}

/// Starts to serve.
///
/// # Errors
///
/// The socket cannot be used.
pub fn start(dashboard: Dashboard, tasks: &Tasks) -> std::io::Result<()> {
    let Dashboard { listener, desk, inspector, cluster, counters } = dashboard;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    counters.watch(&desk);
    let shared = server::Shared::new(desk, inspector, cluster, counters);
    let owner = tasks.clone();
    tasks.spawn("dashboard", async move { server::serve(listener, shared, owner).await });
    Ok(())
}
