//! Coarse deadlines: one sweeper a worker looks at all of them now and then, so that setting one costs a store and not a timer. They
//! are met up to [`TICK`] late. It must not know what they are for.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

/// Between two looks.
const TICK: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Table {
    entries: RefCell<Entries>,
    /// The time of the last look; good enough for deadlines of seconds.
    now: Cell<Option<Instant>>,
    began: Rc<Notify>,
}

#[derive(Default)]
struct Entries {
    all: Vec<Entry>,
    free: Vec<usize>,
}

#[derive(Default)]
struct Entry {
    at: Option<Instant>,
    waker: Option<Waker>,
}

thread_local! {
    static TABLE: Table = Table::default();
}

/// Wakes tasks whose deadline is over; runs on each worker beside everything else, and never ends. Sleeps while nobody waits.
pub async fn sweeper() {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // What the tick itself gives is when it was due, which is long ago after a time without work.
        tick.tick().await;
        if TABLE.with(|table| table.look(Instant::now())) == 0 {
            let began = TABLE.with(|table| Rc::clone(&table.began));
            began.notified().await;
        }
    }
}

/// The time as of the last look, at most [`TICK`] ago (a little more under load).
pub(super) fn now() -> Instant {
    // Nobody keeps the time while the sweeper sleeps, so then it is asked for and not noted down.
    TABLE.with(|table| table.now.get()).unwrap_or_else(Instant::now)
}

impl Table {
    /// Wakes those whose time has come; gives how many places are taken.
    fn look(&self, now: Instant) -> usize {
        self.now.set(Some(now));
        let entries = &mut *self.entries.borrow_mut();
        for entry in &mut entries.all {
            if entry.at.is_some_and(|at| at <= now)
                && let Some(waker) = entry.waker.take()
            {
                waker.wake();
            }
        }
        let taken = entries.all.len() - entries.free.len();
        if taken == 0 {
            // Nobody keeps the time from now on.
            self.now.set(None);
            *entries = Entries::default();
        }
        taken
    }

    fn enter(&self) -> usize {
        let mut entries = self.entries.borrow_mut();
        let at = if let Some(at) = entries.free.pop() {
            at
        } else {
            entries.all.push(Entry::default());
            entries.all.len() - 1
        };
        if self.now.get().is_none() || entries.all.len() - entries.free.len() == 1 {
            self.now.set(Some(Instant::now()));
            self.began.notify_one();
        }
        at
    }
}

/// One deadline. It takes a place in the sweeper's list when it is first polled, and gives it back when dropped.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    at: Option<Instant>,
    place: Option<usize>,
}

impl Deadline {
    /// At no time.
    pub(super) fn never() -> Self {
        Self::default()
    }

    /// At that time.
    pub(super) fn at(at: Instant) -> Self {
        Self { at: Some(at), place: None }
    }

    /// Moves it.
    pub(super) fn set(&mut self, at: Option<Instant>) {
        self.at = at;
        if let Some(place) = self.place {
            TABLE.with(|table| {
                if let Some(entry) = table.entries.borrow_mut().all.get_mut(place) {
                    entry.at = at;
                }
            });
        }
    }

    /// So long from now.
    pub(super) fn set_after(&mut self, wait: Duration) {
        self.set(Some(now() + wait));
    }

    /// Ready once it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        TABLE.with(|table| {
            let place = *self.place.get_or_insert_with(|| table.enter());
            if table.now.get().is_some_and(|now| at <= now) {
                return Poll::Ready(());
            }
            if let Some(entry) = table.entries.borrow_mut().all.get_mut(place) {
                entry.at = Some(at);
                match &mut entry.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
            }
            Poll::Pending
        })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        // At the end of a thread the table may be gone already.
        let _ = TABLE.try_with(|table| {
            let mut entries = table.entries.borrow_mut();
            if let Some(entry) = entries.all.get_mut(place) {
                *entry = Entry::default();
                entries.free.push(place);
            }
        });
    }
}

/// A deadline that is met on time when it is near, and coarsely when it is not.
#[derive(Debug)]
pub(super) struct Limit {
    coarse: Deadline,
    near: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

/// What counts as near.
const NEAR: Duration = Duration::from_secs(2);

impl Limit {
    /// At that time.
    pub(super) fn at(at: Instant) -> Self {
        if at.saturating_duration_since(now()) < NEAR {
            Self { coarse: Deadline::never(), near: Some(Box::pin(tokio::time::sleep_until(at))) }
        } else {
            Self { coarse: Deadline::at(at), near: None }
        }
    }

    /// Ready once it is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.near {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => self.coarse.poll(cx),
        }
    }
}
