//! Authorization on the way in: which policies hold at a listener, what they say of a connection or a request, and what is under way and
//! is judged again when they change. It must not know how a verdict is carried out.
//!
//! Everything that lasts is registered here with what a verdict needs to know of it, also where no policy holds yet: one may come. What is over
//! with its answer is not registered, and what is kept of it until then costs no memory of its own ([`kept`]).

mod kept;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use mesh_lifecycle::failpoint;
use mesh_model::head::HeadView;
use mesh_model::policy::{Applied, Attributes, AuthorizationPolicy, By, Claims, Decision, Verdict};
use mesh_model::settings::MeshSettings;
use mesh_model::spiffe::SpiffeId;

use self::kept::Kept;
use crate::http::{Cut, RequestHead};
use crate::state::Snapshot;
use crate::telemetry::{Direction, Event, Failure, PolicyVerdict, WorkerTelemetry};
use crate::worker::record::Judged;

/// The policies of one listener, and what is under way there.
#[derive(Debug)]
pub(super) struct Guard {
    /// The application's port.
    port: u16,
    view: RefCell<View>,
    live: RefCell<Live>,
}

#[derive(Debug, Default)]
struct View {
    seen: Option<Arc<[Arc<AuthorizationPolicy>]>>,
    applied: Rc<Applied>,
}

#[derive(Debug, Default)]
struct Live {
    /// By which policies all of it was judged.
    seen: Option<Arc<[Arc<AuthorizationPolicy>]>>,
    next: u64,
    entries: HashMap<u64, Entry, foldhash::fast::RandomState>,
}

#[derive(Debug)]
struct Entry {
    subject: Subject,
    cut: Rc<Cut>,
}

/// Who called, as far as it can be known.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) peer: Option<SpiffeId>,
    pub(super) source: IpAddr,
    /// Of the token that a request came with, once it is verified.
    pub(super) claims: Option<Rc<Claims>>,
}

/// What a verdict was about, kept for as long as it may be asked again.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    caller: Caller,
    sni: Option<Box<str>>,
    request: Option<Kept>,
    /// The policies whose services were asked.
    asked: Box<[Arc<AuthorizationPolicy>]>,
}

/// What was judged, and by which policies.
#[derive(Debug)]
pub(super) struct Pass {
    subject: Subject,
    applied: Rc<Applied>,
}

/// Something under way; dropping it takes it off the list.
#[derive(Debug)]
pub(super) struct Watch {
    guard: Weak<Guard>,
    number: u64,
    pub(super) cut: Rc<Cut>,
}

/// A call that may go on, for now.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) pass: Pass,
    /// What policies said, if any holds.
    pub(super) judged: Option<Judged>,
    /// Whose services must say yes as well.
    pub(super) asks: Vec<By>,
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// Who says so; nobody before the first configuration.
    pub(super) judged: Option<Judged>,
}

impl Guard {
    pub(super) fn new(port: u16) -> Self {
        Self { port, view: RefCell::default(), live: RefCell::default() }
    }

    /// The policies that hold here.
    pub(super) fn applied(&self, snapshot: &Snapshot) -> Rc<Applied> {
        let mut view = self.view.borrow_mut();
        let now = snapshot.authorization();
        if !view.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, now)) {
            view.applied = Rc::new(Applied::at(now.iter(), self.port));
            view.seen = Some(Arc::clone(now));
        }
        Rc::clone(&view.applied)
    }

    /// Judges a request.
    pub(super) fn request(
        &self,
        snapshot: &Snapshot,
        caller: Caller,
        head: &RequestHead,
        telemetry: &WorkerTelemetry,
    ) -> Result<Passed, Refusal> {
        let applied = self.applied(snapshot);
        let settings = configured(snapshot)?;
        let verdict = applied.judge(&self.attributes(settings, &caller, None, Some(head)));
        let asks = verdict.asks.clone();
        let judged = said(verdict, telemetry)?;
        let asked = asks.iter().map(|by| Arc::clone(&by.policy)).collect();
        let request = Some(Kept::of(head, applied.needs_headers()));
        let subject = Subject { caller, sni: None, request, asked };
        Ok(Passed { pass: Pass { subject, applied }, judged, asks })
    }

    /// Judges a connection that carries no requests.
    pub(super) fn connection(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        sni: Option<Box<str>>,
        telemetry: &WorkerTelemetry,
    ) -> Result<Passed, Refusal> {
        let applied = self.applied(snapshot);
        let settings = configured(snapshot)?;
        let verdict = applied.judge(&self.attributes(settings, caller, sni.as_deref(), None::<&RequestHead>));
        let judged = said(verdict, telemetry)?;
        let subject = Subject { caller: caller.clone(), sni, request: None, asked: Box::default() };
        Ok(Passed { pass: Pass { subject, applied }, judged, asks: Vec::new() })
    }

    /// Judges a connection of which nothing is known yet: refused only if whatever it carries would be.
    pub(super) fn early(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        telemetry: &WorkerTelemetry,
    ) -> Result<(), Refusal> {
        let applied = self.applied(snapshot);
        let settings = configured(snapshot)?;
        let call = self.attributes(settings, caller, None, None::<&RequestHead>);
        match applied.judge_early(&call) {
            Some(verdict) => said(verdict, telemetry).map(|_| ()),
            None => Ok(()),
        }
    }

    fn attributes<'a, H: ?Sized>(
        &self,
        settings: &'a MeshSettings,
        caller: &'a Caller,
        sni: Option<&'a str>,
        request: Option<&'a H>,
    ) -> Attributes<'a, H> {
        Attributes {
            peer: caller.peer.as_ref(),
            trust_domain: &settings.trust_domain,
            source: caller.source,
            port: self.port,
            sni,
            request,
            claims: caller.claims.as_deref(),
        }
    }

    /// Whether what was allowed still is.
    pub(super) fn still(
        &self,
        snapshot: &Snapshot,
        pass: &Pass,
        telemetry: &WorkerTelemetry,
    ) -> Result<(), Refusal> {
        let applied = self.applied(snapshot);
        if Rc::ptr_eq(&applied, &pass.applied) {
            return Ok(());
        }
        match self.verdict_again(&applied, configured(snapshot)?, &pass.subject) {
            Some(verdict) if verdict.is_allowed() => Ok(()),
            Some(verdict) => said(verdict, telemetry).map(|_| ()),
            None => Err(Refusal { failure: Failure::PolicyUndecided, judged: None }),
        }
    }

    /// `None`: what policies ask for now was not kept, or would have to be asked of somebody who was not.
    fn verdict_again(
        &self,
        applied: &Applied,
        settings: &MeshSettings,
        subject: &Subject,
    ) -> Option<Verdict> {
        if applied.needs_headers() && subject.request.as_ref().is_some_and(|kept| !kept.has_headers()) {
            return None;
        }
        let sni = subject.sni.as_deref();
        let verdict =
            applied.judge(&self.attributes(settings, &subject.caller, sni, subject.request.as_ref()));
        let was_asked = |by: &By| subject.asked.contains(&by.policy);
        verdict.asks.iter().all(was_asked).then_some(verdict)
    }

    /// The service of that policy said yes.
    pub(super) fn yes(by: &By, telemetry: &WorkerTelemetry) -> Judged {
        judge(PolicyVerdict::Allow, by.clone(), telemetry)
    }

    /// It did not.
    pub(super) fn no(by: &By, telemetry: &WorkerTelemetry) -> Judged {
        judge(PolicyVerdict::Deny, by.clone(), telemetry)
    }

    /// From now on it is judged again when policies change, until the answer is dropped.
    pub(super) fn watch(self: &Rc<Self>, pass: &Pass) -> Watch {
        let cut = Rc::new(Cut::default());
        let mut live = self.live.borrow_mut();
        let number = live.next;
        live.next += 1;
        live.entries.insert(number, Entry { subject: pass.subject.clone(), cut: Rc::clone(&cut) });
        Watch { guard: Rc::downgrade(self), number, cut }
    }

    /// Judges everything under way again, if policies have changed, and cuts what is allowed no longer.
    pub(super) fn again(&self, snapshot: &Snapshot, telemetry: &WorkerTelemetry) {
        let Some(settings) = snapshot.settings() else { return };
        let now = snapshot.authorization();
        let mut live = self.live.borrow_mut();
        if live.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, now)) {
            return;
        }
        live.seen = Some(Arc::clone(now));
        let mut left = Unjudged { at: None, rest: live.entries.values() };
        let applied = self.applied(snapshot);
        while let Some(entry) = left.next() {
            failpoint::reach("judged again", entry.subject.request.as_ref().map_or("", HeadView::path));
            match self.verdict_again(&applied, settings, &entry.subject) {
                Some(verdict) if verdict.is_allowed() => {}
                Some(verdict) => {
                    if let Err(refusal) = said(verdict, telemetry) {
                        entry.cut.give(refusal.failure);
                    }
                }
                None => entry.cut.give(Failure::PolicyUndecided),
            }
        }
    }
}

/// What is not judged yet when judging panics is allowed by nobody: it is cut. INV-7.
struct Unjudged<'a> {
    at: Option<&'a Entry>,
    rest: std::collections::hash_map::Values<'a, u64, Entry>,
}

impl<'a> Unjudged<'a> {
    fn next(&mut self) -> Option<&'a Entry> {
        self.at = self.rest.next();
        self.at
    }
}

impl Drop for Unjudged<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.at
                .into_iter()
                .chain(self.rest.by_ref())
                .for_each(|entry| entry.cut.give(Failure::PolicyUndecided));
        }
    }
}

/// Until there is configuration nobody knows what is allowed. INV-7.
fn configured(snapshot: &Snapshot) -> Result<&MeshSettings, Refusal> {
    let unknown = Refusal { failure: Failure::ConfigUnavailable, judged: None };
    snapshot.settings().map(|settings| &**settings).ok_or(unknown)
}

/// Counts what a policy says.
fn judge(verdict: PolicyVerdict, by: By, telemetry: &WorkerTelemetry) -> Judged {
    telemetry.decision(Direction::Inbound, verdict, &by.policy.name);
    Judged { verdict, by, unanswered: None }
}

/// Counts a verdict, and turns it into what becomes of the call.
fn said(verdict: Verdict, telemetry: &WorkerTelemetry) -> Result<Option<Judged>, Refusal> {
    let Verdict { decision, by, would_deny, unanswered, asks: _ } = verdict;
    if unanswered.is_some() {
        telemetry.count(Event::ExpressionUnanswered);
    }
    let unanswered = unanswered.map(|unanswered| unanswered.words());
    let judge = |verdict, by| Judged { unanswered: unanswered.clone(), ..judge(verdict, by, telemetry) };
    match decision {
        Decision::Allow => {
            let allowed = by.map(|by| judge(PolicyVerdict::Allow, by));
            let audited = would_deny.map(|by| judge(PolicyVerdict::Audit, by));
            Ok(audited.or(allowed))
        }
        Decision::Deny => {
            let judged = by.map(|by| judge(PolicyVerdict::Deny, by));
            Err(Refusal { failure: Failure::PolicyDenied, judged })
        }
        Decision::Undecided => {
            let judged = by.map(|by| judge(PolicyVerdict::Undecided, by));
            Err(Refusal { failure: Failure::PolicyUndecided, judged })
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.upgrade() {
            guard.live.borrow_mut().entries.remove(&self.number);
        }
    }
}
