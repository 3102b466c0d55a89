//! The one place that spawns. A task has a name, is counted, ends with the set that owns it, and its panic ends
//! nothing but itself ([`Tasks::spawn`]) or makes it begin anew ([`Tasks::keep`]). It must not know what the tasks do.

mod kept;
pub(crate) mod ledger;

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use kept::{Beginning, LocalWork, Work};
pub use ledger::{Counts, counts};

/// How long forced tasks get to be dropped: they only have to reach their next await.
const FORCE_GRACE: Duration = Duration::from_secs(1);

/// A set of tasks with one end. Clones are handles of the same set.
#[derive(Clone, Default)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    tracker: TaskTracker,
    /// Asks the tasks to end.
    stop: CancellationToken,
    /// Drops the tasks that did not.
    force: CancellationToken,
    panics: AtomicU64,
}

/// How a set ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// All tasks ended by themselves.
    Clean,
    /// `left` tasks did not end before the deadline and were dropped.
    Forced {
        /// How many there were.
        left: usize,
    },
}

impl Tasks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `task` on the current runtime until it ends or the set is forced down.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.tracker.spawn(Arc::clone(&self.inner).run(name, task));
    }

    /// As [`Tasks::spawn`], for a task that stays on this thread.
    ///
    /// # Panics
    /// Outside of a `LocalSet`.
    pub fn spawn_local(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.inner.tracker.spawn_local(Arc::clone(&self.inner).run(name, task));
    }

    /// Cancelled when the set is asked to end. A task that never looks at it is dropped at the deadline.
    pub fn token(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// Tasks that have not ended.
    pub fn active(&self) -> usize {
        self.inner.tracker.len()
    }

    /// Tasks that ended by a panic so far.
    pub fn panics(&self) -> u64 {
        self.inner.panics.load(Ordering::Relaxed)
    }

    /// Cancels the token, waits up to `deadline` for the tasks to end, then drops those that are left.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        self.inner.stop.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(deadline, self.inner.tracker.wait()).await.is_ok() {
            return Shutdown::Clean;
        }
        let left = self.active();
        self.inner.force.cancel();
        if tokio::time::timeout(FORCE_GRACE, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!(tasks = self.active(), "tasks do not yield, leaving them behind");
        }
        Shutdown::Forced { left }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("active", &self.active()).field("panics", &self.panics()).finish()
    }
}

impl Inner {
    fn panicked(&self, name: &'static str) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        ledger::panicked(name);
    }

    async fn run(self: Arc<Self>, name: &'static str, task: impl Future<Output = ()>) {
        if let Some(Err(panic)) = self.forced_or(name, task).await {
            self.panicked(name);
            tracing::error!(task = name, panic = panic_text(&*panic), "task panicked");
        }
    }

    /// `None`: the set was forced down first.
    async fn forced_or(
        &self,
        name: &'static str,
        task: impl Future<Output = ()>,
    ) -> Option<Result<(), Panic>> {
        tokio::select! {
            biased;
            // Dropping the task is its cancellation; it must be safe to drop at any await.
            () = self.force.cancelled() => {
                tracing::debug!(task = name, "task dropped at shutdown");
                None
            }
            ended = contained(task) => Some(ended),
        }
    }
}

type Panic = Box<dyn Any + Send>;

/// Ends with the panic of `task` instead of passing it on.
async fn contained(task: impl Future<Output = ()>) -> Result<(), Panic> {
    let mut task = pin!(task);
    // A task that panicked is never polled again, so its broken invariants stay with it.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests;
