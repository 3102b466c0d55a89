//! All streams together: opened as fast as is allowed, and what they saw. One thread; nothing here waits for the controller but streams.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mesh_lifecycle::tasks::Tasks;
use tokio::sync::{Semaphore, watch};

use super::objects::{self, Size};
use super::plane::Plane;
use super::proxy::{self, Holding, Wanted, Way};

/// Between attempts of one stream: as proxies do, spread so that they do not come together.
const AGAIN: (u64, u64) = (50, 500);
/// For streams to end.
const CLOSE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(1);

/// What all streams saw.
#[derive(Debug)]
pub(super) struct Log {
    bytes: Cell<u64>,
    updates: Cell<u64>,
    update_bytes: Cell<u64>,
    resources: Cell<u64>,
    attempts: Cell<u64>,
    failures: RefCell<HashMap<String, u64>>,
    full: RefCell<Vec<Option<Instant>>>,
    fulls: Cell<usize>,
    watches: Cell<bool>,
    marks: RefCell<Vec<(u32, Instant)>>,
    more: watch::Sender<Vec<(String, String)>>,
}

/// Counts of a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Of all messages, watermarks too.
    pub(super) bytes: u64,
    pub(super) updates: u64,
    pub(super) update_bytes: u64,
    pub(super) resources: u64,
    pub(super) attempts: u64,
}

impl Log {
    fn new(streams: usize) -> Self {
        Self {
            bytes: Cell::default(),
            updates: Cell::default(),
            update_bytes: Cell::default(),
            resources: Cell::default(),
            attempts: Cell::default(),
            failures: RefCell::default(),
            full: RefCell::new(vec![None; streams]),
            fulls: Cell::default(),
            watches: Cell::default(),
            marks: RefCell::default(),
            more: watch::Sender::default(),
        }
    }

    pub(super) fn bytes(&self, count: usize) {
        self.bytes.set(self.bytes.get() + count as u64);
    }

    pub(super) fn update(&self, bytes: usize, resources: usize) {
        self.updates.set(self.updates.get() + 1);
        self.update_bytes.set(self.update_bytes.get() + bytes as u64);
        self.resources.set(self.resources.get() + resources as u64);
    }

    pub(super) fn full(&self, stream: usize, at: Instant) {
        if let Some(seen) = self.full.borrow_mut().get_mut(stream) {
            *seen = Some(at);
            self.fulls.set(self.fulls.get() + 1);
        }
    }

    pub(super) fn watches(&self) -> bool {
        self.watches.get()
    }

    pub(super) fn marked(&self, number: u32, at: Instant) {
        self.marks.borrow_mut().push((number, at));
    }

    /// Services that all streams are to want in addition.
    pub(super) fn more(&self) -> watch::Receiver<Vec<(String, String)>> {
        let mut more = self.more.subscribe();
        more.mark_unchanged();
        more
    }

    fn failed(&self, error: &anyhow::Error) {
        let text = format!("{error:#}").chars().take(160).collect();
        *self.failures.borrow_mut().entry(text).or_default() += 1;
    }

    fn counts(&self) -> Counts {
        Counts {
            bytes: self.bytes.get(),
            updates: self.updates.get(),
            update_bytes: self.update_bytes.get(),
            resources: self.resources.get(),
            attempts: self.attempts.get(),
        }
    }
}

/// Streams that run.
#[derive(Debug)]
pub(super) struct Crowd {
    log: Rc<Log>,
    tasks: Tasks,
    began: Instant,
}

/// How the streams begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// At most so many are without configuration at a time: a rollout.
    AtMost(usize),
    /// All in one moment: a herd.
    AtOnce,
}

/// What is kept of a stream while it has no connection.
pub(super) type Kept = Vec<Holding>;

/// Nothing held.
pub(super) fn nothing(streams: usize) -> Kept {
    (0..streams).map(|_| Rc::default()).collect()
}

impl Crowd {
    /// Opens a stream for each member; each opens again when it ends.
    pub(super) fn open(plane: &Plane<'_>, size: Size, opening: Opening, kept: &Kept) -> Result<Self> {
        let log = Rc::new(Log::new(size.streams));
        let places = match opening {
            Opening::AtMost(places) => places,
            Opening::AtOnce => size.streams,
        };
        let places = Arc::new(Semaphore::new(places.max(1)));
        let began = Instant::now();
        let to = plane.listen();
        let tasks = Tasks::new();
        for (stream, holding) in kept.iter().enumerate() {
            let (namespace, workload) = objects::member(stream);
            let services = objects::used(size, stream)
                .map(|service| (objects::namespace(service), objects::service_name(service)))
                .collect();
            let wanted = Wanted { stream, namespace, workload, services };
            let (log, places, holding) = (Rc::clone(&log), Arc::clone(&places), Rc::clone(holding));
            let tls = plane.client(stream)?;
            let (owner, stop) = (tasks.clone(), tasks.token());
            tasks.spawn_local("stream", async move {
                loop {
                    // Nobody closes it.
                    let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                    log.attempts.set(log.attempts.get() + 1);
                    let way = Way { to, tls: Arc::clone(&tls), tasks: &owner };
                    let work = Box::pin(proxy::run(&wanted, way, (&holding, &log), place));
                    tokio::select! {
                        () = stop.cancelled() => return,
                        ended = work => ended.unwrap_or_else(|error| log.failed(&error)),
                    }
                    log.full.borrow_mut().get_mut(stream).into_iter().for_each(|seen| *seen = None);
                    let (least, most) = AGAIN;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(least..most))).await;
                }
            });
        }
        Ok(Self { log, tasks, began })
    }

    /// When each stream had its configuration, in seconds since all began; waits until all have.
    pub(super) async fn all_full(&self, limit: Duration) -> Result<Vec<f64>> {
        let until = Instant::now() + limit;
        loop {
            if let Some(all) = self.full_after() {
                return Ok(all);
            }
            ensure!(Instant::now() < until, "{}", self.why_not());
            tokio::time::sleep(LOOK).await;
        }
    }

    fn full_after(&self) -> Option<Vec<f64>> {
        let full = self.log.full.borrow();
        full.iter().map(|at| at.map(|at| at.duration_since(self.began).as_secs_f64())).collect()
    }

    fn why_not(&self) -> String {
        let missing = self.log.full.borrow().iter().filter(|at| at.is_none()).count();
        format!("{missing} streams have no configuration; failures: {:?}", self.log.failures.borrow())
    }

    pub(super) fn counts(&self) -> Counts {
        self.log.counts()
    }

    /// All streams want this service too; waits until each was told.
    pub(super) async fn also(
        &self,
        service: (String, String),
        streams: usize,
        limit: Duration,
    ) -> Result<()> {
        let before = self.counts().updates;
        self.log.more.send_replace(vec![service]);
        let until = Instant::now() + limit;
        while self.counts().updates < before + streams as u64 {
            ensure!(Instant::now() < until, "{} of {streams} were told", self.counts().updates - before);
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// From now on marks are looked for.
    pub(super) fn watch(&self) {
        self.log.watches.set(true);
        self.log.marks.borrow_mut().clear();
    }

    /// How often each mark was seen, and when.
    pub(super) fn marks(&self) -> HashMap<u32, Vec<Instant>> {
        let mut all: HashMap<u32, Vec<Instant>> = HashMap::new();
        for (number, at) in self.log.marks.borrow().iter() {
            all.entry(*number).or_default().push(*at);
        }
        all
    }

    /// Until so many marks were seen in all; false when time is over.
    pub(super) async fn until_marks(&self, count: usize, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while self.log.marks.borrow().len() < count {
            if Instant::now() > until {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }

    /// Ends all streams at once.
    pub(super) async fn close(self) {
        self.tasks.shutdown(CLOSE).await;
    }
}
