//! What everything on one worker thread shares: configuration as of now, tasks, telemetry, randomness. Nothing of it leaves the
//! thread. It must not know what is done with a request.

pub mod record;
mod tunnel;
pub mod wire;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;
use mesh_model::name::WorkloadName;
use tokio::sync::watch;

use crate::config::Config;
use crate::detect::Opener;
use crate::http::{ServeEnd, ServerOptions};
use crate::net::{Accepted, Dial, Namespace, NoOriginal, Notice, Toward};
use crate::state::{Page, Snapshot};
use crate::telemetry::{Direction, Event, WorkerTelemetry};
use crate::tls::ClientFailure;
use crate::xds::Discovery;

/// One worker.
#[derive(Debug)]
pub struct Worker {
    /// What the proxy was told at its start.
    pub config: Arc<Config>,
    /// Asks the control thread for configuration.
    pub discovery: Discovery,
    /// Counters and spans.
    pub telemetry: WorkerTelemetry,
    /// Connections that peers opened. Ends first at shutdown.
    pub connections: Tasks,
    /// Connections that we opened.
    pub upstreams: Tasks,
    /// Where is written down how endpoints stand.
    pub standings: Page,
    /// Who this proxy stands for.
    pub own: Option<WorkloadName>,
    snapshots: RefCell<watch::Receiver<Arc<Snapshot>>>,
    current: RefCell<Arc<Snapshot>>,
    random: RefCell<fastrand::Rng>,
    at_bound: Cell<bool>,
    spares: record::Spares,
}

impl Worker {
    /// On the calling thread.
    pub fn new(
        config: Arc<Config>,
        discovery: Discovery,
        telemetry: WorkerTelemetry,
        standings: Page,
    ) -> Rc<Self> {
        let mut snapshots = discovery.subscribe();
        let current = Arc::clone(&snapshots.borrow_and_update());
        Rc::new(Self {
            own: WorkloadName::new(&config.namespace, &config.workload).ok(),
            config,
            discovery,
            telemetry,
            standings,
            connections: Tasks::new(),
            upstreams: Tasks::new(),
            snapshots: RefCell::new(snapshots),
            current: RefCell::new(current),
            random: RefCell::new(fastrand::Rng::new()),
            at_bound: Cell::new(false),
            spares: record::Spares::default(),
        })
    }

    /// The configuration as of now. Costs one atomic load when nothing changed.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots.borrow_mut();
        // An error means that the control thread is gone; the last good state stays in force (INV-6).
        if snapshots.has_changed().unwrap_or(false) {
            *self.current.borrow_mut() = Arc::clone(&snapshots.borrow_and_update());
        }
        Arc::clone(&self.current.borrow())
    }

    /// Waits until the configuration says `so`.
    pub async fn until(&self, so: impl Fn(&Snapshot) -> bool) {
        let mut snapshots = self.discovery.subscribe();
        // An error means that the control thread is gone; what is said now stays in force (INV-6).
        if snapshots.wait_for(|snapshot| so(snapshot)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A random number.
    pub fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    /// A random number below `n`, which must not be 0.
    pub fn random_below(&self, n: usize) -> usize {
        self.random.borrow_mut().usize(..n.max(1))
    }

    /// Use of the generator as a whole.
    pub fn with_random<T>(&self, f: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        f(&mut self.random.borrow_mut())
    }

    /// How long to wait for a client to speak before the upstream is dialled to see whether the server does. Where the server did before,
    /// not at all; where the client did, it gets more time, for a connection in vain costs more than waiting.
    pub fn patience(&self, opener: Option<Opener>) -> Duration {
        match opener {
            None => self.config.timeouts.quiet,
            Some(Opener::Server) => Duration::ZERO,
            Some(Opener::Client) => self.config.timeouts.quiet * 25,
        }
    }

    /// How sockets are opened here.
    pub fn dial(&self) -> Dial {
        // Where the application is elsewhere, nothing is captured here.
        let captured = self.config.capture.is_on() && self.config.network_of.is_none();
        Dial { mark: self.config.mark_here(), captured, ..Dial::default() }
    }

    /// How sockets to the application are opened: in its network namespace, when it has one of its own.
    pub fn dial_app(&self, network: Option<&Namespace>) -> Dial {
        let mark = self.config.forward_mark.or(self.config.mark);
        match network {
            None => {
                let own_sources = self.config.forward_sources;
                Dial { mark, toward: Toward::App, own_sources, ..self.dial() }
            }
            Some(network) => {
                Dial { network: Some(network.clone()), mark, toward: Toward::App, ..Dial::default() }
            }
        }
    }

    /// Refuses a captured connection that has nowhere to go, and counts it.
    pub fn no_original(&self, accepted: &Accepted, why: &NoOriginal) {
        accepted.stream.abort();
        self.telemetry.count(match why {
            NoOriginal::Unknown(_) => Event::NoOriginalDestination,
            NoOriginal::Own(_) | NoOriginal::Loop(_) => Event::LoopRefused,
        });
        tracing::debug!(peer = %accepted.peer, error = %why, "refused a captured connection");
    }

    /// How HTTP is served here.
    pub fn server_options(&self) -> ServerOptions {
        ServerOptions {
            timeouts: self.config.timeouts,
            limits: self.config.limits,
            tasks: self.connections.clone(),
        }
    }

    /// Counts what the accept loop notices.
    pub fn notice(&self, notice: Notice) {
        self.telemetry.count(match notice {
            Notice::AtBound => Event::ConnectionLimit,
            Notice::Failed => Event::AcceptFailed,
        });
        if notice == Notice::AtBound && !self.at_bound.replace(true) {
            tracing::warn!(
                limit = self.config.limits.connections,
                "the bound on connections of a listener is reached; more wait in the kernel until one ends"
            );
        }
    }

    /// Counts why a server was not accepted, and says so: it is a fault of identity or of configuration.
    pub fn refused_server(&self, failure: &ClientFailure) {
        self.telemetry.count(failure.event());
        tracing::debug!(error = %failure, "no mutual TLS with an endpoint");
    }

    /// Counts how serving a connection ended.
    pub fn served(&self, end: &ServeEnd) {
        match end {
            ServeEnd::Closed => {}
            ServeEnd::Idle => self.telemetry.count(Event::IdleTimeout),
            ServeEnd::HeadTimeout => self.telemetry.count(Event::HeadTimeout),
            ServeEnd::Refused(bad) if bad.status() == 431 => self.telemetry.count(Event::HeadTooLarge),
            ServeEnd::Refused(_) => self.telemetry.count(Event::ProtocolError),
            ServeEnd::Protocol(error) => {
                tracing::debug!(%error, "a client did not keep to HTTP/2");
                self.telemetry.count(Event::ProtocolError);
            }
            ServeEnd::Flooded => self.telemetry.count(Event::Flood),
            ServeEnd::Broken(error) => tracing::debug!(%error, "a client's connection broke"),
        }
    }

    /// Counts a connection while the answer lives.
    pub fn open(self: &Rc<Self>, direction: Direction) -> OpenConnection {
        self.telemetry.connection_opened(direction);
        OpenConnection { worker: Rc::clone(self), direction }
    }
}

/// An accepted connection; dropping it counts its end.
#[derive(Debug)]
pub struct OpenConnection {
    worker: Rc<Worker>,
    direction: Direction,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.worker.telemetry.connection_closed(self.direction);
    }
}
