//! The workers' handle on the configuration. It must not know the stream behind it.

use std::sync::Arc;
use std::time::Duration;

use mesh_model::name::ServiceName;
use mesh_proto::convert::ModelResource;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use super::fixed::FixedControl;
use super::status::{Collected, Status};
use crate::state::{Destination, Lookup, Snapshot};

/// Finds destinations and shows the present configuration. Cheap to clone, for any thread.
#[derive(Debug, Clone)]
pub struct Discovery {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    source: Source,
    status: Arc<Status>,
}

#[derive(Debug, Clone)]
enum Source {
    /// The task that talks to the controller takes requests here.
    Controller(mpsc::Sender<ServiceName>),
    /// Everything there is is in the snapshot.
    Fixed,
}

/// Why a destination was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Undiscovered {
    /// The controller has said that there is no such service.
    #[error("the mesh knows no such service")]
    Unknown,
    /// The controller has not answered within the deadline.
    #[error("the controller has not said in time what the destination is")]
    Unavailable,
}

impl Discovery {
    pub(super) fn new(
        snapshots: watch::Receiver<Arc<Snapshot>>,
        requests: mpsc::Sender<ServiceName>,
        status: Arc<Status>,
    ) -> Self {
        Self { snapshots, source: Source::Controller(requests), status }
    }

    /// A configuration without a controller, for tests: every service in `resources` is a known destination, every other
    /// one is unknown.
    pub fn fixed(client_namespace: &str, resources: Vec<ModelResource>) -> (Self, FixedControl) {
        let (control, snapshots) = FixedControl::new(client_namespace, resources);
        (Self { snapshots, source: Source::Fixed, status: Arc::default() }, control)
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
        if let Some(answer) = self.look(&self.snapshots, service) {
            return answer;
        }
        let asked = Box::pin(self.ask(service));
        tokio::time::timeout(deadline, asked).await.unwrap_or(Err(Undiscovered::Unavailable))
    }

    /// How many times a bound of the client was hit: its queue of requests was full, or there were too many destinations.
    pub fn refusals(&self) -> u64 {
        self.status.refusals()
    }

    /// Registers the families about the configuration itself.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Collected(Arc::clone(&self.status))));
    }

    fn look(
        &self,
        snapshots: &watch::Receiver<Arc<Snapshot>>,
        service: &ServiceName,
    ) -> Option<Result<Arc<Destination>, Undiscovered>> {
        match (snapshots.borrow().destination(service), &self.source) {
            (Lookup::Known(destination), _) => {
                destination.mark_used();
                Some(Ok(Arc::clone(destination)))
            }
            (Lookup::Unknown, _) | (Lookup::NotAsked, Source::Fixed) => Some(Err(Undiscovered::Unknown)),
            (Lookup::NotAsked, Source::Controller(_)) => None,
        }
    }

    async fn ask(&self, service: &ServiceName) -> Result<Arc<Destination>, Undiscovered> {
        let mut snapshots = self.snapshots.clone();
        snapshots.mark_changed();
        if let Source::Controller(requests) = &self.source {
            let sent = match requests.try_send(service.clone()) {
                Err(mpsc::error::TrySendError::Full(service)) => {
                    self.status.queue_full();
                    requests.send(service).await.is_ok()
                }
                sent => sent.is_ok(),
            };
            if !sent {
                return Err(Undiscovered::Unavailable);
            }
        }
        loop {
            snapshots.changed().await.map_err(|_| Undiscovered::Unavailable)?;
            snapshots.mark_unchanged();
            if let Some(answer) = self.look(&snapshots, service) {
                return answer;
            }
        }
    }
}
