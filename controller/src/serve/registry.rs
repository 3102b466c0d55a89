//! All streams of proxies: how many there may be, and what each one's state is, for `Sync` and for status. It must not know how a
//! stream is served.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_model::matter::Matter;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::admission::{Full, Key, Openings, Streams};
use super::interests::Interests;
use super::session::{Lack, Proxy, Rejected, Session};
use super::snapshot::Snapshot;
use super::touched::{About, Interest, Touched, Unseen};
use crate::status::programmed::Programmed;

/// Proxies that are gone are shown this long, and at most so many.
const SHOWN_MS: u64 = 60_000;
const MAX_GONE: usize = 1_000;
/// Most streams that are looked into when somebody asks how old what proxies have is.
const MAX_LOOKED_INTO: usize = 1_000;

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

#[derive(Debug, Clone)]
struct Open {
    session: Arc<Mutex<Session>>,
    news: Arc<News>,
    since_ms: u64,
}

/// Whether something concerns a stream that it has not looked at.
#[derive(Debug)]
struct News {
    began: Instant,
    /// Since when there is, in milliseconds since the stream began and one more; 0: there is nothing.
    unseen: AtomicU64,
    /// What that is.
    what: Mutex<Unseen>,
    wake: Notify,
}

impl News {
    fn new() -> Self {
        Self { began: Instant::now(), unseen: AtomicU64::new(0), what: Mutex::default(), wake: Notify::new() }
    }

    fn tell(&self, about: About<'_>, now: Instant) {
        let mut what = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        what.add(about);
        let since = now.saturating_duration_since(self.began).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1);
        // What was told before and is not seen yet has been there for longer.
        let _ = self.unseen.compare_exchange(0, since, Ordering::AcqRel, Ordering::Acquire);
        drop(what);
        self.wake.notify_one();
    }

    /// From here on what comes is news.
    fn take(&self) -> Unseen {
        let mut what = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        self.unseen.store(0, Ordering::Release);
        std::mem::take(&mut what)
    }

    fn is_seen(&self) -> bool {
        self.unseen.load(Ordering::Acquire) == 0
    }

    /// How long there has been something; nothing if there is nothing.
    fn unseen_for(&self) -> Duration {
        match self.unseen.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            since => self.began.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
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
    /// What it does not use in the newest form, the oldest first. Of a stream that is gone nothing.
    pub lacks: Vec<Lack>,
    /// How long ago what it holds was found to be what it was told, while its stream is open.
    pub agreed: Option<Duration>,
    /// Times that it was not.
    pub resyncs: u32,
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
        let (session, news) = (Arc::new(Mutex::new(session)), Arc::new(News::new()));
        let open = Open { session: Arc::clone(&session), news: Arc::clone(&news), since_ms: now_ms };
        shared.open.insert(id, open);
        drop(shared);
        Ok(Place { registry: self.clone(), id, session, news })
    }

    /// Wakes the streams that the change to this revision concerns.
    pub fn wake(&self, touched: &Touched, revision: u64) {
        let mut shared = self.lock();
        shared.revision = revision;
        let now = Instant::now();
        let Shared { interests, open, .. } = &*shared;
        interests.concerned(touched, |stream, about| {
            if let Some(open) = open.get(&stream) {
                open.news.tell(about, now);
            }
        });
    }

    /// Open streams.
    pub fn streams(&self) -> usize {
        self.lock().open.len()
    }

    /// Times that there was no place.
    pub fn full(&self) -> u64 {
        self.lock().full
    }

    /// Every proxy, by name, with what it lacks of `snapshot`, the newest; those that have just gone too.
    pub fn lines(&self, snapshot: &Snapshot, now_ms: u64) -> Vec<ProxyLine> {
        let (open, revision, gone) = {
            let mut shared = self.lock();
            shared.gone.retain(|gone| gone.at_ms + SHOWN_MS > now_ms);
            let gone: Vec<ProxyLine> = shared.gone.iter().map(|gone| gone.line.clone()).collect();
            (shared.open.values().cloned().collect::<Vec<_>>(), shared.revision, gone)
        };
        // Not while the registry is held: streams come and go, and are woken, meanwhile.
        let open = open.iter().map(|open| open.line(revision, snapshot));
        let mut lines: Vec<ProxyLine> = open.chain(gone).collect();
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

    /// For how long some proxy has not used the newest form of what it is to use, by what that is about. Of more than a thousand streams
    /// that lack something so many are looked into.
    pub fn stalest(&self, snapshot: &Snapshot) -> BTreeMap<Matter, Stale> {
        let mut all: BTreeMap<Matter, Stale> =
            Matter::ALL.into_iter().map(|matter| (matter, Stale::default())).collect();
        let open: Vec<Open> = self.lock().open.values().cloned().collect();
        let mut looked_into = 0;
        for Open { session, news, .. } in &open {
            let session = lock(session);
            if looked_into == MAX_LOOKED_INTO || !may_lack(&session, news) {
                continue;
            }
            looked_into += 1;
            let mut oldest: BTreeMap<Matter, Duration> = BTreeMap::new();
            for lack in session.lacks(snapshot, news.began.elapsed(), news.unseen_for()) {
                if let Some(matter) = Matter::of(&lack.resource) {
                    let age = oldest.entry(matter).or_default();
                    *age = lack.age.max(*age);
                }
            }
            for (matter, age) in oldest {
                let stale = all.entry(matter).or_default();
                stale.proxies += 1;
                stale.oldest = stale.oldest.max(age);
            }
        }
        all
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

/// How old what proxies have of one matter is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stale {
    /// Of the proxy that has lacked something for the longest time.
    pub oldest: Duration,
    /// How many lack something.
    pub proxies: u64,
}

impl Open {
    /// A stream that no change concerned since its last update is up to the newest revision: there was nothing to tell.
    fn line(&self, newest: u64, snapshot: &Snapshot) -> ProxyLine {
        let session = lock(&self.session);
        let mut line = line(&session, Connected::Yes, self.since_ms);
        let now = self.news.began.elapsed();
        line.agreed = session.agreed().map(|agreed| now.saturating_sub(agreed));
        if may_lack(&session, &self.news) {
            line.lacks = session.lacks(snapshot, now, self.news.unseen_for());
        }
        if self.news.is_seen() && line.sent_revision > 0 {
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
        loop {
            self.news.wake.notified().await;
            // What was told before the last look was seen then.
            if !self.news.is_seen() {
                return;
            }
        }
    }

    /// Since the stream began, by a clock that does not jump.
    pub fn age(&self) -> Duration {
        self.news.began.elapsed()
    }

    /// What concerns this stream and was not looked at; from here on what comes is news: call it before looking at the newest snapshot.
    pub fn looks(&self) -> Unseen {
        self.news.take()
    }

    /// What concerns this stream, as of a snapshot's revision. If there is a newer one, nobody knew yet whether that concerns it: it is woken.
    pub fn concerned_by(&self, interest: Interest, revision: u64) {
        let mut shared = self.registry.lock();
        shared.interests.set(self.id, interest);
        if shared.revision > revision {
            self.news.tell(About::Anything, Instant::now());
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

/// Whether it is worth to look into what it lacks: of one that was not compared yet nothing is known.
fn may_lack(session: &Session, news: &News) -> bool {
    !news.is_seen() || session.is_owed() || session.sent_revision() == 0
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
        lacks: Vec::new(),
        agreed: None,
        resyncs: session.resyncs(),
    }
}
