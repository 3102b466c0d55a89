//! What an operator asks this proxy. Two servers: the metrics port (`/metrics`, `/readyz`, `/livez`) for everybody who can
//! reach it, and the admin port on a loopback address only, which shows the configuration and takes commands.
//!
//! It must not know how traffic is carried. No private key is reachable from here. A request enters in
//! [`mesh_lifecycle::admin`]; a JSON dump, a text or a command leaves.

mod application;
mod dump;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use http::{Method, StatusCode};
use mesh_identity::Identity;
use mesh_lifecycle::admin::{self, AdminRequest, AdminState, Answer, Hosts};
use mesh_lifecycle::bind::{self, BindError, ReusePort};
use mesh_lifecycle::{Ready, Tasks, log};
use percent_encoding::percent_decode_str;
use prometheus_client::registry::Registry;

pub use self::application::Application;
use crate::dns::Dns;
use crate::probes::{self, Probes};
use crate::state::Standings;
use crate::telemetry::Hub;
use crate::workload_api::WorkloadApi;
use crate::xds::Discovery;

/// Why the admin port is not open.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// It takes commands without asking who gives them, so only this machine may reach it.
    #[error("the admin port must be on a loopback address (127.0.0.0/8 or [::1]), not on {0}")]
    NotLoopback(SocketAddr),
    /// The port cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// What the admin port shows and does.
pub struct Admin {
    /// Whether this proxy serves.
    pub ready: Ready,
    /// As on the metrics port.
    pub registry: Arc<Registry>,
    /// Whose configuration to show.
    pub discovery: Discovery,
    /// How endpoints stand.
    pub standings: Standings,
    /// Whose certificate to show.
    pub identity: Identity,
    /// Whose names to show.
    pub dns: Dns,
    /// Begins the drain of this proxy, as SIGTERM does. It must return at once, and may be called more than once.
    pub drain: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("ready", &self.ready)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// All families of this proxy.
pub fn registry(
    hub: &Hub,
    discovery: &Discovery,
    identity: &Identity,
    (dns, workload_api): (&Dns, Option<&WorkloadApi>),
    application: Option<&Application>,
) -> Arc<Registry> {
    let mut registry = Registry::default();
    hub.register(&mut registry, Some(identity.clone()));
    discovery.register(&mut registry);
    dns.register(&mut registry);
    if let Some(workload_api) = workload_api {
        workload_api.register(&mut registry);
    }
    if let Some(application) = application {
        application.register(&mut registry);
    }
    Arc::new(registry)
}

/// Opens the admin port. An address that others can reach is refused.
pub fn bind_loopback(address: SocketAddr) -> Result<TcpListener, AdminError> {
    if !address.ip().is_loopback() {
        return Err(AdminError::NotLoopback(address));
    }
    Ok(bind::tcp(address, ReusePort::No)?)
}

/// Serves `/livez`, `/readyz`, `/metrics` with the application's own, and the application's probes.
pub fn spawn_metrics(
    listener: TcpListener,
    (ready, registry): (Ready, Arc<Registry>),
    probes: Probes,
    application: Option<Application>,
    tasks: &Tasks,
) {
    let mut state = AdminState::new(ready, registry).below(probes::PATH, move |name| {
        let (probes, name) = (probes.clone(), name.to_owned());
        async move { probes.answer(&name).await }
    });
    if let Some(application) = application {
        state = state.scraped(move |scrape| {
            let application = application.clone();
            async move { application.scraped(scrape).await }
        });
    }
    serve("metrics server", listener, state, tasks);
}

/// Serves the admin port; the listener comes from [`bind_loopback`].
pub fn spawn(listener: TcpListener, admin: Admin, tasks: &Tasks) {
    serve("admin server", listener, routes(admin), tasks);
}

fn serve(name: &'static str, listener: TcpListener, state: AdminState, tasks: &Tasks) {
    let owner = tasks.clone();
    tasks.spawn(name, async move {
        if let Err(error) = admin::serve(listener, state, owner).await {
            tracing::error!(%error, "the {name} has ended");
        }
    });
}

fn routes(admin: Admin) -> AdminState {
    let Admin { ready, registry, discovery, standings, identity, dns, drain } = admin;
    let endpoints = discovery.clone();
    let draining = ready.clone();
    AdminState::new(ready, registry)
        .hosts(Hosts::Addresses)
        .route(Method::GET, "/config", move |_| {
            json(&dump::config(&discovery.snapshot(), discovery.saved_age()))
        })
        .route(Method::GET, "/endpoints", move |_| json(&dump::endpoints(&endpoints.snapshot(), &standings)))
        .route(Method::GET, "/dns", move |_| json(&dump::dns(&dns.picture())))
        .route(Method::GET, "/certs", move |_| json(&dump::certificate(&identity)))
        .route(Method::POST, "/drain", move |_| {
            draining.begin_drain();
            drain();
            Answer::text("draining\n").with_status(StatusCode::ACCEPTED)
        })
        .route(Method::POST, "/log", set_log)
}

fn set_log(request: &AdminRequest<'_>) -> Answer {
    let filter =
        request.query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("filter=")));
    let Some(filter) = filter else {
        return Answer::text("say which: POST /log?filter=mesh_proxy=debug,info\n")
            .with_status(StatusCode::BAD_REQUEST);
    };
    let filter = percent_decode_str(filter).decode_utf8_lossy();
    match log::set_filter(&filter) {
        Ok(()) => Answer::text(format!("log filter is now {filter}\n")),
        Err(error) => Answer::text(format!("{error}\n")).with_status(StatusCode::BAD_REQUEST),
    }
}

fn json(value: &serde_json::Value) -> Answer {
    Answer::json(format!("{value:#}\n"))
}
