//! When the state is saved, and when a saved one is served from. It must not know files, nor the stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_lifecycle::Tasks;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::{Client, Reach};
use super::keep::{self, Found, Job};
use super::status::Status;
use crate::config::Keep;
use crate::state::Store;

/// What the client remembers about saving.
pub(super) struct Keeper {
    jobs: mpsc::Sender<Job>,
    /// The store is a saved state that is not shown yet: from then on it is, unless the controller speaks. And as of when it holds.
    held_back: Option<(Instant, u64)>,
    /// The store has changed and is saved then.
    save_at: Option<Instant>,
    /// When it was saved last.
    saved: Option<Instant>,
}

impl Keeper {
    pub(super) fn new(keep: &Keep, status: Arc<Status>, tasks: &Tasks) -> Self {
        Self { jobs: keep::spawn(keep, status, tasks), held_back: None, save_at: None, saved: None }
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.held_back.is_some()
    }
}

/// Waits until then; without a time, for ever.
pub(super) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Client {
    /// Takes the saved state, if there is one that counts. It is not shown yet: the controller is asked first, with what is held.
    pub(super) async fn restore(&mut self) {
        let Some(keep) = self.config.keep.clone() else { return };
        let restored = match keep::load(&keep).await {
            Ok(None) => return,
            Ok(Some(Found { bytes, as_of_ms })) => Store::restore(&bytes, &self.config.node)
                .map(|store| (store, as_of_ms))
                .map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        match (restored, &mut self.keeper) {
            (Ok((store, as_of_ms)), Some(keeper)) => {
                keeper.held_back = Some((Instant::now() + self.tuning.patience, as_of_ms));
                self.store = store;
                self.used_again();
            }
            (Err(reason), _) => {
                self.status.saved_ignored();
                tracing::warn!(folder = %keep.dir.display(), reason, "the saved state is not used");
            }
            (Ok(_), None) => {}
        }
    }

    /// When there is something to do about saving.
    pub(super) fn next_save(&self) -> Option<Instant> {
        let keeper = self.keeper.as_ref()?;
        let held_back = keeper.held_back.map(|(until, _)| until);
        held_back.into_iter().chain(keeper.save_at).min()
    }

    /// Does what is due.
    pub(super) fn save_if_due(&mut self) {
        let now = Instant::now();
        let Some(keeper) = &mut self.keeper else { return };
        if let Some((_, as_of_ms)) = keeper.held_back.take_if(|(until, _)| *until <= now) {
            self.serve_from_saved(as_of_ms);
        } else if keeper.save_at.take_if(|at| *at <= now).is_some() {
            self.save(now);
        }
    }

    fn serve_from_saved(&mut self, as_of_ms: u64) {
        let age = UNIX_EPOCH + Duration::from_millis(as_of_ms);
        let age = SystemTime::now().duration_since(age).unwrap_or_default();
        tracing::warn!(
            controller = %self.config.controller, age_seconds = age.as_secs(), destinations = self.store.wanted(),
            "the controller has not answered: serving from the saved state"
        );
        self.status.saved(Some(as_of_ms));
        self.show(Arc::clone(self.store.snapshot()));
        self.open();
    }

    /// The controller has said something: what is held is what it says, and is to be saved.
    pub(super) fn accepted(&mut self) {
        self.status.saved(None);
        let Some(keeper) = &mut self.keeper else { return };
        keeper.held_back = None;
        let earliest = keeper.saved.map(|saved| saved + self.tuning.spacing);
        let settled = Instant::now() + self.tuning.settle;
        let at = earliest.map_or(settled, |earliest| earliest.max(settled));
        // Not put off by further changes.
        keeper.save_at.get_or_insert(at);
    }

    fn save(&mut self, now: Instant) {
        let Some(keeper) = &mut self.keeper else { return };
        let job = match self.store.save(&self.config.node) {
            Ok(bytes) => Job::Write(bytes, self.status.fresh_as_of_ms()),
            Err(reason) => {
                self.status.saved_failed();
                tracing::warn!(%reason, "the configuration is not saved for a restart");
                Job::Remove
            }
        };
        match keeper.jobs.try_send(job) {
            Ok(()) => keeper.saved = Some(now),
            // The disk is slow: later.
            Err(_) => keeper.save_at = Some(now + self.tuning.spacing),
        }
    }

    /// While the controller proves that nothing has changed, what is kept does not grow old.
    pub(super) fn renew(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        if self.reach == Reach::Here && keeper.save_at.is_none() && keeper.saved.is_some() {
            // Refused when the disk is slow: the next time does.
            drop(keeper.jobs.try_send(Job::Renew(self.status.fresh_as_of_ms())));
        }
    }
}
