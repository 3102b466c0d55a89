//! The one record of a request or connection (INV-11): filled in as facts become known, written when it is dropped, whichever way
//! that comes about. It must not decide anything.

mod about;
mod asked;
mod failed;
mod spent;
mod traced;

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mesh_model::endpoint::{Endpoint, Transport};
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::policy::By;
use mesh_model::settings::TailSampling;
use mesh_model::spiffe::SpiffeId;
use mesh_traffic::balance::InFlight;
use mesh_traffic::outlier;

use self::about::About;
pub(super) use self::about::Spares;
use self::asked::Asked;
pub use self::spent::{Stage, Stopwatch, Tried};
pub use self::traced::Onward;
use super::Worker;
use crate::http::{BodyEnd, Cut, Fault, Headers, Kind, Observer, Response, Unreached};
use crate::telemetry::failed;
use crate::telemetry::{
    AppProtocol, Failure, KnownMethod, MAX_ATTEMPTS, PolicyVerdict, Reason, Recorded, Security, SeriesKey,
    Side,
};
use crate::trace::TraceContext;

/// Status of a request whose client went away before the answer; it is never sent.
const CLIENT_CLOSED: u16 = 499;

/// A record in the making. It moves through all stages of a request, so it is one word.
#[derive(Debug)]
pub struct Record(Box<Entry>);

impl std::ops::Deref for Record {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.0
    }
}

impl std::ops::DerefMut for Record {
    fn deref_mut(&mut self) -> &mut Entry {
        &mut self.0
    }
}

/// What is known so far.
#[derive(Debug)]
pub struct Entry {
    worker: Rc<Worker>,
    key: SeriesKey,
    started: Instant,
    first_byte: Option<Duration>,
    bytes_in: Rc<Cell<u64>>,
    bytes_out: Rc<Cell<u64>>,
    /// Kept only for a span, a tap or a line in the log.
    about: Option<Box<About>>,
    context: Option<TraceContext>,
    /// Why it is told as a span, as far as that is known at its head.
    recorded: Option<Recorded>,
    /// When it is told because of how it ended.
    tail: TailSampling,
    /// What of the head an example of a failure shows.
    asked: Asked,
    /// Who answered, or was tried last.
    endpoint: Option<SocketAddr>,
    peer: Option<IpAddr>,
    /// What the mesh said when it failed.
    detail: Option<Box<str>>,
    /// In which way it failed.
    reason: Option<Reason>,
    /// What the callee's proxy failed it with.
    by_callee: Option<Failure>,
    in_flight: Option<InFlight>,
    /// Kept as long as the request is under way.
    keep: Option<Box<dyn std::any::Any>>,
    /// What it failed with if its body does not end in time: at that time, and before.
    late: Option<(tokio::time::Instant, Failure)>,
    attempts: u32,
    /// What authorization policies said, for the log.
    judged: Option<Judged>,
    /// Ends it when it is allowed no longer.
    cut: Option<Rc<Cut>>,
    /// An operator had this proxy send it.
    trial: bool,
    /// Endpoints that are left alone because of how it ended there.
    ejected: Vec<SocketAddr>,
    done: bool,
}

/// What authorization policies said.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Of what kind it is.
    pub verdict: PolicyVerdict,
    /// Who said so.
    pub by: By,
    /// The expression that had no answer, and why.
    pub unanswered: Option<String>,
}

impl Record {
    /// Of a request, or (with [`AppProtocol::Tcp`]) of a connection.
    pub fn new(worker: &Rc<Worker>, side: Side, protocol: AppProtocol) -> Self {
        let key = SeriesKey {
            side,
            source: None,
            service: None,
            destination: None,
            route: None,
            protocol,
            method: KnownMethod::None,
            status: if protocol == AppProtocol::Tcp { 0 } else { CLIENT_CLOSED },
            grpc_status: None,
            failure: None,
            security: Security::None,
        };
        // A connection has no head whose trace could be followed: of it there is the line, and who taps.
        let is_tcp = protocol == AppProtocol::Tcp;
        let tapped = if is_tcp { worker.telemetry.tapped(side, None) } else { None };
        let log = worker.telemetry.access_log();
        let about = (log.is_some() || tapped.is_some()).then(|| worker.spares.take(log, tapped));
        Self(Box::new(Entry {
            worker: Rc::clone(worker),
            key,
            started: Instant::now(),
            first_byte: None,
            bytes_in: worker.spares.counter(),
            bytes_out: worker.spares.counter(),
            about,
            context: None,
            recorded: None,
            tail: TailSampling::default(),
            asked: Asked::default(),
            endpoint: None,
            peer: None,
            detail: None,
            reason: None,
            by_callee: None,
            in_flight: None,
            keep: None,
            late: None,
            attempts: 0,
            judged: None,
            cut: None,
            trial: false,
            ejected: Vec::new(),
            done: false,
        }))
    }

    /// Writes nothing: what it was about has records of its own.
    pub fn forget(mut self) {
        self.done = true;
    }

    /// Notes the answer and goes with its body: written when that has ended.
    pub fn attach(mut self, response: Response, kind: Kind) -> Response {
        self.head(&response, kind);
        let counter = Rc::clone(&self.bytes_out);
        response.map_body(|body| body.counted(counter).observed(self.0))
    }
}

impl Entry {
    /// When the request's head was there.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Who called.
    pub fn source(&mut self, source: Option<WorkloadName>) {
        self.key.source = source;
    }

    /// Whose certificate the other end has shown.
    pub fn identity(&mut self, identity: Option<&SpiffeId>) {
        if let Some(about) = &mut self.about {
            about.identity = identity.cloned();
        }
    }

    /// Whose certificate an endpoint must show.
    pub fn server(&mut self, transport: &Transport) {
        self.identity(match transport {
            Transport::Mesh(identity) => Some(identity),
            Transport::Plain => None,
        });
    }

    /// It goes to that endpoint, or was tried there last.
    pub fn goes_to(&mut self, endpoint: &Endpoint, security: Security) {
        self.endpoint(endpoint.address);
        self.server(&endpoint.transport);
        self.destination(endpoint.workload.clone(), security);
    }

    /// That endpoint, if one, is left alone from now on because of how this ended there.
    pub fn ejected(&mut self, endpoint: Option<SocketAddr>) {
        if let Some(endpoint) = endpoint.filter(|_| self.ejected.len() < MAX_ATTEMPTS) {
            self.ejected.push(endpoint);
        }
    }

    /// It is none of the application's: an operator had this proxy send it.
    pub fn is_trial(&mut self) {
        self.trial = true;
    }

    /// What was called.
    pub fn service(&mut self, service: ServiceName, port: u16) {
        self.key.service = Some((service, port));
    }

    /// The rule that the request took.
    pub fn route(&mut self, label: &Arc<str>) {
        self.key.route = Some(Arc::clone(label));
    }

    /// What its client asks for in TLS: for the log, where it bounds nothing; a metric never has it.
    pub fn asked_for(&mut self, name: Option<&str>) {
        if let (Some(about), Some(name)) = (&mut self.about, name) {
            about.asked_for = Some(name.into());
        }
    }

    /// Who will answer, and how the hop to it is secured.
    pub fn destination(&mut self, workload: Option<WorkloadName>, security: Security) {
        self.key.destination = workload;
        self.key.security = security;
    }

    /// What the body fails with if it has not ended by then; without a word from here it is the request's timeout. A body that times
    /// out before was idle.
    pub fn late(&mut self, by: Option<(tokio::time::Instant, Failure)>) {
        self.late = by;
    }

    /// When it ends at the latest, if anybody said so.
    pub fn until(&self) -> Option<(tokio::time::Instant, Failure)> {
        self.late
    }

    /// What authorization policies said of it.
    pub fn judged(&mut self, judged: Judged) {
        self.judged = Some(judged);
    }

    /// What a policy said of it, unless another one did before.
    pub fn judged_if_nobody_has(&mut self, judged: Judged) {
        self.judged.get_or_insert(judged);
    }

    /// A tunnel ends when that is given.
    pub fn revocable(&mut self, cut: Rc<Cut>) {
        self.cut = Some(cut);
    }

    /// What ends it before its time.
    pub(super) fn cut(&self) -> Option<Rc<Cut>> {
        self.cut.clone()
    }

    /// Keeps something until the end of the exchange.
    pub fn keep(&mut self, what: impl std::any::Any) {
        self.keep = Some(Box::new(what));
    }

    /// The counts of bytes that pass in both directions.
    pub fn moved(&self) -> [Rc<Cell<u64>>; 2] {
        [Rc::clone(&self.bytes_in), Rc::clone(&self.bytes_out)]
    }

    /// How the hop is secured.
    pub fn security(&mut self, security: Security) {
        self.key.security = security;
    }

    /// The mesh itself fails it.
    pub fn failure(&mut self, failure: Failure) {
        self.key.failure = Some(failure);
    }

    /// The same, with what it says of it.
    pub fn fault(&mut self, fault: &Fault) {
        self.failure(fault.failure);
        self.detail = Some(fault.detail.as_str().into());
        self.reason = fault.reason.or(self.reason);
        // No port of it: a client may name any.
        if let (None, Some(service)) = (&self.key.service, &fault.service) {
            self.key.service = Some(((**service).clone(), 0));
        }
    }

    /// In which way it fails, if it does.
    pub fn because(&mut self, reason: Reason) {
        self.reason = Some(reason);
    }

    /// The same, with what is said of it.
    pub fn unreached(&mut self, why: &Unreached) {
        self.reason = why.reason();
        self.detail = Some(why.to_string().into());
    }

    /// The callee's proxy, not its application, answers so.
    pub fn failed_by_callee(&mut self, failure: Failure) {
        self.by_callee = Some(failure);
    }

    /// Who connected.
    pub fn peer(&mut self, address: IpAddr) {
        self.peer = Some(address);
    }

    /// Where it goes, or last went.
    pub fn endpoint(&mut self, address: SocketAddr) {
        self.endpoint = Some(address);
    }

    /// Counts the request's body.
    pub fn bytes_in(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.bytes_in)
    }

    /// What a tunnel carried.
    pub fn carried(&self, to_server: u64, to_client: u64) {
        self.bytes_in.set(self.bytes_in.get() + to_server);
        self.bytes_out.set(self.bytes_out.get() + to_client);
    }

    /// The head of the answer is here. Keeps the load of the endpoint until the end of the exchange.
    pub fn answered(&mut self, in_flight: Option<InFlight>) {
        let now = Instant::now();
        if let Some(in_flight) = &in_flight {
            in_flight.answered(now);
        }
        self.first_byte = Some(now.saturating_duration_since(self.started));
        self.in_flight = in_flight;
    }

    /// Keeps the load of an endpoint until the end of a connection.
    pub fn busy(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }

    /// Notes the answer's head.
    pub fn head(&mut self, response: &Response, kind: Kind) {
        self.key.status = response.status.as_u16();
        if let Some(about) = &mut self.about {
            about.answered(response);
        }
        if kind == Kind::Grpc {
            self.key.grpc_status = grpc_status(&response.headers);
        }
    }

    fn lateness(&self) -> Failure {
        match self.late {
            Some((by, failure)) if tokio::time::Instant::now() >= by => failure,
            _ => Failure::IdleTimeout,
        }
    }

    /// How it went counts for the endpoint that answered.
    fn tell_endpoint(&mut self) {
        let Some(in_flight) = self.in_flight.take() else { return };
        if self.key.protocol == AppProtocol::Tcp {
            return;
        }
        let failed = match (self.key.failure, self.key.grpc_status) {
            (Some(Failure::ResponseTooLarge | Failure::StreamTimeout), _) => false,
            (Some(_), _) => true,
            (None, Some(status)) => matches!(status, 2 | 4 | 13 | 14),
            (None, None) => self.key.status >= 500,
        };
        let outcome = if failed { outlier::Outcome::Error } else { outlier::Outcome::Success };
        let latency = self.first_byte.unwrap_or_default();
        let ejected = in_flight.load().record(outcome, latency, Instant::now());
        self.ejected(self.endpoint.and_then(|endpoint| ejected.then(endpoint)));
    }

    fn write(&mut self) {
        if std::mem::replace(&mut self.done, true) || self.worker.telemetry.is_off() {
            return;
        }
        let latency = self.started.elapsed();
        let (bytes_in, bytes_out) = (self.bytes_in.get(), self.bytes_out.get());
        let worker = Rc::clone(&self.worker);
        let telemetry = &worker.telemetry;
        let series = telemetry.series(&self.key);
        series.record(latency, bytes_in, bytes_out);
        let has_failed = self.key.failure.is_some() || failed(self.key.status, self.key.grpc_status);
        self.judge_tail(latency, has_failed);
        if let Some(context) = self.context.as_ref().filter(|_| self.recorded.is_some()) {
            series.traced(latency, context.trace_id(), SystemTime::now());
        }
        self.tell_failure(latency, has_failed);
        if let Some(mut about) = self.about.take() {
            if let Some(own) = self.own_time(&about) {
                telemetry.own_time(self.key.side, own);
            }
            if let Some(logger) = about.log.take() {
                self.line(&about, &logger, latency);
            }
            self.tell(&mut about, latency);
            worker.spares.give(about);
        }
    }

    /// How a request ended may have it told. Until now nothing was kept for that but what examples of failures show.
    fn judge_tail(&mut self, latency: Duration, has_failed: bool) {
        let TailSampling { failed, slower_than } = self.tail;
        let wanted = failed && has_failed || slower_than.is_some_and(|limit| latency > limit);
        // What only operators asked for goes to collectors too now.
        if !wanted || self.recorded == Some(Recorded::Sampled) || self.context.is_none() {
            return;
        }
        self.recorded = Some(Recorded::Tail);
        if self.about.is_none() {
            self.about = Some(self.worker.spares.late(&self.asked, self.started));
        }
    }
}

fn grpc_status(headers: &Headers) -> Option<u8> {
    headers.get_str("grpc-status")?.parse().ok()
}

impl Observer for Entry {
    fn trailers(&mut self, trailers: &Headers) {
        if self.key.protocol == AppProtocol::Grpc {
            self.key.grpc_status = grpc_status(trailers).or(self.key.grpc_status);
        }
    }

    fn end(&mut self, end: BodyEnd) {
        match end {
            BodyEnd::Complete | BodyEnd::Dropped => {}
            BodyEnd::Failed => self.failure(Failure::UpstreamReset),
            BodyEnd::TooLarge => self.failure(Failure::ResponseTooLarge),
            BodyEnd::Cut(failure) => self.failure(failure),
            BodyEnd::TimedOut => self.failure(self.lateness()),
        }
        self.tell_endpoint();
        self.keep = None;
        self.write();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.write();
        self.worker.spares.give_counter(&self.bytes_in);
        self.worker.spares.give_counter(&self.bytes_out);
    }
}
