//! The task that keeps the configuration: it owns the store, takes requests for destinations, and holds one stream after
//! another ([`super::session`]). It must not know requests of applications.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_identity::{ExpectedServer, Identity, Way, channel, well_known};
use mesh_lifecycle::{Backoff, Beginning, CancellationToken, Clock, Gate, Tasks, failpoint};
use mesh_model::address::Sought;
use mesh_model::name::ServiceName;
use mesh_proto::config::v1::{ProxyId, Update};
use tokio::sync::{mpsc, watch};

use super::discovery::{Discovery, Wish};
use super::keeper::{Keeper, at};
use super::session::Ended;
use super::status::{Connection, Status};
use super::usage::Usage;
use crate::config::Keep;
use crate::state::{Applied, Snapshot, Store};

/// Whom to ask, and as whom.
#[derive(Clone)]
pub struct ClientConfig {
    /// Whose certificate opens the stream. Its trust domain's controller is the only server that is talked to.
    pub identity: Identity,
    /// The controller.
    pub controller: Way,
    /// Which proxy this is.
    pub node: ProxyId,
    /// Where the last accepted state is kept for a restart, if it is.
    pub keep: Option<Keep>,
    /// What time it is.
    pub clock: Clock,
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("controller", &self.controller.to_string())
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// The client's bounds and times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    /// Requests for destinations that wait for the client.
    pub(super) queue: usize,
    /// Services to subscribe to.
    pub(super) max_destinations: usize,
    /// Addresses and hosts to ask about.
    pub(super) max_sought: usize,
    /// A stream on which nothing comes for so long, not even a watermark, is dead.
    pub(super) silence: Duration,
    /// Between looks for destinations that are no longer used.
    pub(super) sweep: Duration,
    /// Unused for so long: unsubscribed.
    pub(super) unused: Duration,
    /// Longest wait between two attempts to reach the controller.
    pub(super) max_backoff: Duration,
    /// After a stream has ended the next one begins within this time.
    pub(super) spread: Duration,
    /// For the controller to say something when it was asked anew for what cannot be reached.
    pub(super) answer: Duration,
    /// The controller has so long before the saved state is served from.
    pub(super) patience: Duration,
    /// Changes of so long are saved together.
    pub(super) settle: Duration,
    /// Between two times of saving.
    pub(super) spacing: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            queue: 256,
            max_destinations: 4_096,
            max_sought: 2_048,
            silence: SILENCE,
            sweep: Duration::from_mins(1),
            unused: Duration::from_mins(15),
            max_backoff: MOST_WAIT,
            spread: SPREAD,
            answer: Duration::from_secs(5),
            patience: Duration::from_secs(2),
            settle: Duration::from_secs(1),
            spacing: Duration::from_secs(5),
        }
    }
}

/// Least wait before a proxy comes again.
pub const LEAST_WAIT: Duration = Duration::from_millis(50);
/// A proxy that has lost its stream comes again within that, so that all who lost theirs together do not come together.
pub const SPREAD: Duration = Duration::from_secs(1);
/// Longest wait before a proxy comes again.
pub const MOST_WAIT: Duration = Duration::from_secs(5);
/// A stream on which nothing comes for so long is dead.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Begins to follow the configuration, for as long as `tasks` run. The gate opens with the first update that is applied.
pub fn spawn(config: ClientConfig, gate: Gate, tasks: &Tasks) -> Discovery {
    spawn_tuned(config, gate, tasks, Tuning::default())
}

pub(super) fn spawn_tuned(config: ClientConfig, gate: Gate, tasks: &Tasks, tuning: Tuning) -> Discovery {
    let store = Store::new(&config.node.namespace);
    let (snapshots, receiver) = watch::channel(Arc::clone(store.snapshot()));
    let (sender, requests) = mpsc::channel(tuning.queue);
    let status = Arc::new(Status::new(config.clock.clone()));
    let discovery = Discovery::new(receiver, sender, Arc::clone(&status));
    let keeper = config.keep.as_ref().map(|keep| Keeper::new(keep, Arc::clone(&status), tasks));
    let client = Client {
        config,
        tuning,
        keeper,
        store,
        usage: Usage::default(),
        sought_usage: Usage::default(),
        unsubscribe: Vec::new(),
        unseek: Vec::new(),
        again: Vec::new(),
        snapshots,
        requests,
        status,
        gate: Some(gate),
        reach: Reach::NotYet,
    };
    let token = tasks.token();
    tasks.keep("configuration", client, move |client, beginning| {
        Box::pin(client.run(token.clone(), beginning))
    });
    discovery
}

/// What was last said about the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing.
    NotYet,
    /// There is a stream.
    Here,
    /// It is away since then.
    Away(Instant),
}

pub(super) struct Client {
    pub(super) config: ClientConfig,
    pub(super) tuning: Tuning,
    pub(super) keeper: Option<Keeper>,
    pub(super) store: Store,
    usage: Usage<ServiceName>,
    sought_usage: Usage<Sought>,
    /// Forgotten here, and the controller is to be told.
    pub(super) unsubscribe: Vec<ServiceName>,
    pub(super) unseek: Vec<Sought>,
    /// To be told anew: nobody of them can be reached.
    pub(super) again: Vec<ServiceName>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) requests: mpsc::Receiver<Wish>,
    pub(super) status: Arc<Status>,
    gate: Option<Gate>,
    pub(super) reach: Reach,
}

impl Client {
    async fn run(&mut self, token: CancellationToken, beginning: Beginning) {
        let trust_domain = self.config.identity.svid().spiffe_id.trust_domain().clone();
        let server = ExpectedServer::Exactly(well_known::controller(&trust_domain));
        let channel = channel::connect(&self.config.identity, self.config.controller.clone(), server);
        let mut backoff = Backoff::new(LEAST_WAIT, self.tuning.max_backoff);
        match beginning {
            Beginning::First => self.restore().await,
            // An update may be half taken in: what is held stays in force, and all of it is asked for again.
            Beginning::Again => self.store.distrust(),
        }
        loop {
            let ended = tokio::select! {
                () = token.cancelled() => return,
                ended = Box::pin(self.stream(channel.clone(), &mut backoff)) => ended,
            };
            // Those that were connected to one that ended do not come to another one all at once.
            let wait = match self.reach {
                Reach::Here => self.tuning.spread.mul_f64(fastrand::f64()).max(LEAST_WAIT),
                Reach::NotYet | Reach::Away(_) => backoff.next(),
            };
            self.away(&ended);
            tokio::select! {
                () = token.cancelled() => return,
                () = self.meanwhile(tokio::time::sleep(wait)) => {}
            }
        }
    }

    /// Goes on taking requests while something else is awaited, so that their queue does not fill up. They are asked for
    /// when there is a stream.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let save = at(self.next_save());
            // All arms may be dropped: `recv` loses nothing, `work` is kept, and the time is looked at anew.
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = save => self.save_if_due(),
                Some(wish) = self.requests.recv() => self.wish(&wish),
            }
        }
    }

    /// Notes what the workload wants to know.
    pub(super) fn wish(&mut self, wish: &Wish) {
        match wish {
            Wish::Service(service) => self.want(service),
            Wish::Sought(sought) => self.seek(sought),
            Wish::Again(service) if self.store.is_wanted(service) => {
                tracing::info!(%service, "nobody of it can be reached; the controller is asked for it anew");
                self.status.asked_again();
                self.again.push(service.clone());
            }
            // Of a service that is not asked for nothing can be told anew.
            Wish::Again(_) => {}
        }
    }

    /// Notes that the workload wants a destination. At the bound the one that has been without use for longest goes, if
    /// there is one that the mesh does not know; services that exist are never given up for others.
    fn want(&mut self, service: &ServiceName) {
        if self.store.is_wanted(service) {
            return;
        }
        if self.store.wanted() >= self.tuning.max_destinations {
            let Some(victim) = self.usage.oldest(self.store.without_answer()).cloned() else {
                self.status.destination_refused();
                return;
            };
            self.status.destination_refused();
            self.forget(&victim);
        }
        self.store.want(service);
        self.usage.used(service, Instant::now());
        self.status.destinations(self.store.wanted());
    }

    /// Notes that the workload has dialled an address, or wants to know of a host. At the bound as with destinations: what nobody
    /// knows makes room, and what is known is kept.
    fn seek(&mut self, sought: &Sought) {
        if self.store.is_sought(sought) {
            return;
        }
        if self.store.sought_count() >= self.tuning.max_sought {
            self.status.sought_refused();
            let Some(victim) = self.sought_usage.oldest(self.store.sought_without_answer()).cloned() else {
                return;
            };
            self.forget_sought(&victim);
        }
        let snapshot = Arc::clone(self.store.seek(sought));
        self.sought_usage.used(sought, Instant::now());
        self.status.sought(self.store.sought_count());
        self.show(snapshot);
    }

    /// All that is wanted counts as used just now, after a restart.
    pub(super) fn used_again(&mut self) {
        let now = Instant::now();
        self.store.destinations().for_each(|service| self.usage.used(service, now));
        self.store.sought().for_each(|sought| self.sought_usage.used(sought, now));
        self.status.destinations(self.store.wanted());
        self.status.sought(self.store.sought_count());
    }

    fn forget_sought(&mut self, sought: &Sought) {
        let snapshot = Arc::clone(self.store.forget_sought(sought));
        self.sought_usage.forget(sought);
        self.unseek.push(sought.clone());
        self.status.sought(self.store.sought_count());
        self.show(snapshot);
    }

    fn forget(&mut self, service: &ServiceName) {
        let snapshot = Arc::clone(self.store.forget(service));
        self.usage.forget(service);
        self.unsubscribe.push(service.clone());
        self.status.destinations(self.store.wanted());
        self.show(snapshot);
    }

    /// Gives a picture to the workers, unless it is of a saved state that does not count yet.
    pub(super) fn show(&self, snapshot: Arc<Snapshot>) {
        if self.keeper.as_ref().is_none_or(|keeper| !keeper.is_held_back()) {
            self.snapshots.send_replace(snapshot);
        }
    }

    /// There is a configuration.
    pub(super) fn open(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.open();
        }
    }

    /// Gives up what the workload no longer uses.
    pub(super) fn sweep(&mut self) {
        let marks = self.store.take_used();
        for service in self.usage.sweep(marks, Instant::now(), self.tuning.unused) {
            tracing::debug!(%service, "unused, unsubscribing");
            self.forget(&service);
        }
        let marks = self.store.take_used_sought();
        for sought in self.sought_usage.sweep(marks, Instant::now(), self.tuning.unused) {
            tracing::debug!(%sought, "unused, no longer asked about");
            self.forget_sought(&sought);
        }
        self.renew();
    }

    /// Applies an update and shows the result to the workers.
    pub(super) fn update(&mut self, update: Update) -> Applied {
        failpoint::reach("configuration", &self.config.node.workload);
        let applied = self.store.apply(update);
        for reject in &applied.rejects {
            tracing::warn!(
                resource = %reject.resource, field = %reject.field, reason = %reject.reason,
                "the controller sent a resource that cannot be used; its last good form stays in force"
            );
        }
        self.status.rejected(applied.rejects.len(), &self.store.unusable());
        // What the workload serves is wanted without being asked for.
        self.status.destinations(self.store.wanted());
        self.accepted();
        self.show(Arc::clone(&applied.snapshot));
        self.open();
        applied
    }

    /// The controller has said something. Said once.
    pub(super) fn here(&mut self) {
        let controller = &self.config.controller;
        match self.reach {
            Reach::Here => return,
            Reach::NotYet => tracing::info!(%controller, "connected to the controller"),
            Reach::Away(since) => {
                tracing::info!(%controller, away_seconds = since.elapsed().as_secs(), "the controller is back");
            }
        }
        self.reach = Reach::Here;
        self.status.connected(Connection::Up);
    }

    /// There is no stream. Said once, not for every attempt.
    fn away(&mut self, ended: &Ended) {
        self.status.connected(Connection::Down);
        let controller = &self.config.controller;
        match self.reach {
            Reach::Away(_) => {
                tracing::debug!(%controller, reason = %ended, "the controller is still away");
                return;
            }
            Reach::NotYet => tracing::warn!(
                %controller, reason = %ended,
                "cannot reach the controller; this proxy goes on trying and serves once it has a configuration"
            ),
            Reach::Here => tracing::warn!(
                %controller, reason = %ended, destinations = self.store.wanted(),
                "lost the controller; what it said last stays in force, and this proxy goes on trying"
            ),
        }
        self.reach = Reach::Away(Instant::now());
    }
}
