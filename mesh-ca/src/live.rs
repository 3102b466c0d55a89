//! What changes while the authority runs and is shared by those who serve and the keeper: the table of members, how fresh the state is, the
//! newest time that was seen, and what the keeper saw last. It must not know keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::members::{CAPACITY, Members, View};
use crate::refusal::Refusal;
use crate::rotation::{Asked, Point, Rotation, SLACK, Waiting};

/// A clock may go back by as much, Unix seconds.
const BACKWARDS: u64 = 60;

/// Shared by all.
#[derive(Debug)]
pub(crate) struct Live {
    members: Mutex<Members>,
    /// When the state was last read and what is known of members written, Unix seconds.
    synced: AtomicU64,
    /// How long it may be signed without.
    leaf_life: AtomicU64,
    /// The newest time at which anything was signed, by this replica or another.
    newest: AtomicU64,
    seen: Mutex<Option<Seen>>,
    /// Somebody asked for something.
    pub(crate) wake: Notify,
}

/// What the keeper saw last.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) rotation: Rotation,
    pub(crate) views: Vec<View>,
    pub(crate) waiting: Option<Waiting>,
    /// Why the last attempt failed.
    pub(crate) trouble: Option<String>,
}

impl Live {
    pub(crate) fn new(leaf_life: u64, newest: u64) -> Self {
        Self {
            members: Mutex::new(Members::new(CAPACITY)),
            synced: AtomicU64::new(0),
            leaf_life: AtomicU64::new(leaf_life),
            newest: AtomicU64::new(newest),
            seen: Mutex::new(None),
            wake: Notify::new(),
        }
    }

    pub(crate) fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn synced(&self, now: u64, leaf_life: u64) {
        self.leaf_life.store(leaf_life, Ordering::Relaxed);
        self.synced.store(now, Ordering::Relaxed);
    }

    /// Another replica, or this one before it ended, had this time.
    pub(crate) fn saw_time(&self, time: u64) {
        self.newest.fetch_max(time, Ordering::Relaxed);
    }

    /// Forgets the newest time: an administrator says that the clock is right now.
    pub(crate) fn accept_clock(&self) {
        self.newest.store(0, Ordering::Relaxed);
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Whether anything may be signed at `now`: not with a clock that went back, and not when a rotation may have gone on without this
    /// replica.
    pub(crate) fn may_sign(&self, now: u64) -> Result<(), Refusal> {
        let newest = self.newest.load(Ordering::Relaxed);
        if now + BACKWARDS < newest {
            return Err(Refusal::Clock { behind: newest - now });
        }
        let (synced, life) = (self.synced.load(Ordering::Relaxed), self.leaf_life.load(Ordering::Relaxed));
        if now.saturating_sub(synced) > life {
            return Err(Refusal::OutOfSync(now.saturating_sub(synced)));
        }
        self.newest.fetch_max(now, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn tell(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    pub(crate) fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the keeper has in trouble, without forgetting the rest.
    pub(crate) fn trouble(&self, why: Option<String>) {
        if let Some(seen) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            seen.trouble = why;
        }
    }
}

impl Seen {
    /// What was asked for and has not begun.
    pub(crate) fn asked(&self) -> Option<Asked> {
        self.rotation.asked
    }

    /// Members with a living certificate, and how many of them trust the bundle of `point`.
    pub(crate) fn counts(&self, point: Point, now: u64) -> (u64, u64) {
        let members = Members::merged(&self.views);
        members.living(now).fold((0, 0), |(all, in_step), member| {
            (all + 1, in_step + u64::from(member.generation >= point.0))
        })
    }
}

const _: () = assert!(BACKWARDS > SLACK, "clocks of replicas may differ by more than one is distrusted for");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_signed_with_a_clock_that_went_back() {
        let live = Live::new(3600, 0);
        live.synced(10_000, 3600);
        live.may_sign(10_000).unwrap();
        live.may_sign(10_000 - BACKWARDS).unwrap();
        let refusal = live.may_sign(10_000 - BACKWARDS - 1).unwrap_err();
        assert!(refusal.to_string().contains("61 s behind"), "{refusal}");
        live.accept_clock();
        live.may_sign(9_000).unwrap();
        live.saw_time(20_000);
        assert!(live.may_sign(9_001).is_err(), "another replica has another time");
    }

    #[test]
    fn nothing_is_signed_when_the_state_was_not_read_for_longer_than_a_certificate_lives() {
        let live = Live::new(60, 0);
        live.synced(1_000, 60);
        live.may_sign(1_060).unwrap();
        assert!(matches!(live.may_sign(1_061), Err(Refusal::OutOfSync(61))));
        live.synced(1_061, 60);
        live.may_sign(1_061).unwrap();
    }
}
