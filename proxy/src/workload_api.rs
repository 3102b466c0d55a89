//! The SPIFFE Workload API for the application behind this proxy, over a Unix socket: SVIDs of its own, bundles, tokens. A door to
//! `spiffe.workload`. It must not know how traffic is carried.
//!
//! A call enters in `service` over a connection that `socket` let in; what is answered is put together in `material`, purely. The key of
//! this proxy is not reachable from here: what the application gets was made for it (`mesh_identity::application`).
//!
//! Source: the SPIFFE Workload API and Workload Endpoint standards.

mod authority;
mod claims;
mod counters;
mod material;
mod service;
mod socket;
mod tokens;

use std::fmt;
use std::sync::Arc;

use mesh_identity::Identity;
use mesh_identity::application::{ApplicationSvid, Issuer};
use mesh_lifecycle::Tasks;
use mesh_reach::HostPort;
use prometheus_client::registry::Registry;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};

use self::counters::{Collected, Counters};
use self::tokens::Tokens;
use crate::config::WorkloadApi as Config;

/// What is served, and what is counted about it.
#[derive(Clone)]
pub struct WorkloadApi {
    shared: Arc<Shared>,
}

struct Shared {
    identity: Identity,
    issuer: Issuer,
    svid: watch::Receiver<Option<Arc<ApplicationSvid>>>,
    tokens: Tokens,
    streams: Arc<Semaphore>,
    counters: Arc<Counters>,
    config: Config,
    tasks: Tasks,
}

impl WorkloadApi {
    /// For the application of the workload that `identity` is; `ca` signs what it gets, from now on.
    pub fn new(config: Config, identity: &Identity, ca: HostPort, tasks: &Tasks) -> Self {
        let issuer = Issuer::new(identity.clone(), ca);
        let svid = issuer.clone().keep(tasks);
        let shared = Shared {
            identity: identity.clone(),
            issuer,
            svid,
            tokens: Tokens::default(),
            streams: Arc::new(Semaphore::new(config.streams)),
            counters: Arc::default(),
            config,
            tasks: tasks.clone(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Its families.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Collected(self.clone())));
    }

    /// Serves until the tasks are asked to end.
    pub fn spawn(&self, listener: UnixListener) {
        service::spawn(listener, self);
    }
}

impl fmt::Debug for WorkloadApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadApi").field("identity", &self.shared.identity).finish_non_exhaustive()
    }
}
