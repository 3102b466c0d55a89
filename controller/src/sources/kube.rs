//! Follows the objects of a cluster: one watcher a kind ([`watch`]), what is kept of each object ([`trim`]), which form of it is in force
//! ([`state`]). It must not know what objects mean to each other, nor write anything.
//!
//! Objects are read as values and then as documents of a folder are, by the same code: so a folder and a cluster accept the same, say
//! the same about what they do not, and keep the last good form alike.

pub mod kinds;
pub mod ledger;
pub mod state;
pub mod trim;
pub mod watch;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::Tasks;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Batch;
use super::barrier::Barrier;
use super::freshness::Freshness;
use super::state::{Effect, Report};
use super::{Problem, Reason, Stage};
use crate::api::{Fault, Kind, ObjectKey};
use crate::clock::now_ms;
use crate::cluster::Cluster;
use crate::index::Change;
use ledger::Ledger;
use state::KubeState;
pub use watch::Timing;
use watch::{Event, What};

/// Two batches are at least so far apart: a change that comes alone is told at once, and under load those of this time are taken together. It
/// is not prolonged by more of them, so that no endpoint waits for others to calm down; and where one is gone nothing is waited for.
const COALESCE: Duration = Duration::from_millis(10);
/// Most changes that are taken together.
const MAX_TOGETHER: usize = 5_000;
/// Events that wait; a watcher whose event finds no room waits too.
const QUEUE: usize = 1_024;

/// A cluster that is followed. The watchers end with `tasks`.
#[derive(Debug)]
pub struct KubeSource {
    events: mpsc::Receiver<Event>,
    state: KubeState,
    /// Kinds of which everything has not been seen yet.
    awaited: BTreeSet<Kind>,
    /// Kinds that are not read at the moment, and since when.
    away: BTreeMap<Kind, (u64, String)>,
    /// Kinds that the API server does not know.
    absent: BTreeSet<Kind>,
    freshness: Freshness,
    barrier: Barrier,
    /// The number of the newest look at each kind.
    looked: BTreeMap<Kind, u64>,
    first: bool,
    /// When the last batch was.
    told: Instant,
    pending: Vec<Change>,
    generations: Vec<(ObjectKey, Option<i64>)>,
    reports: Vec<Report>,
}

impl KubeSource {
    /// Begins to follow `cluster`.
    pub fn new(cluster: &Cluster, tasks: &Tasks) -> Self {
        Self::tuned(cluster, tasks, Timing::default())
    }

    /// Begins to follow `cluster`, with other times between attempts.
    pub fn tuned(cluster: &Cluster, tasks: &Tasks, timing: Timing) -> Self {
        let (out, events) = mpsc::channel(QUEUE);
        let barrier = Barrier::default();
        for kind in kinds::ALL {
            // One that begins anew lists again, so it misses nothing.
            let state = (cluster.clone(), out.clone(), barrier.clone());
            tasks.keep_until("watcher", state, move |(cluster, out, barrier), _| {
                Box::pin(watch::follow(cluster.clone(), kind, timing, barrier.clone(), out.clone()))
            });
        }
        Self::from_events(events, barrier)
    }

    fn from_events(events: mpsc::Receiver<Event>, barrier: Barrier) -> Self {
        Self {
            barrier,
            looked: BTreeMap::new(),
            events,
            state: KubeState::default(),
            awaited: kinds::ALL.into_iter().collect(),
            away: BTreeMap::new(),
            absent: BTreeSet::new(),
            freshness: Freshness::default(),
            first: true,
            told: Instant::now(),
            pending: Vec::new(),
            generations: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// What a writer of status has to know.
    pub fn ledger(&self) -> Ledger {
        self.state.ledger()
    }

    /// For who wants to know what it has by now.
    pub fn barrier(&self) -> Barrier {
        self.barrier.clone()
    }

    /// How new what this says is.
    pub fn freshness(&self) -> Freshness {
        self.freshness.clone()
    }

    /// Kinds that the API server does not know.
    pub fn absent(&self) -> Vec<Kind> {
        self.absent.iter().copied().collect()
    }

    /// Waits until something has changed, and says what. The first call returns once every kind that the cluster knows was read.
    pub async fn next(&mut self) -> Batch {
        loop {
            let Some(event) = self.events.recv().await else {
                // All watchers have ended: the controller stops.
                return std::future::pending().await;
            };
            self.take(event);
            self.together().await;
            if !self.awaited.is_empty() {
                continue;
            }
            let mut reports = self.state.reports();
            reports.extend(self.away.iter().map(|(kind, (_, why))| not_followed(*kind, why)));
            let news = self.first || !self.pending.is_empty() || reports != self.reports;
            if news || !self.generations.is_empty() {
                self.first = false;
                self.told = Instant::now();
                self.reports.clone_from(&reports);
                return Batch {
                    changes: std::mem::take(&mut self.pending),
                    reports,
                    time_ms: now_ms(),
                    generations: std::mem::take(&mut self.generations),
                    looked: self.looked_for(),
                };
            }
            // Everything that was found before is published: the next look is asked for after that.
            self.barrier.reached(self.looked_for());
        }
    }

    async fn together(&mut self) {
        let until = self.told + COALESCE;
        while self.pending.len() < MAX_TOGETHER && !self.state.take_fewer() {
            // What is there already is taken even when the time is over.
            match tokio::time::timeout_at(until, self.events.recv()).await {
                Ok(Some(event)) => self.take(event),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// The number of the look that every kind is through with.
    fn looked_for(&self) -> u64 {
        let of = |kind| self.looked.get(&kind).copied().unwrap_or_default();
        kinds::ALL.into_iter().map(of).min().unwrap_or_default()
    }

    fn take(&mut self, Event { kind, what }: Event) {
        match what {
            What::All(objects) => {
                self.pending.extend(self.state.reset(kind, objects, &mut self.generations));
                self.present(kind);
            }
            What::Put(object) => self.pending.extend(self.state.put(*object, &mut self.generations)),
            What::Gone(key) => self.pending.extend(self.state.delete(&key, &mut self.generations)),
            What::Looked(number) => drop(self.looked.insert(kind, number)),
            What::Followed => self.present(kind),
            What::Absent => {
                if self.absent.insert(kind) {
                    tracing::info!(
                        kind = kind.as_str(),
                        "the API server does not know this kind; it is looked for again, and followed once its CRD is there"
                    );
                }
                self.pending.extend(self.state.reset(kind, Vec::new(), &mut self.generations));
                self.away.remove(&kind);
                self.awaited.remove(&kind);
            }
            What::Failed(why) => {
                if let Entry::Vacant(free) = self.away.entry(kind) {
                    tracing::warn!(kind = kind.as_str(), %why, "cannot be followed; what was seen last stays in force, and it is tried again");
                    free.insert((now_ms(), why));
                }
            }
        }
        self.freshness.lost(self.away.iter().map(|(kind, (since, _))| (*kind, *since)), now_ms());
    }

    fn present(&mut self, kind: Kind) {
        self.awaited.remove(&kind);
        if self.absent.remove(&kind) {
            tracing::info!(kind = kind.as_str(), "the kind is known now");
        }
        if let Some((since, _)) = self.away.remove(&kind) {
            let seconds = now_ms().saturating_sub(since) / 1000;
            tracing::info!(kind = kind.as_str(), seconds, "followed again");
        }
    }
}

/// What is said of a kind that cannot be read.
fn not_followed(kind: Kind, why: &str) -> Report {
    let message = format!("objects of this kind cannot be read: {why}");
    let fault = Fault::new("", message);
    let problem =
        Problem { object: None, stage: Stage::Readable, reason: Reason::Unreadable, line: 0, fault };
    Report { file: format!("cluster {}", kind.as_str()).into(), problem, effect: Effect::LastGood }
}

/// Where objects of a cluster come from, as it is shown.
pub fn origin() -> Arc<str> {
    Arc::from("cluster")
}
