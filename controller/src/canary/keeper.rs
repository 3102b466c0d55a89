//! Where the states of releases are written, and read again: the status of the object, or on one machine a file. It must not know what a state
//! means.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_release::state::{State, Why};
use serde_json::json;
use tokio::sync::watch;

use super::counters::ReleaseCounters;
use super::events::Events;
use super::{States, file};
use crate::api::ObjectKey;
use crate::cluster::{Cluster, Place, Write};
use crate::compile::canary::Release;
use crate::sources::kube::kinds::resource;
use crate::status::counters::AnnounceCounters;

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
        /// Where it is told what happened.
        events: Events,
    },
}

impl Keeper {
    /// On one machine; goes on from the file, if there is one.
    pub fn here(file: Option<PathBuf>) -> (Self, watch::Receiver<Arc<States>>) {
        let states = file.as_deref().map(file::read).unwrap_or_default();
        let (states, seen) = watch::channel(Arc::new(states));
        (Self::Here { states, file }, seen)
    }

    /// In a cluster, while this replica leads.
    pub fn cluster(cluster: Cluster, leads: AnnounceCounters, counters: ReleaseCounters) -> Self {
        Self::Cluster { cluster, leads, written: BTreeMap::new(), events: Events::new(counters) }
    }

    pub(super) fn leads(&self) -> bool {
        match self {
            Self::Here { .. } => true,
            Self::Cluster { leads, .. } => leads.leads.get() == 1,
        }
    }

    /// What was written last.
    pub(super) fn known(&mut self, release: &Release) -> Option<State> {
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

    /// Writes a state, and tells what happened.
    pub(super) async fn keep(
        &mut self,
        key: &ObjectKey,
        before: Option<State>,
        after: State,
        happened: &[Why],
    ) -> Result<(), String> {
        match self {
            Self::Here { states, file } => {
                let mut all = Arc::clone(&states.borrow());
                Arc::make_mut(&mut all).insert(key.clone(), after);
                if let Some(file) = file {
                    file::write(file, &all).await?;
                }
                states.send_replace(all);
            }
            Self::Cluster { cluster, written, events, .. } => {
                let place =
                    Place { resource: resource(key.kind), namespace: &key.namespace, name: &key.name };
                let body = json!({ "status": { "release": after } });
                match cluster.write(place, Write::MergeStatus, &body).await {
                    Err(error) => {
                        let text = format!("the state of {key} cannot be written: {error}");
                        tracing::warn!("{text}");
                        return Err(text);
                    }
                    Ok(object) => {
                        written.insert(key.clone(), (before, after));
                        events.write(cluster, key, &object, happened).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// States of objects that are gone go too.
    pub(super) async fn forget(&mut self, releases: &[Release]) {
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
