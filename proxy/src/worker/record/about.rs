//! What is told of one request or connection beyond its metrics: a line in the access log, a span, to who traces it or taps it. It must not
//! count anything.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mesh_model::head::HeadView;
use mesh_model::spiffe::SpiffeId;

use super::Entry;
use super::asked::Asked;
use super::spent::of_attempts;
use crate::http::{RequestHead, Response};
use crate::telemetry::{
    AccessLogger, AccessRecord, AttemptRecord, Head, Judgement, Kept, MAX_PATH, Recorded, SpanRecord, Spent,
    Tapped,
};

/// What metrics have no room for.
#[derive(Debug)]
pub(in crate::worker) struct About {
    /// By whose settings it is written.
    pub(super) log: Option<Arc<AccessLogger>>,
    /// How long it was in this proxy is counted.
    pub(super) timed: bool,
    /// Parts of the heads.
    kept: Kept,
    /// Whose certificate the other end has shown.
    pub(super) identity: Option<SpiffeId>,
    /// The name that a connection's client asks for in TLS.
    pub(super) asked_for: Option<Box<str>>,
    start: SystemTime,
    pub(super) spent: Spent,
    pub(super) attempts: Vec<AttemptRecord>,
    tapped: Option<Tapped>,
}

/// What was used before: a request that is written allocates nothing for that once it has grown, and none for its counters.
#[derive(Debug, Default)]
pub(in crate::worker) struct Spares {
    #[expect(clippy::vec_box, reason = "the box is what is used again")]
    abouts: RefCell<Vec<Box<About>>>,
    counters: RefCell<Vec<Rc<Cell<u64>>>>,
}

/// How many are kept of each.
const MAX_SPARES: usize = 64;

impl Spares {
    /// A counter of bytes, at 0.
    pub(super) fn counter(&self) -> Rc<Cell<u64>> {
        self.counters.borrow_mut().pop().unwrap_or_default()
    }

    /// It is nobody else's any more, if nobody has a part in it.
    pub(super) fn give_counter(&self, counter: &Rc<Cell<u64>>) {
        let mut counters = self.counters.borrow_mut();
        if Rc::strong_count(counter) == 1 && counters.len() < MAX_SPARES {
            counter.set(0);
            counters.push(Rc::clone(counter));
        }
    }

    pub(super) fn take(&self, log: Option<Arc<AccessLogger>>, tapped: Option<Tapped>) -> Box<About> {
        let mut about = self.abouts.borrow_mut().pop().unwrap_or_default();
        (about.log, about.tapped, about.start) = (log, tapped, SystemTime::now());
        about
    }

    /// Of a request that is told because of how it goes, from what is kept of every request.
    pub(super) fn late(&self, asked: &Asked, started: Instant) -> Box<About> {
        let mut about = self.take(None, None);
        about.start = about.start.checked_sub(started.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        if let Some(method) = asked.known_method() {
            about.kept.head(method, asked.path(), "");
        }
        about
    }

    pub(super) fn give(&self, mut about: Box<About>) {
        let mut spares = self.abouts.borrow_mut();
        if spares.len() < MAX_SPARES {
            about.clear();
            spares.push(about);
        }
    }
}

impl Default for About {
    fn default() -> Self {
        Self {
            log: None,
            timed: false,
            kept: Kept::default(),
            identity: None,
            asked_for: None,
            start: SystemTime::UNIX_EPOCH,
            spent: Spent::default(),
            attempts: Vec::new(),
            tapped: None,
        }
    }
}

impl Head for RequestHead {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        HeadView::path(self)
    }

    fn header(&self, name: &str) -> Option<&str> {
        if name == "host" { Some(&self.authority) } else { self.headers.get_str(name) }
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        visit("host", self.authority.as_bytes());
        self.headers.iter().for_each(|(name, value)| visit(name, value));
    }
}

impl About {
    /// Of a request: what is told of its head.
    pub(super) fn asks(&mut self, head: &RequestHead, tapped: Option<Tapped>) {
        self.tapped = tapped;
        self.kept.head(&head.method, HeadView::path(head), &head.authority);
        if let Some(logger) = &self.log {
            self.kept.asked(logger, HeadView::query(head), head);
        }
    }

    /// What is told of the answer's head.
    pub(super) fn answered(&mut self, response: &Response) {
        if let Some(logger) = &self.log {
            self.kept.answer(logger, response.headers.iter());
        }
    }

    fn clear(&mut self) {
        let (mut kept, mut attempts) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.attempts));
        kept.clear();
        attempts.clear();
        *self = Self { kept, attempts, ..Self::default() };
    }
}

/// A span's path.
fn short(path: &str) -> &str {
    path.split_at(path.floor_char_boundary(MAX_PATH)).0
}

impl Entry {
    /// Writes it into the access log.
    pub(super) fn line(&self, about: &About, logger: &AccessLogger, duration: Duration) {
        let judged = self.judged.as_ref();
        let trace = self.context.as_ref().map(|context| (context.trace_id(), context.span_id()));
        let chance = || {
            let [a, b] = [self.worker.random(), self.worker.random()].map(u64::to_be_bytes);
            let mut chance = [0; 16];
            let (first, second) = chance.split_at_mut(8);
            first.copy_from_slice(&a);
            second.copy_from_slice(&b);
            chance
        };
        self.worker.telemetry.access(&AccessRecord {
            logger,
            key: &self.key,
            kept: &about.kept,
            start: about.start,
            duration,
            first_byte: self.first_byte,
            spent: of_attempts(about.spent, &about.attempts, self.first_byte),
            attempts: self.attempts,
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            peer_identity: about.identity.as_ref(),
            peer: self.peer,
            endpoint: self.endpoint,
            detail: self.detail.as_deref(),
            sni: about.asked_for.as_deref(),
            judged: judged.map(|judged| Judgement {
                verdict: judged.verdict,
                policy: &judged.by.policy.name,
                rule: judged.by.rule.and_then(|rule| u64::try_from(rule).ok()),
                unanswered: judged.unanswered.as_deref(),
            }),
            chance: trace.map_or_else(chance, |(trace, _)| *trace),
            trace,
            sampled: matches!(self.recorded, Some(Recorded::Sampled)),
            trial: self.trial,
        });
    }

    /// The time in this proxy until the head of the answer was here, where that is counted: without what it waited for others.
    pub(super) fn own_time(&self, about: &About) -> Option<Duration> {
        let first_byte = self.first_byte.filter(|_| about.timed)?;
        Some(of_attempts(about.spent, &about.attempts, self.first_byte).own(first_byte))
    }

    /// Tells it to who traces it and to who taps it.
    pub(super) fn tell(&self, about: &mut About, duration: Duration) {
        let telemetry = &self.worker.telemetry;
        match (self.recorded, about.tapped.take()) {
            (None, None) => {}
            (Some(why), None) => telemetry.span(self.span(about, duration, why)),
            (None, Some(tapped)) => {
                let span = self.span(about, duration, Recorded::Asked);
                telemetry.tell(tapped, span);
            }
            (Some(why), Some(tapped)) => {
                let span = self.span(about, duration, why);
                telemetry.tell(tapped, span.clone());
                telemetry.span(span);
            }
        }
    }

    fn span(&self, about: &About, duration: Duration, recorded: Recorded) -> SpanRecord {
        let context = self.context.as_ref();
        SpanRecord {
            trace_id: context.map(|context| *context.trace_id()).unwrap_or_default(),
            span_id: context.map(|context| *context.span_id()).unwrap_or_default(),
            parent_id: context.and_then(|context| context.parent_id().copied()),
            side: self.key.side,
            source: self.key.source.clone(),
            service: self.key.service.as_ref().map(|(service, _)| service.clone()),
            service_port: self.key.service.as_ref().map_or(0, |(_, port)| *port),
            destination: self.key.destination.clone(),
            route: self.key.route.clone(),
            protocol: self.key.protocol,
            method: about.kept.method().to_owned(),
            path: short(about.kept.path()).to_owned(),
            status: self.key.status,
            grpc_status: self.key.grpc_status,
            failure: self.key.failure,
            detail: self.detail.as_deref().unwrap_or_default().to_owned(),
            security: self.key.security,
            start: about.start,
            duration,
            first_byte: self.first_byte,
            peer: self.peer,
            endpoint: self.endpoint,
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            spent: of_attempts(about.spent, &about.attempts, self.first_byte),
            attempts: about.attempts.clone(),
            attempts_made: self.attempts,
            ejected: self.ejected.clone(),
            recorded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_path_whole_characters_are_told_up_to_the_bound() {
        assert_eq!((short(""), short("/a")), ("", "/a"));
        assert_eq!(short(&"a".repeat(60_000)).len(), MAX_PATH);
        let odd = format!("/{}", "é".repeat(MAX_PATH));
        assert_eq!(short(&odd).len(), MAX_PATH - 1);
        assert!(odd.starts_with(short(&odd)));
    }
}
