//! The workers' handle on the configuration. It must not know the stream behind it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mesh_model::address::{Direct, Meaning, Sought};
use mesh_model::external::{ExternalService, HostMeaning};
use mesh_model::host::Host;
use mesh_model::name::ServiceName;
use mesh_proto::convert::ModelResource;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use super::doubts::{Doubt, Doubts};
use super::fixed::FixedControl;
use super::status::{Collected, Status};
use crate::state::{Destination, Lookup, LookupAddress, LookupHost, Snapshot};

/// Finds destinations and shows the present configuration. Cheap to clone, for any thread.
#[derive(Debug, Clone)]
pub struct Discovery {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    source: Source,
    status: Arc<Status>,
    doubts: Arc<Mutex<Doubts>>,
}

#[derive(Debug, Clone)]
enum Source {
    /// The task that talks to the controller takes requests here.
    Controller(mpsc::Sender<Wish>),
    /// Everything there is is in the snapshot.
    Fixed,
}

/// What a worker wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// A service by name.
    Service(ServiceName),
    /// What an address or a host is.
    Sought(Sought),
    /// Whether what is known of this service, of which nobody could be reached, is still so.
    Again(ServiceName),
}

/// What a connection to an address and port reaches.
#[derive(Debug, Clone)]
pub enum Reached {
    /// A virtual address of a service: its routes decide. It may have no such port.
    Service {
        /// The service, with its routes.
        destination: Arc<Destination>,
        /// The port that was dialled.
        port: u16,
    },
    /// An endpoint's own address: this endpoint and no other one, whatever routes say.
    Direct(Direct),
}

/// What a host name stands for.
#[derive(Debug, Clone)]
pub enum Named {
    /// A service.
    Service(Arc<Destination>),
    /// Own addresses of endpoints.
    Endpoints(Vec<IpAddr>),
    /// Another name for that host; ask about it in turn, a bounded number of times.
    Alias(Host),
    /// A host outside the mesh that an ExternalService describes.
    External(Arc<ExternalService>),
}

/// Why a destination was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undiscovered {
    /// The controller has said that there is no such service, or nothing at such an address.
    #[error("the mesh knows no such destination")]
    Unknown,
    /// The controller has not answered within the deadline.
    #[error("the controller has not said in time what the destination is")]
    Unavailable,
}

impl Discovery {
    pub(super) fn new(
        snapshots: watch::Receiver<Arc<Snapshot>>,
        requests: mpsc::Sender<Wish>,
        status: Arc<Status>,
    ) -> Self {
        Self { snapshots, source: Source::Controller(requests), status, doubts: Arc::default() }
    }

    /// A configuration without a controller, for tests: every service in `resources` is a known destination, every other
    /// one is unknown.
    pub fn fixed(client_namespace: &str, resources: Vec<ModelResource>) -> (Self, FixedControl) {
        let (control, snapshots) = FixedControl::new(client_namespace, resources);
        let source = Source::Fixed;
        (Self { snapshots, source, status: Arc::default(), doubts: Arc::default() }, control)
    }

    /// The present configuration.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Follows the configuration. A level, not events: what was skipped is of no interest.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// The destination, at once when it is known (or known not to exist). Otherwise the controller is asked, and the answer
    /// awaited for up to `deadline`; the question stays asked after that, so that a later call finds the answer.
    pub async fn destination(
        &self,
        service: &ServiceName,
        deadline: Duration,
    ) -> Result<Arc<Destination>, Undiscovered> {
        let look = |snapshot: &Snapshot| self.look(snapshot, service);
        self.find(look, || Wish::Service(service.clone()), deadline).await
    }

    /// What a connection to that address and port reaches, as a captured connection asks that has no name. Awaited like a
    /// destination. [`Undiscovered::Unknown`]: nothing that the mesh knows.
    pub async fn address(&self, dialled: SocketAddr, deadline: Duration) -> Result<Reached, Undiscovered> {
        let dialled = SocketAddr::new(dialled.ip().to_canonical(), dialled.port());
        let look = |snapshot: &Snapshot| self.look_at(snapshot, dialled);
        self.find(look, || Wish::Sought(Sought::Address(dialled.ip())), deadline).await
    }

    /// What a host stands for, as the workload's namespace writes it. Awaited like a destination. [`Undiscovered::Unknown`]: it is
    /// nothing that the mesh knows.
    pub async fn host(&self, host: &Host, deadline: Duration) -> Result<Named, Undiscovered> {
        let look = |snapshot: &Snapshot| self.look_for(snapshot, host);
        self.find(look, || Wish::Sought(Sought::Host(host.clone())), deadline).await
    }

    /// A call to that service failed since no endpoint that was tried could be reached: what is known of it may be old. The controller is
    /// asked for it anew, though not for every call.
    pub fn unreachable(&self, service: &ServiceName) {
        let Source::Controller(requests) = &self.source else { return };
        let doubt = {
            let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
            doubts.unreachable(service, Instant::now())
        };
        match doubt {
            Doubt::Asked => {}
            // Nobody waits for it, so it takes no room from those who wait for something.
            Doubt::Ask if requests.try_send(Wish::Again(service.clone())).is_ok() => {}
            Doubt::Ask | Doubt::TooMany => self.status.not_asked_again(),
        }
    }

    async fn find<T>(
        &self,
        look: impl Fn(&Snapshot) -> Option<Result<T, Undiscovered>>,
        wish: impl FnOnce() -> Wish,
        deadline: Duration,
    ) -> Result<T, Undiscovered> {
        let answer = look(&self.snapshots.borrow());
        if let Some(answer) = answer {
            return answer;
        }
        let asked = Box::pin(self.ask(look, wish()));
        tokio::time::timeout(deadline, asked).await.unwrap_or(Err(Undiscovered::Unavailable))
    }

    /// How many times a bound of the client was hit: its queue of requests was full, or there were too many destinations.
    pub fn refusals(&self) -> u64 {
        self.status.refusals()
    }

    /// How old the saved state is that is served from because the controller is away; None: the controller has spoken.
    pub fn saved_age(&self) -> Option<Duration> {
        self.status.saved_age()
    }

    /// Registers the families about the configuration itself.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Collected(Arc::clone(&self.status))));
    }

    fn look(
        &self,
        snapshot: &Snapshot,
        service: &ServiceName,
    ) -> Option<Result<Arc<Destination>, Undiscovered>> {
        match (snapshot.destination(service), &self.source) {
            (Lookup::Known(destination), _) => {
                destination.mark_used();
                Some(Ok(Arc::clone(destination)))
            }
            (Lookup::Unknown, _) | (Lookup::NotAsked, Source::Fixed) => Some(Err(Undiscovered::Unknown)),
            (Lookup::NotAsked, Source::Controller(_)) => None,
        }
    }

    fn look_at(&self, snapshot: &Snapshot, dialled: SocketAddr) -> Option<Result<Reached, Undiscovered>> {
        let known = match (snapshot.address(dialled.ip()), &self.source) {
            (LookupAddress::Known(known), _) => known,
            (LookupAddress::Unknown, _) | (LookupAddress::NotAsked, Source::Fixed) => {
                return Some(Err(Undiscovered::Unknown));
            }
            (LookupAddress::NotAsked, Source::Controller(_)) => return None,
        };
        known.mark_used();
        let port = dialled.port();
        match &known.address.meaning {
            Meaning::Service(service) => {
                let found = self.look(snapshot, service)?;
                Some(found.map(|destination| Reached::Service { destination, port }))
            }
            Meaning::Served(served) => {
                let direct = served.port(dialled.ip(), port);
                Some(direct.map(Reached::Direct).ok_or(Undiscovered::Unknown))
            }
        }
    }

    fn look_for(&self, snapshot: &Snapshot, host: &Host) -> Option<Result<Named, Undiscovered>> {
        let known = match (snapshot.host(host), &self.source) {
            (LookupHost::Known(known), _) => known,
            (LookupHost::Unknown, _) | (LookupHost::NotAsked, Source::Fixed) => {
                return Some(Err(Undiscovered::Unknown));
            }
            (LookupHost::NotAsked, Source::Controller(_)) => return None,
        };
        known.mark_used();
        let named = match (&known.entry.meaning, &known.external) {
            (HostMeaning::Service(service), _) => {
                return Some(self.look(snapshot, service)?.map(Named::Service));
            }
            (HostMeaning::Endpoints(ips), _) => Named::Endpoints(ips.clone()),
            (HostMeaning::Alias(host), _) => Named::Alias(host.clone()),
            (HostMeaning::External(_), Some(external)) => Named::External(Arc::clone(external)),
            // Not shown before the external service is here.
            (HostMeaning::External(_), None) => return None,
        };
        Some(Ok(named))
    }

    async fn ask<T>(
        &self,
        look: impl Fn(&Snapshot) -> Option<Result<T, Undiscovered>>,
        wish: Wish,
    ) -> Result<T, Undiscovered> {
        let mut snapshots = self.snapshots.clone();
        snapshots.mark_changed();
        if let Source::Controller(requests) = &self.source {
            let sent = match requests.try_send(wish) {
                Err(mpsc::error::TrySendError::Full(wish)) => {
                    self.status.queue_full();
                    requests.send(wish).await.is_ok()
                }
                sent => sent.is_ok(),
            };
            if !sent {
                return Err(Undiscovered::Unavailable);
            }
        }
        loop {
            snapshots.changed().await.map_err(|_| Undiscovered::Unavailable)?;
            let answer = look(&snapshots.borrow_and_update());
            if let Some(answer) = answer {
                return answer;
            }
        }
    }
}
