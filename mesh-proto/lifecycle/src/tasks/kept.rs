//! Work that a process cannot do without: one that panics begins anew after a while, longer each time. It must not know what the work does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Inner, Panic, Tasks, ledger, panic_text};
use crate::backoff::Backoff;

/// Waits before another beginning: the first is short, since most panics are of one thing that has passed; the last bounds what something
/// that comes again and again may cost.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// Work that went on for so long starts from the least wait again.
const STEADY: Duration = Duration::from_mins(1);

/// Work that borrows what it goes on with.
pub type Work<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The same, of work that stays on its thread.
pub type LocalWork<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// How often this work has begun, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing went before.
    First,
    /// The one before panicked: what it left behind in the state may be half done.
    Again,
}

impl Tasks {
    /// Runs `work` until it ends by itself or the set is forced down. When it panics, it begins anew with the same state after a wait that
    /// grows, so a panic costs what was under way and neither the process nor what depends on this work. Each is counted.
    ///
    /// Only for work that many depend on. What serves one peer is [`Tasks::spawn`]: its panic ends it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn keep<S: Send + 'static>(
        &self,
        name: &'static str,
        state: S,
        work: impl for<'a> FnMut(&'a mut S, Beginning) -> Work<'a> + Send + 'static,
    ) {
        let inner = Arc::clone(&self.inner);
        let (mut state, mut work, mut course) = (state, work, Course::new(name));
        self.inner.tracker.spawn(async move {
            loop {
                let ended = inner.forced_or(name, async { work(&mut state, course.beginning).await }).await;
                if !course.goes_on(&inner, ended).await {
                    return;
                }
            }
        });
    }

    /// As [`Tasks::keep`], for work without end: it is dropped when the set is asked to end.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn keep_until<S: Send + 'static>(
        &self,
        name: &'static str,
        state: S,
        mut work: impl for<'a> FnMut(&'a mut S, Beginning) -> Work<'a> + Send + 'static,
    ) {
        let stop = self.token();
        self.keep(name, state, move |state, beginning| {
            let (stop, work) = (stop.clone(), work(state, beginning));
            Box::pin(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = work => {}
                }
            })
        });
    }

    /// As [`Tasks::keep`], for work that stays on this thread.
    ///
    /// # Panics
    /// Outside of a `LocalSet`.
    pub fn keep_local<S: 'static>(
        &self,
        name: &'static str,
        state: S,
        work: impl for<'a> FnMut(&'a mut S, Beginning) -> LocalWork<'a> + 'static,
    ) {
        let inner = Arc::clone(&self.inner);
        let (mut state, mut work, mut course) = (state, work, Course::new(name));
        self.inner.tracker.spawn_local(async move {
            loop {
                let ended = inner.forced_or(name, async { work(&mut state, course.beginning).await }).await;
                if !course.goes_on(&inner, ended).await {
                    return;
                }
            }
        });
    }
}

/// One work through all its beginnings.
struct Course {
    name: &'static str,
    backoff: Backoff,
    beginning: Beginning,
    began: Instant,
}

impl Course {
    fn new(name: &'static str) -> Self {
        let backoff = Backoff::new(AGAIN.0, AGAIN.1);
        Self { name, backoff, beginning: Beginning::First, began: Instant::now() }
    }

    /// Whether it begins anew, once it may. `None`: the set is forced down.
    async fn goes_on(&mut self, inner: &Inner, ended: Option<Result<(), Panic>>) -> bool {
        let Some(Err(panic)) = ended else { return false };
        inner.panicked(self.name);
        if self.began.elapsed() >= STEADY {
            self.backoff.reset();
        }
        let wait = self.backoff.next();
        tracing::error!(
            task = self.name,
            panic = panic_text(&*panic),
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "task panicked and begins anew"
        );
        drop(panic);
        tokio::select! {
            () = inner.stop.cancelled() => return false,
            () = tokio::time::sleep(wait) => {}
        }
        ledger::restarted(self.name);
        (self.beginning, self.began) = (Beginning::Again, Instant::now());
        true
    }
}
