//! Releases, decided: each interval the figures of both versions are read, the machine of `mesh-release` says what follows, and its state is
//! written down. What routes do follows from the state when everything is compiled, so nothing is done here beyond that. Of several replicas
//! the one acts that leads.
//!
//! A state is written before it has any effect: into the status of the object, or on one machine into a file. It must not know how an
//! overlay is laid, nor what a figure is made of.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_release::machine::{Input, Order, advance};
use mesh_release::observation::{Observation, Side};
use mesh_release::state::{Phase, Reason, State, Why};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::api::ObjectKey;
use crate::clock::now_ms;
use crate::cluster::{Cluster, Place, Write};
use crate::compile::canary::Release;
use crate::inspect::Inspector;
use crate::inspect::canary::{Unheard, Wish};
use crate::sources::kube::kinds::resource;
use crate::status::counters::AnnounceCounters;

/// Between looks at what is due.
const TICK: Duration = Duration::from_secs(1);

/// States by object, as the control loop compiles with them.
pub type States = BTreeMap<ObjectKey, State>;

/// Where states are written.
#[derive(Debug)]
pub enum Keeper {
    /// In this process, for the control loop, and in a file if one is given.
    Here {
        /// What the control loop compiles with.
        states: watch::Sender<Arc<States>>,
        /// Where they outlive this process.
        file: Option<PathBuf>,
    },
    /// In the status of the objects, while this replica leads.
    Cluster {
        /// The API server.
        cluster: Cluster,
        /// Says whether it leads.
        leads: AnnounceCounters,
        /// What was written and has not been seen to be there yet: the state before, and the one written.
        written: BTreeMap<ObjectKey, (Option<State>, State)>,
    },
}

/// What decides.
#[derive(Debug)]
pub struct Canaries {
    inspector: Inspector,
    keeper: Keeper,
    orders: mpsc::Receiver<Wish>,
}

impl Canaries {
    /// Decides nothing yet.
    pub fn new(inspector: Inspector, keeper: Keeper, orders: mpsc::Receiver<Wish>) -> Self {
        Self { inspector, keeper, orders }
    }

    /// Decides for ever.
    pub async fn run(&mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.pass().await,
                wish = self.orders.recv() => match wish {
                    Some(wish) => self.obey(wish).await,
                    None => return,
                },
            }
        }
    }

    async fn pass(&mut self) {
        let objects = Arc::clone(&self.inspector.objects.borrow());
        self.keeper.forget(&objects.releases).await;
        if !self.keeper.leads() {
            return;
        }
        for release in objects.releases.iter().filter(|release| release.refused.is_none()) {
            // What is wrong with writing is logged there; the next pass tries again from what was written last.
            let _ = self.decide(release, &[]).await;
        }
    }

    async fn obey(&mut self, wish: Wish) {
        let objects = Arc::clone(&self.inspector.objects.borrow());
        let found = objects.releases.iter().find(|release| release.key == wish.key);
        let answer = match found {
            _ if !self.keeper.leads() => Err(Unheard::NotLeading),
            None => Err(Unheard::Unknown(format!("there is no {}", wish.key))),
            Some(Release { refused: Some(why), .. }) => Err(Unheard::NotNow(why.clone())),
            Some(release) => match self.decide(release, &[wish.order]).await {
                Ok(events) => said(&events),
                Err(error) => Err(Unheard::NotNow(error)),
            },
        };
        // An error means that nobody waits for the answer any more.
        let _ = wish.answer.send(answer);
    }

    /// Decides about one release; gives what happened, or why it could not be written down.
    async fn decide(&mut self, release: &Release, orders: &[Order]) -> Result<Vec<Why>, String> {
        let known = self.keeper.known(release);
        let state = known.clone().unwrap_or_default();
        let now = now_ms() / 1000;
        let observed = self.observed(release, &state, now).await;
        let input = Input {
            version: &release.version,
            sides: release.sides,
            observed: &observed,
            orders,
            answers: &[],
            own_weights: release.own_weights,
        };
        let next = advance(&release.plan, &state, &input, now);
        if known.as_ref() != Some(&next.state) {
            self.keeper.keep(&release.key, known, next.state).await?;
        }
        for event in &next.events {
            tracing::info!(reason = ?event.reason, "{}: {}", release.key, event.message);
        }
        Ok(next.events)
    }

    /// Figures, where they will be looked at; they are asked of every replica.
    async fn observed(&self, release: &Release, state: &State, now: u64) -> Observation {
        let interval = release.plan.analysis.interval;
        let seconds = match state.phase {
            // Before the first step, what the stable version is like.
            Phase::Waiting => interval,
            Phase::Progressing | Phase::Paused if now >= state.checked + interval => now - state.checked,
            Phase::Progressing | Phase::Paused | Phase::Promoted | Phase::RolledBack => {
                let side = |ready| Side { ready, figures: None };
                return Observation { stable: side(release.ready.0), canary: side(release.ready.1) };
            }
        };
        self.inspector.observed(release, seconds).await
    }
}

/// The answer to an order.
fn said(events: &[Why]) -> Result<String, Unheard> {
    if let Some(ignored) = events.iter().find(|event| event.reason == Reason::Ignored) {
        return Err(Unheard::NotNow(ignored.message.clone()));
    }
    let texts: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
    Ok(texts.join("; "))
}

impl Keeper {
    /// On one machine; goes on from the file, if there is one.
    pub fn here(file: Option<PathBuf>) -> (Self, watch::Receiver<Arc<States>>) {
        let states = file.as_deref().map(file::read).unwrap_or_default();
        let (states, seen) = watch::channel(Arc::new(states));
        (Self::Here { states, file }, seen)
    }

    /// In a cluster, while this replica leads.
    pub fn cluster(cluster: Cluster, leads: AnnounceCounters) -> Self {
        Self::Cluster { cluster, leads, written: BTreeMap::new() }
    }

    fn leads(&self) -> bool {
        match self {
            Self::Here { .. } => true,
            Self::Cluster { leads, .. } => leads.leads.get() == 1,
        }
    }

    /// What was written last.
    fn known(&mut self, release: &Release) -> Option<State> {
        match self {
            Self::Here { states, .. } => states.borrow().get(&release.key).cloned(),
            Self::Cluster { written, .. } => match written.get(&release.key) {
                Some((before, after)) if *before == release.state => Some(after.clone()),
                Some(_) | None => {
                    written.remove(&release.key);
                    release.state.clone()
                }
            },
        }
    }

    async fn keep(&mut self, key: &ObjectKey, before: Option<State>, after: State) -> Result<(), String> {
        match self {
            Self::Here { states, file } => {
                let mut all = Arc::clone(&states.borrow());
                Arc::make_mut(&mut all).insert(key.clone(), after);
                if let Some(file) = file {
                    file::write(file, &all).await?;
                }
                states.send_replace(all);
            }
            Self::Cluster { cluster, written, .. } => {
                let place =
                    Place { resource: resource(key.kind), namespace: &key.namespace, name: &key.name };
                let body = json!({ "status": { "release": after } });
                if let Err(error) = cluster.write(place, Write::MergeStatus, &body).await {
                    let text = format!("the state of {key} cannot be written: {error}");
                    tracing::warn!("{text}");
                    return Err(text);
                }
                written.insert(key.clone(), (before, after));
            }
        }
        Ok(())
    }

    /// States of objects that are gone go too.
    async fn forget(&mut self, releases: &[Release]) {
        let is_there = |key: &ObjectKey| releases.iter().any(|release| release.key == *key);
        match self {
            Self::Here { states, file } => {
                if states.borrow().keys().all(is_there) {
                    return;
                }
                let mut all = Arc::clone(&states.borrow());
                Arc::make_mut(&mut all).retain(|key, _| is_there(key));
                if let Some(file) = file
                    && let Err(error) = file::write(file, &all).await
                {
                    tracing::warn!("{error}");
                }
                states.send_replace(all);
            }
            Self::Cluster { written, .. } => written.retain(|key, _| is_there(key)),
        }
    }
}

#[cfg(test)]
mod tests;
