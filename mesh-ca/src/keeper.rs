//! Carries a rotation out: reads what is kept, takes it over, tells what this replica knows, and takes the next step if `rotation` says
//! so. It must not know how keys are made, nor where they are kept.

use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::{CancellationToken, Tasks};

use crate::authority::{Authority, KeyStore, Mint};
use crate::clock::unix_now;
use crate::live::{Live, Seen};
use crate::members::View;
use crate::metrics::Metrics;
use crate::rotation::{self, Act, Asked, Next, Rotation, Step};
use crate::store::{Found, Held, Store, StoreError};
use crate::upstream::{Upstream, UpstreamError};
use crate::vault::{BadKeys, Slot, Vault};

/// Between two looks while nothing is under way, and while something is.
const LOOK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));
/// After a failure.
const RETRY: Duration = Duration::from_secs(5);
/// What this replica knows is written at least so often. Seconds; well below [`rotation::STALE`].
const HEARTBEAT: u64 = 30;
/// The last view has this long at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a keeper is made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) store: Arc<Store>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) mint: Mint,
    /// The name of this replica among those that share the store.
    pub(crate) replica: String,
    /// Seconds that the longest certificate of this replica lives.
    pub(crate) leaf_life: u64,
    pub(crate) metrics: Metrics,
    /// The clock is right, whatever was signed at later times.
    pub(crate) accepts_clock: bool,
}

pub(crate) struct Keeper {
    parts: Parts,
    authority: Arc<Authority>,
    live: Arc<Live>,
    /// What is in force here.
    vault: Vault,
    adopted: u64,
    shared: u64,
    /// The last look, by the wall and by a clock that nobody sets.
    looked: (u64, tokio::time::Instant),
}

/// Why a keeper cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store, or what is in it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No issuer can be had.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// Why a turn came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It may work at the next one.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It will not: the keys were replaced from outside.
    #[error(
        "{0} has keys that this authority cannot follow: it ends, so that its next start takes them. Members that trust the old root must be restarted"
    )]
    Ousted(String),
}

impl Keeper {
    /// Takes over what is kept, or makes the first root. What this replica knew when it ended, or was killed, counts on.
    pub(crate) async fn open(parts: &Parts) -> Result<Self, OpenError> {
        loop {
            let now = unix_now();
            let (held, is_ours) = match parts.store.read(parts.leaf_life, now).await? {
                Found::Held(held) => (held, false),
                Found::Nothing(version) => {
                    let vault =
                        Vault::begin(parts.upstream.root(&parts.mint, now).await?, parts.leaf_life, now);
                    // Before it is kept: what cannot be used must not be found by the next start.
                    authority(parts, &vault, now)?;
                    if !parts.store.write(&version, &vault).await? {
                        // Another replica was faster: its keys count.
                        continue;
                    }
                    tracing::info!(trust_domain = %parts.mint.trust_domain, place = parts.store.place(), "new root");
                    (Held { vault, version }, true)
                }
            };
            let live = Live::new(held.vault.rotation.leaf_life.max(parts.leaf_life), 0);
            remember(parts, &live, &held.vault, is_ours, now).await?;
            // Told before the state is read once more: whoever goes on after that waits for this replica.
            let view = live.members().view(&parts.replica, held.vault.rotation.point(), now, now);
            let view = View { newest: live.newest(), ..view };
            parts.store.share(&view, parts.leaf_life, now).await?;
            let Found::Held(held) = parts.store.read(parts.leaf_life, now).await? else { continue };
            let authority = Arc::new(authority(parts, &held.vault, now)?);
            parts.store.publish(&authority.bundle_pem()).await?;
            live.synced(now, held.vault.rotation.leaf_life);
            let keeper = Self {
                parts: parts.clone(),
                authority,
                live: Arc::new(live),
                vault: held.vault,
                adopted: now,
                shared: 0,
                looked: (now, tokio::time::Instant::now()),
            };
            return Ok(keeper);
        }
    }

    pub(crate) fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    pub(crate) fn live(&self) -> &Arc<Live> {
        &self.live
    }

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    #[cfg(test)]
    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Looks now and then, on `tasks`. When the keys are not those of this process any more, `ousted` is cancelled.
    pub(crate) fn keep(self, tasks: &Tasks, ousted: CancellationToken) {
        let stop = tasks.token();
        tasks.keep("rotation", self, move |this, _| {
            let (stop, ousted) = (stop.clone(), ousted.clone());
            Box::pin(async move {
                tokio::select! {
                    () = stop.cancelled() => this.farewell().await,
                    why = this.look_for_ever() => {
                        tracing::error!("{why}");
                        ousted.cancel();
                    }
                }
            })
        });
    }

    async fn look_for_ever(&mut self) -> Trouble {
        let mut said: Option<String> = None;
        let live = Arc::clone(&self.live);
        loop {
            let wait = match self.turn().await {
                Ok(pace) => {
                    if said.take().is_some() {
                        tracing::info!("the authority keeps its keys again");
                    }
                    self.parts.metrics.in_sync(true);
                    live.trouble(None);
                    pace
                }
                Err(why @ Trouble::Ousted(_)) => return why,
                Err(trouble) => {
                    let reason = mesh_identity::reasons(&trouble);
                    self.parts.metrics.keeper_failed();
                    live.trouble(Some(reason.clone()));
                    if said.as_ref() != Some(&reason) {
                        tracing::error!(
                            reason,
                            "the authority cannot keep its keys or rotate them, trying again"
                        );
                        said = Some(reason);
                    }
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = live.wake.notified() => {}
            }
        }
    }

    /// One look, and the steps that can be taken. Says how long to wait for the next one.
    pub(crate) async fn turn(&mut self) -> Result<Duration, Trouble> {
        loop {
            let now = unix_now();
            self.watch_clock(now);
            let held = match self.parts.store.read(self.parts.leaf_life, now).await? {
                Found::Held(held) => held,
                Found::Nothing(version) => {
                    // Somebody removed it. What members trust is still in this process, so it is put back.
                    if self.parts.store.write(&version, &self.vault).await? {
                        tracing::warn!(place = self.parts.store.place(), "the keys were gone and are back");
                    }
                    continue;
                }
            };
            if !self.authority.can_follow(&held.vault) {
                return Err(Trouble::Ousted(self.parts.store.place()));
            }
            self.adopt(&held.vault, now).await?;
            if held.vault.rotation.leaf_life < self.parts.leaf_life {
                let rotation = Rotation { leaf_life: self.parts.leaf_life, ..held.vault.rotation.clone() };
                self.parts.store.write(&held.version, &Vault { rotation, ..held.vault }).await?;
                continue;
            }
            let views = self.share(now).await?;
            match self.decide(&views, now) {
                Next::Do(act) => self.act(act, held, now).await?,
                Next::Idle => return Ok(LOOK.0.min(Duration::from_secs(self.heartbeat()))),
                Next::Wait(_) => return Ok(LOOK.1),
            }
        }
    }

    /// A clock that was set makes certificates look as if they had ended. Then nothing is believed of them: whatever is waited for lasts
    /// one leaf life from now on.
    fn watch_clock(&mut self, now: u64) {
        let (wall, steady) = self.looked;
        let expected = wall + steady.elapsed().as_secs();
        if now.abs_diff(expected) > rotation::SLACK {
            tracing::warn!(
                expected,
                now,
                "the clock was set, or this machine slept; a rotation waits longer"
            );
            let life = self.vault.rotation.leaf_life;
            self.live.members().assume(now + life);
            self.adopted = now;
        }
        self.looked = (now, tokio::time::Instant::now());
    }

    /// Takes a vault over. Who pins roots is told before anything else goes on.
    async fn adopt(&mut self, vault: &Vault, now: u64) -> Result<(), Trouble> {
        let before = self.authority.point();
        let changed = self.authority.adopt(vault).map_err(|why| self.parts.store.broken(why))?;
        if changed {
            let rotation = &vault.rotation;
            if before != rotation.point() {
                self.adopted = now;
            }
            tracing::info!(
                generation = rotation.generation, step = ?rotation.step, issuer_ends = self.authority.issuer_span().end,
                "keys in force"
            );
        }
        self.vault = vault.clone();
        self.parts.store.publish(&self.authority.bundle_pem()).await?;
        Ok(())
    }

    /// Tells what this replica knows, if it is time, and says what all know.
    async fn share(&mut self, now: u64) -> Result<Vec<View>, Trouble> {
        let rotation = &self.vault.rotation;
        let is_due =
            rotation.step != Step::Steady || self.shared + self.heartbeat() <= now || now < self.shared;
        let views = if is_due {
            let mut view = self.live.members().view(&self.parts.replica, rotation.point(), self.adopted, now);
            view.newest = self.live.newest();
            let views = self.parts.store.share(&view, rotation.leaf_life, now).await?;
            self.shared = now;
            views
        } else {
            self.parts.store.views().await?
        };
        for view in &views {
            self.live.saw_time(view.newest);
        }
        self.live.synced(now, rotation.leaf_life);
        Ok(views)
    }

    /// Seconds between two views: what they tell of certificates that live shortly must not be over by then.
    fn heartbeat(&self) -> u64 {
        HEARTBEAT.min(self.vault.rotation.leaf_life / 4).max(1)
    }

    fn decide(&self, views: &[View], now: u64) -> Next {
        let due = self.parts.upstream.due(&self.vault.current, self.authority.due());
        let next = rotation::next(&self.vault.rotation, due, views, now);
        let waiting = match &next {
            Next::Wait(waiting) => Some(waiting.clone()),
            Next::Idle | Next::Do(_) => None,
        };
        let seen =
            Seen { rotation: self.vault.rotation.clone(), views: views.to_vec(), waiting, trouble: None };
        self.parts.metrics.rotation(&seen, now);
        self.live.tell(seen);
        next
    }

    async fn act(&mut self, act: Act, held: Held, now: u64) -> Result<(), Trouble> {
        let Parts { upstream, mint, store, leaf_life, .. } = &self.parts;
        let current = &held.vault.current;
        let (act, slot) = match act {
            Act::Prepare => (act, Some(upstream.root(mint, now).await?)),
            Act::RenewIssuer => {
                let slot = upstream.issuer(mint, current, now).await?;
                // Another root: members must trust it first.
                let is_other = slot.roots.trim() != current.roots.trim();
                (if is_other { Act::Prepare } else { act }, Some(slot))
            }
            Act::Publish | Act::Move | Act::Drop => (act, None),
        };
        if let Some(slot) = slot.as_ref().filter(|_| act == Act::Prepare || act == Act::RenewIssuer) {
            check(mint, slot, now).map_err(|why| store.broken(why))?;
        }
        let old_key = held.vault.current.root_key.clone().filter(|_| act == Act::Move);
        let vault = held.vault.after(act, slot, *leaf_life, now);
        if store.write(&held.version, &vault).await? {
            if let Some(Err(why)) = old_key.map(|key| mint.keys.forget(&key)) {
                tracing::error!(why, "the key of the old root is still in the token; remove it there");
            }
            tracing::info!(step = ?vault.rotation.step, generation = vault.rotation.generation, ?act, "rotation went on");
            self.adopt(&vault, now).await?;
        }
        Ok(())
    }

    /// Nothing is signed from here on, and others need not wait for what they do not know.
    async fn farewell(&mut self) {
        self.live.synced(0, 0);
        let (now, rotation) = (unix_now(), &self.vault.rotation);
        let view = self.live.members().view(&self.parts.replica, rotation.point(), self.adopted, now);
        let view = View { has_ended: true, newest: self.live.newest(), ..view };
        let told = self.parts.store.share(&view, rotation.leaf_life, now);
        match tokio::time::timeout(FAREWELL, told).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what members trust cannot be written down at the end"),
            Err(_) => tracing::warn!("what members trust could not be written down in time at the end"),
        }
    }
}

/// Asks for a new root or issuer; whoever keeps the keys does it.
pub(crate) async fn ask(store: &Store, live: &Live, what: Asked) -> Result<(), StoreError> {
    for _ in 0..ASKING {
        let now = unix_now();
        let Found::Held(held) = store.read(0, now).await? else { break };
        let rotation = Rotation { asked: Some(what), ..held.vault.rotation.clone() };
        if let Some(mut seen) = live.seen() {
            seen.rotation.asked = rotation.asked;
            live.tell(seen);
        }
        if store.write(&held.version, &Vault { rotation, ..held.vault }).await? {
            break;
        }
    }
    live.wake.notify_one();
    Ok(())
}

/// Others write at the same time, but not for long.
const ASKING: usize = 5;

/// Whether what was made can be used: it is not kept otherwise.
fn check(mint: &Mint, slot: &Slot, now: u64) -> Result<(), BadKeys> {
    let vault = Vault::begin(slot.clone(), 0, now);
    Authority::new(mint.trust_domain.clone(), KeyStore::clone(&mint.keys), &vault, now).map(|_| ())
}

fn authority(parts: &Parts, vault: &Vault, now: u64) -> Result<Authority, StoreError> {
    let keys = KeyStore::clone(&parts.mint.keys);
    let authority = Authority::new(parts.mint.trust_domain.clone(), keys, vault, now);
    authority.map_err(|why| parts.store.broken(why))
}

/// Takes over what this replica knew, and the newest time that any replica had.
async fn remember(
    parts: &Parts,
    live: &Live,
    vault: &Vault,
    is_ours: bool,
    now: u64,
) -> Result<(), StoreError> {
    let views = parts.store.views().await?;
    let leaf_life = vault.rotation.leaf_life;
    match views.iter().find(|view| view.replica == parts.replica) {
        Some(view) => live.members().resume(view, leaf_life, now),
        // Nobody wrote down for whom was signed.
        None if views.is_empty() && !is_ours => live.members().assume(now + leaf_life),
        None => {}
    }
    if parts.accepts_clock {
        live.accept_clock();
    } else {
        for view in &views {
            live.saw_time(view.newest);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
