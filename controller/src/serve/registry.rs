//! All streams of proxies: how many there may be, and what each one's state is, for `Sync` and for status. It must not know how a
//! stream is served.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::admission::{Full, Key, Openings, Streams};
use super::interests::{Concerned, Interests};
use super::session::{Proxy, Rejected, Session};
use super::snapshot::Snapshot;
use super::touched::{Interest, Touched};
use crate::status::programmed::Programmed;

/// Proxies that are gone are shown this long, and at most so many.
const SHOWN_MS: u64 = 60_000;
const MAX_GONE: usize = 1_000;

/// Every stream. Clones are handles of the same state.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Mutex<Shared>>,
    openings: Openings,
    began: Instant,
}

#[derive(Debug)]
struct Shared {
    streams: Streams,
    open: HashMap<u64, Open>,
    interests: Interests,
    /// The newest revision that streams were woken for.
    revision: u64,
    gone: VecDeque<Gone>,
    next: u64,
    full: u64,
}

#[derive(Debug)]
struct Open {
    session: Arc<Mutex<Session>>,
    news: Arc<News>,
    since_ms: u64,
}

/// Whether something concerns a stream that it has not looked at.
#[derive(Debug, Default)]
struct News {
    unseen: AtomicBool,
    wake: Notify,
}

impl News {
    fn tell(&self) {
        self.unseen.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

#[derive(Debug)]
struct Gone {
    line: ProxyLine,
    at_ms: u64,
}

/// What is shown of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyLine {
    /// Who it is.
    pub proxy: Proxy,
    /// Whether its stream is open.
    pub connected: Connected,
    /// Up to where it was told everything.
    pub sent_revision: u64,
    /// Up to where it confirmed.
    pub acked_revision: u64,
    /// What it was told.
    pub resources: usize,
    /// What it wants.
    pub destinations: usize,
    /// What it could not use.
    pub rejects: Vec<Rejected>,
    /// Since the stream opened, or closed, Unix milliseconds.
    pub since_ms: u64,
}

/// Whether a stream is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connected {
    /// It is.
    Yes,
    /// It was.
    No,
}

/// A place in the registry; gives it back when dropped.
#[derive(Debug)]
pub struct Place {
    registry: Registry,
    id: u64,
    session: Arc<Mutex<Session>>,
    news: Arc<News>,
}

impl Registry {
    /// For at most so many streams.
    pub fn new(limit: usize) -> Self {
        let shared = Shared {
            streams: Streams::new(limit),
            open: HashMap::new(),
            interests: Interests::default(),
            revision: 0,
            gone: VecDeque::new(),
            next: 0,
            full: 0,
        };
        Self { shared: Arc::new(Mutex::new(shared)), openings: Openings::default(), began: Instant::now() }
    }

    /// Whose turn it is to say Hello.
    pub fn openings(&self) -> &Openings {
        &self.openings
    }

    /// Takes a place, if there is one.
    pub fn enter(&self, session: Session, now_ms: u64) -> Result<Place, Full> {
        let mut shared = self.lock();
        if let Err(full) = shared.streams.enter(&key(session.proxy()), self.began.elapsed()) {
            shared.full += u64::from(full == Full::All);
            return Err(full);
        }
        let id = shared.next;
        shared.next += 1;
        let proxy = session.proxy();
        let same = |line: &ProxyLine| {
            line.proxy.namespace == proxy.namespace && line.proxy.workload == proxy.workload
        };
        shared.gone.retain(|gone| !same(&gone.line));
        shared.interests.enter(id, session.workload().cloned());
        let (session, news) = (Arc::new(Mutex::new(session)), Arc::<News>::default());
        let open = Open { session: Arc::clone(&session), news: Arc::clone(&news), since_ms: now_ms };
        shared.open.insert(id, open);
        drop(shared);
        Ok(Place { registry: self.clone(), id, session, news })
    }

    /// Wakes the streams that the change to this revision concerns.
    pub fn wake(&self, touched: &Touched, revision: u64) {
        let mut shared = self.lock();
        shared.revision = revision;
        match shared.interests.of(touched) {
            Concerned::All => shared.open.values().for_each(|open| open.news.tell()),
            Concerned::These(streams) => {
                let open = streams.iter().filter_map(|stream| shared.open.get(stream));
                open.for_each(|open| open.news.tell());
            }
        }
    }

    /// Open streams.
    pub fn streams(&self) -> usize {
        self.lock().open.len()
    }

    /// Times that there was no place.
    pub fn full(&self) -> u64 {
        self.lock().full
    }

    /// Every proxy, by name; those that have just gone too.
    pub fn lines(&self, now_ms: u64) -> Vec<ProxyLine> {
        let mut shared = self.lock();
        shared.gone.retain(|gone| gone.at_ms + SHOWN_MS > now_ms);
        let open = shared.open.values().map(|open| open.line(shared.revision));
        let mut lines: Vec<ProxyLine> =
            open.chain(shared.gone.iter().map(|gone| gone.line.clone())).collect();
        let key = |line: &ProxyLine| {
            (line.proxy.namespace.clone(), line.proxy.workload.clone(), line.proxy.instance.clone())
        };
        lines.sort_by_key(key);
        lines
    }

    /// On how many proxies each resource is in force.
    pub fn programmed(&self, snapshot: &Snapshot) -> Programmed {
        let mut programmed = Programmed::default();
        for open in self.lock().open.values() {
            lock(&open.session).holdings(snapshot, |resource, holding| programmed.add(resource, holding));
        }
        programmed
    }

    /// Proxies by version.
    pub fn versions(&self) -> BTreeMap<String, u32> {
        let mut versions = BTreeMap::new();
        for open in self.lock().open.values() {
            *versions.entry(lock(&open.session).proxy().version.clone()).or_default() += 1;
        }
        versions
    }

    /// Age of the newest revision (given at `source_ms`) while some proxy was sent an update and has not confirmed it, else 0.
    pub fn lag(&self, source_ms: u64, now_ms: u64) -> u64 {
        let waits = self.lock().open.values().any(|open| lock(&open.session).waits_for_ack());
        if waits { now_ms.saturating_sub(source_ms) } else { 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// A stream that no change concerned since its last update is up to the newest revision: there was nothing to tell.
    fn line(&self, newest: u64) -> ProxyLine {
        let session = lock(&self.session);
        let mut line = line(&session, Connected::Yes, self.since_ms);
        if !self.news.unseen.load(Ordering::Acquire) && line.sent_revision > 0 {
            line.sent_revision = line.sent_revision.max(newest);
            if !session.waits_for_ack() {
                line.acked_revision = line.sent_revision;
            }
        }
        line
    }
}

impl Place {
    /// Until something concerns this stream that it has not looked at.
    pub async fn woken(&self) {
        self.news.wake.notified().await;
    }

    /// From here on what comes is news: call it before looking at the newest snapshot.
    pub fn looks(&self) {
        self.news.unseen.store(false, Ordering::Release);
    }

    /// What concerns this stream, as of a snapshot's revision. If there is a newer one, nobody knew yet whether that concerns it: it is woken.
    pub fn concerned_by(&self, interest: Interest, revision: u64) {
        let mut shared = self.registry.lock();
        shared.interests.set(self.id, interest);
        if shared.revision > revision {
            self.news.tell();
        }
    }

    /// Works on the session, without waiting for anything but a reader of the registry.
    pub fn session<R>(&self, work: impl FnOnce(&mut Session) -> R) -> R {
        work(&mut lock(&self.session))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now_ms = crate::clock::now_ms();
        let mut shared = self.registry.lock();
        shared.open.remove(&self.id);
        shared.interests.leave(self.id);
        let session = lock(&self.session);
        shared.streams.leave(&key(session.proxy()), self.registry.began.elapsed());
        // A proxy that has connected anew already is not gone.
        let back = shared.open.values().any(|open| lock(&open.session).proxy() == session.proxy());
        if !back {
            if shared.gone.len() == MAX_GONE {
                shared.gone.pop_front();
            }
            shared.gone.push_back(Gone { line: line(&session, Connected::No, now_ms), at_ms: now_ms });
        }
    }
}

fn key(proxy: &Proxy) -> Key {
    (proxy.namespace.as_str().into(), proxy.workload.as_str().into())
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

fn line(session: &Session, connected: Connected, since_ms: u64) -> ProxyLine {
    ProxyLine {
        proxy: session.proxy().clone(),
        connected,
        sent_revision: session.sent_revision(),
        acked_revision: session.acked_revision(),
        resources: session.resources(),
        destinations: session.destinations(),
        rejects: session.rejects(),
        since_ms,
    }
}
