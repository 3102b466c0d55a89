//! Requests that somebody taps: which are meant, how many may be told, and where they go. It must not know the report stream.
//!
//! Nobody taps nearly always: then a request costs one relaxed load ([`Watch::current`]). What is known at the head of a request is
//! judged there ([`Taps::wanted`]), the rest at its end ([`Tapped::ids`]).

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mesh_model::name::Name;
use tokio::sync::mpsc;

use super::{Failure, Side, SpanRecord};

#[cfg(test)]
mod tests;

/// Most sessions of a proxy; each has a bit.
pub(crate) const MAX_SESSIONS: usize = 32;
/// Tapped requests that wait for the control thread.
pub(crate) const MAX_WAITING: usize = 1_000;
/// Headers of one request that are told, and bytes of a value.
const MAX_HEADERS: usize = 32;
const MAX_VALUE: usize = 256;
/// Headers whose values never leave the proxy; and so do those with one of [`SECRET_PARTS`] in their name.
const SECRET: [&str; 5] =
    ["authorization", "cookie", "set-cookie", "proxy-authorization", "x-amz-security-token"];
const SECRET_PARTS: [&str; 5] = ["token", "secret", "password", "api-key", "apikey"];

/// Which requests a session wants. Empty texts: any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    pub(crate) side: Option<Side>,
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) namespace: String,
    pub(crate) method: String,
    pub(crate) path_prefix: String,
    /// A status, or its first digit; 0: any.
    pub(crate) status: u16,
    /// Name in lower case, and value; an empty value: any.
    pub(crate) header: Option<(String, String)>,
    pub(crate) failed_only: bool,
    pub(crate) failure: String,
}

/// What the controller asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) id: u32,
    pub(crate) filter: Filter,
    pub(crate) max_rps: u32,
    pub(crate) lasts: Duration,
    pub(crate) headers: bool,
}

/// A session, shared by all workers.
#[derive(Debug)]
pub(crate) struct Session {
    wish: Wish,
    until: Instant,
    /// Requests that may be told in this second.
    left: AtomicU32,
    dropped: AtomicU64,
}

/// The sessions at one time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taps(Arc<[Arc<Session>]>);

/// The sessions as they change: the control thread's end.
#[derive(Debug)]
pub(crate) struct Board {
    version: AtomicU32,
    taps: Mutex<Taps>,
    out: mpsc::Sender<TapRecord>,
}

/// A worker's end of it.
#[derive(Debug)]
pub(crate) struct Watch {
    board: Arc<Board>,
    seen: Cell<u32>,
    current: RefCell<Option<Taps>>,
}

/// A request that some session may want, from its head to its end.
#[derive(Debug)]
pub(crate) struct Tapped {
    taps: Taps,
    /// By place in `taps`.
    wanted: u32,
    headers: Vec<TapHeader>,
}

/// A header of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TapHeader {
    pub(crate) name: String,
    /// `None`: secret.
    pub(crate) value: Option<String>,
}

/// A request that is told.
#[derive(Debug)]
pub(crate) struct TapRecord {
    pub(crate) ids: Vec<u32>,
    pub(crate) span: SpanRecord,
    pub(crate) headers: Vec<TapHeader>,
}

/// What of a request's head is judged.
pub(crate) trait Head {
    /// The method.
    fn method(&self) -> &str;
    /// Without query.
    fn path(&self) -> &str;
    /// The first value of a header.
    fn header(&self, name: &str) -> Option<&str>;
    /// Calls `visit` with every header.
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8]));
}

impl Board {
    /// Nobody taps yet. What is tapped comes out at the other end.
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<TapRecord>) {
        let (out, records) = mpsc::channel(MAX_WAITING);
        (Arc::new(Self { version: AtomicU32::new(0), taps: Mutex::default(), out }), records)
    }

    /// All sessions from now on; one that goes on keeps its counts.
    pub(crate) fn set(&self, wishes: Vec<Wish>, now: Instant) {
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        let session = |wish: Wish| {
            let known = taps.0.iter().find(|known| known.wish.id == wish.id);
            known.map_or_else(|| Arc::new(Session::new(wish, now)), Arc::clone)
        };
        let sessions: Arc<[Arc<Session>]> = wishes.into_iter().take(MAX_SESSIONS).map(session).collect();
        *taps = Taps(sessions);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// A second has begun: sessions may tell as many requests again. Those whose time is over end. Gives what was dropped.
    pub(crate) fn tick(&self, now: Instant) -> Vec<(u32, u64)> {
        let mut taps = self.taps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = Vec::new();
        for session in taps.0.iter() {
            session.left.store(session.wish.max_rps, Ordering::Relaxed);
            let count = session.dropped.swap(0, Ordering::Relaxed);
            if count > 0 {
                dropped.push((session.wish.id, count));
            }
        }
        if taps.0.iter().any(|session| session.until <= now) {
            *taps = Taps(taps.0.iter().filter(|session| session.until > now).cloned().collect());
            self.version.fetch_add(1, Ordering::Release);
        }
        dropped
    }
}

impl Session {
    fn new(wish: Wish, now: Instant) -> Self {
        let (until, left) = (now + wish.lasts, AtomicU32::new(wish.max_rps));
        Self { wish, until, left, dropped: AtomicU64::new(0) }
    }

    fn may_tell(&self) -> bool {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if taken.is_err() {
            self.drop_one();
        }
        taken.is_ok()
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Watch {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        // Not the board's version, so that the first request looks.
        Self { board, seen: Cell::new(u32::MAX), current: RefCell::new(None) }
    }

    /// The sessions, if there are any. One relaxed load while nothing changes.
    pub(crate) fn current(&self) -> Option<Taps> {
        let version = self.board.version.load(Ordering::Relaxed);
        if version != self.seen.get() {
            let taps = self.board.taps.lock().unwrap_or_else(PoisonError::into_inner).clone();
            *self.current.borrow_mut() = (!taps.0.is_empty()).then_some(taps);
            self.seen.set(version);
        }
        self.current.borrow().clone()
    }

    /// Hands a request over, if a session still wants it and may be told.
    pub(crate) fn tell(&self, tapped: Tapped, span: SpanRecord) {
        let ids = tapped.ids(&span);
        if ids.is_empty() {
            return;
        }
        let record = TapRecord { ids, span: span.cut(), headers: tapped.headers };
        if let Err(mpsc::error::TrySendError::Full(record) | mpsc::error::TrySendError::Closed(record)) =
            self.board.out.try_send(record)
        {
            let lost = tapped.taps.0.iter().filter(|session| record.ids.contains(&session.wish.id));
            lost.for_each(|session| session.drop_one());
        }
    }
}

impl Taps {
    /// The request, if the head is what a session wants. A connection has no head.
    pub(crate) fn wanted(self, side: Side, head: Option<&dyn Head>) -> Option<Tapped> {
        let fits = |filter: &Filter| match head {
            None => filter.side.is_none_or(|only| only == side) && !filter.needs_head(),
            Some(head) => filter.fits_head(side, head),
        };
        let mut wanted = 0;
        let mut headers = false;
        for (place, session) in self.0.iter().enumerate() {
            if fits(&session.wish.filter) {
                wanted |= 1 << place;
                headers |= session.wish.headers;
            }
        }
        let headers = head.filter(|_| headers).map(told_headers).unwrap_or_default();
        (wanted != 0).then_some(Tapped { taps: self, wanted, headers })
    }
}

impl Tapped {
    /// The sessions that want it, now that its end is known, and may be told.
    fn ids(&self, span: &SpanRecord) -> Vec<u32> {
        let now = Instant::now();
        let each = self.taps.0.iter().enumerate();
        let wanted = each.filter(|(place, _)| self.wanted & (1 << place) != 0);
        let fits = wanted.filter(|(_, session)| session.until > now && session.wish.filter.fits_end(span));
        fits.filter(|(_, session)| session.may_tell()).map(|(_, session)| session.wish.id).collect()
    }
}

impl Filter {
    fn needs_head(&self) -> bool {
        !self.method.is_empty() || !self.path_prefix.is_empty() || self.header.is_some()
    }

    fn fits_head(&self, side: Side, head: &dyn Head) -> bool {
        let header = |(name, value): &(String, String)| {
            head.header(name).is_some_and(|found| value.is_empty() || found == value)
        };
        self.side.is_none_or(|only| only == side)
            && (self.method.is_empty() || self.method.eq_ignore_ascii_case(head.method()))
            && head.path().starts_with(&self.path_prefix)
            && self.header.as_ref().is_none_or(header)
    }

    fn fits_end(&self, span: &SpanRecord) -> bool {
        let source = span.source.as_ref().map(|workload| &workload.0);
        let destination = span.destination.as_ref().map(|workload| &workload.0);
        let service = span.service.as_ref().map(|service| &service.0);
        let called = |wanted: &str, name: Option<&Name>| name.is_some_and(|name| is_called(wanted, name));
        let in_namespace =
            || [source, destination, service].into_iter().flatten().any(|n| n.namespace() == self.namespace);
        let status = match self.status {
            0 => true,
            class @ 1..=9 => span.status / 100 == class,
            exact => span.status == exact,
        };
        status
            && (self.source.is_empty() || called(&self.source, source))
            && (self.destination.is_empty()
                || called(&self.destination, destination)
                || called(&self.destination, service))
            && (self.namespace.is_empty() || in_namespace())
            && (!self.failed_only || span.is_failure())
            && (self.failure.is_empty() || span.failure.map(Failure::code) == Some(self.failure.as_str()))
    }
}

/// `NAME` or `NAMESPACE/NAME`. A pod of Kubernetes is also called by the name of its Deployment.
fn is_called(wanted: &str, name: &Name) -> bool {
    let (namespace, wanted) = wanted.split_once('/').unwrap_or(("", wanted));
    (namespace.is_empty() || namespace == name.namespace()) && {
        let rest = name.name().strip_prefix(wanted);
        rest.is_some_and(|rest| rest.is_empty() || is_suffix_of_pod(rest))
    }
}

/// `-HASH-SUFFIX` of a Deployment's pod, `-N` of a StatefulSet's.
fn is_suffix_of_pod(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('-') else { return false };
    let hash = |text: &str, most| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    };
    match rest.split_once('-') {
        Some((set, suffix)) => hash(set, 10) && suffix.len() == 5 && hash(suffix, 5),
        None => !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()),
    }
}

fn is_secret(name: &str) -> bool {
    SECRET.contains(&name) || SECRET_PARTS.iter().any(|part| name.contains(part))
}

fn told_headers(head: &dyn Head) -> Vec<TapHeader> {
    let mut headers = Vec::new();
    head.each(&mut |name, value| {
        if headers.len() >= MAX_HEADERS {
            return;
        }
        let name = name.to_ascii_lowercase();
        let value = (!is_secret(&name)).then(|| {
            let mut text = String::from_utf8_lossy(value).into_owned();
            text.truncate(text.floor_char_boundary(MAX_VALUE));
            text
        });
        headers.push(TapHeader { name, value });
    });
    headers
}
