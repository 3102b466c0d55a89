//! One watcher: lists a kind, then watches from there; after a gap it lists again. It waits longer after every failure, and never gives up.
//! It must not know what is done with what it sees.

use std::time::Duration;

use futures_util::StreamExt;
use mesh_lifecycle::Backoff;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::kinds::{has_status, resource};
use super::trim::{self, Trimmed, trim};
use crate::api::{Kind, ObjectKey};
use crate::cluster::{Cluster, Failed, Seen, Selection};
use crate::sources::barrier::Barrier;

/// Times between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// After a failure, at least and at most. Short enough for a cluster that comes back to be followed within two seconds.
    pub retry: (Duration, Duration),
    /// Between looks for a kind that the API server does not know.
    pub absent: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { retry: (Duration::from_millis(100), Duration::from_secs(2)), absent: Duration::from_secs(10) }
    }
}

/// A watch is asked to end after so long, and is dead if it has not somewhat later: a connection that nobody answers on is noticed.
const WATCH_SECONDS: u32 = 60;
const WATCH_DEAD: Duration = Duration::from_secs(75);
/// A watch that ends sooner than this has failed, whatever it says.
const SHORT: Duration = Duration::from_millis(500);

/// What a watcher saw.
#[derive(Debug)]
pub struct Event {
    /// Of which kind.
    pub kind: Kind,
    /// What.
    pub what: What,
}

/// What may be seen.
#[derive(Debug)]
pub enum What {
    /// These are all objects; others are gone.
    All(Vec<Trimmed>),
    /// This one is new or different.
    Put(Box<Trimmed>),
    /// It is gone.
    Gone(ObjectKey),
    /// All objects that there were when a look for this number began have been said.
    Looked(u64),
    /// The watch is open, nothing was missed.
    Followed,
    /// The API server does not know the kind.
    Absent,
    /// It cannot be followed at the moment, and why.
    Failed(String),
}

struct Watcher {
    cluster: Cluster,
    kind: Kind,
    out: mpsc::Sender<Event>,
    absent: Duration,
    backoff: Backoff,
    barrier: Barrier,
    wishes: watch::Receiver<u64>,
}

/// Whether somebody still reads.
struct Closed;

/// Follows `kind` until nobody reads what it sees.
pub async fn follow(
    cluster: Cluster,
    kind: Kind,
    timing: Timing,
    barrier: Barrier,
    out: mpsc::Sender<Event>,
) {
    let backoff = Backoff::new(timing.retry.0, timing.retry.1);
    let wishes = barrier.wishes();
    let mut watcher = Watcher { cluster, kind, out, absent: timing.absent, backoff, barrier, wishes };
    // Ends when nobody reads any more.
    let _: Result<(), Closed> = watcher.run().await;
}

impl Watcher {
    async fn run(&mut self) -> Result<(), Closed> {
        loop {
            self.wishes.mark_unchanged();
            let looked_for = self.barrier.begin();
            match self.list().await {
                Ok((objects, version)) => {
                    self.say(What::All(objects)).await?;
                    self.say(What::Looked(looked_for)).await?;
                    self.watch(version).await?;
                }
                Err(Failed::NotFound) => {
                    self.say(What::Absent).await?;
                    self.say(What::Looked(looked_for)).await?;
                    // Sooner if somebody wants to know, or if he is gone who could want to.
                    let _ = tokio::time::timeout(self.absent, self.wishes.changed()).await;
                }
                Err(error) => self.failed(&error).await?,
            }
        }
    }

    async fn say(&self, what: What) -> Result<(), Closed> {
        self.out.send(Event { kind: self.kind, what }).await.map_err(|_| Closed)
    }

    async fn failed(&mut self, error: &Failed) -> Result<(), Closed> {
        self.say(What::Failed(error.to_string())).await?;
        tokio::time::sleep(self.backoff.next()).await;
        Ok(())
    }

    async fn list(&self) -> Result<(Vec<Trimmed>, String), Failed> {
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = self.cluster.page(resource(self.kind), Selection::All, next.as_deref()).await?;
            let (mut some, metadata) =
                trim::page(self.kind, &page).map_err(|error| Failed::unread(&error))?;
            drop(page);
            objects.append(&mut some);
            if metadata.next.is_empty() {
                return Ok((objects, metadata.resource_version));
            }
            next = Some(metadata.next);
        }
    }

    /// Returns when everything has to be listed anew.
    async fn watch(&mut self, mut version: String) -> Result<(), Closed> {
        loop {
            let began = Instant::now();
            let ended = match self
                .cluster
                .watch(resource(self.kind), Selection::All, &version, WATCH_SECONDS)
                .await
            {
                Ok(events) => {
                    self.say(What::Followed).await?;
                    self.events(Box::pin(events), &mut version).await?
                }
                Err(error) => Some(error),
            };
            match ended {
                // The kind is gone, or what happened meanwhile is not known any more.
                Some(Failed::Expired | Failed::NotFound) => return Ok(()),
                Some(error) => self.failed(&error).await?,
                None if began.elapsed() < SHORT => tokio::time::sleep(self.backoff.next()).await,
                None => self.backoff.reset(),
            }
        }
    }

    /// Passes events on until the watch ends; `None`: as it should.
    async fn events(
        &mut self,
        mut events: impl futures_util::Stream<Item = Result<Seen, Failed>> + Unpin,
        version: &mut String,
    ) -> Result<Option<Failed>, Closed> {
        let dead = Instant::now() + WATCH_DEAD;
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout_at(dead, events.next()) => next,
                // Listed anew, since what a watch says is never known to be all that there is by now.
                Ok(()) = self.wishes.changed() => return Ok(Some(Failed::Expired)),
            };
            let event = match next {
                Err(_) => return Ok(Some(Failed::Deadline)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Ok(Some(error)),
                Ok(Some(Ok(event))) => event,
            };
            match event {
                Seen::UpTo(newer) => *version = newer,
                Seen::Put(object) => {
                    let Some(object) = trim(self.kind, object, has_status(self.kind)) else { continue };
                    version.clone_from(&object.facts.version);
                    self.say(What::Put(Box::new(object))).await?;
                }
                Seen::Gone(object) => {
                    let newer = object.pointer("/metadata/resourceVersion").and_then(|v| v.as_str());
                    if let Some(newer) = newer {
                        newer.clone_into(version);
                    }
                    if let Some(key) = trim::key(self.kind, &object) {
                        self.say(What::Gone(key)).await?;
                    }
                }
            }
            self.backoff.reset();
        }
    }
}
