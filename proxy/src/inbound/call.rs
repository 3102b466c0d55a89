//! One HTTP connection on the mesh port, and each of its requests on the way to the application: one line a phase.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use mesh_model::name::WorkloadName;
use mesh_model::policy::{By, Claims};
use mesh_model::spiffe::SpiffeId;
use mesh_traffic::deadline;
use mesh_traffic::retry::{UNSEEN, chain};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::asked::Stop;
use super::gate::{self, Turn, Wait};
use super::guard::{Caller, Pass, Passed, Refusal, Watch};
use super::limit::Told;
use super::own::Served;
use super::{Connection, Inbound, tokens};
use crate::ask::Edits;
use crate::http::{
    Body, BodyError, ExchangeFailure, FAILURE, Fault, Handler, Headers, Kind, OwnBounds, Request,
    RequestHead, Response, Upgrade, UpstreamResponse, Wire, bad_request, refusal, response_to,
};
use crate::telemetry::{AppProtocol, Event, Failure, Reason};
use crate::worker::record::{Record, Stage, Stopwatch};

/// A connection's place under the bound, shared by what it becomes.
pub(super) type Permit = Rc<OwnedSemaphorePermit>;

/// A connection.
pub(super) struct Call {
    pub(super) inbound: Rc<Inbound>,
    pub(super) caller: Caller,
    wire: Wire,
    connection: Connection,
}

/// Headers by which somebody could claim to be somebody: only the certificate says who calls.
const IDENTITY_HEADERS: [&str; 2] = ["x-forwarded-client-cert", "l5d-client-id"];

/// Beginnings of headers by which proxies of other meshes are told things.
const OF_OTHERS: &str = "x-envoy-";

/// Headers of our own that a proxy of the mesh may send and the application may hand on.
const OF_PEERS: [&str; 2] = [chain::ATTEMPT, deadline::TIMEOUT_MS];

/// A request that is not answered by the application.
pub(super) struct Refused {
    pub(super) fault: Fault,
    /// Whether nothing of it reached the application.
    pub(super) unseen: bool,
}

impl Call {
    pub(super) fn new(inbound: Rc<Inbound>, caller: Caller, wire: Wire, connection: Connection) -> Self {
        Self { inbound, caller, wire, connection }
    }

    /// The phases of a request.
    async fn forward(&self, mut head: Box<RequestHead>, body: Body, client: Upgrade) -> Response {
        let kind = head.kind;
        let mut record = self.inbound.record(AppProtocol::from(kind), self.caller.peer.as_ref());
        let member = super::of_own_mesh(&self.inbound.worker, self.caller.peer.as_ref());
        strip(&mut head.headers, member);
        record.trace(&head).write(&mut head);
        record.peer(self.caller.source);
        let claims = match self.authenticate(&mut head) {
            Ok(claims) => claims,
            Err(refused) => return refused.answer(record, kind),
        };
        let (pass, asks) = match self.authorize(&mut record, &head, claims.clone()) {
            Ok(passed) => passed,
            Err(refusal) => return refuse(record, &refusal.into(), kind),
        };
        let mut body = body.counted(record.bytes_in());
        let mut edits = Edits::default();
        if !asks.is_empty() {
            let began = record.clock();
            let said = Box::pin(self.external(&mut record, &asks, &mut head, body)).await;
            record.stage(Stage::Check, began);
            match said {
                Ok((left, wanted)) => (body, edits) = (left, wanted),
                Err(Stop::Refused(refused)) => return refuse(record, &refused, kind),
                Err(Stop::Denied(response)) => {
                    record.failure(Failure::AuthzDenied);
                    return record.attach(response, kind);
                }
            }
        }
        let served = self.inbound.served(&head);
        let told = served.as_deref().and_then(|served| self.limit(served, &head));
        let mut refused = told.as_ref().and_then(|told| told.refused.clone());
        let mut said = None;
        if let Some(served) = served.as_deref().filter(|served| served.is_counted() && refused.is_none()) {
            let began = record.clock();
            said = Box::pin(self.counted(served, &mut head, claims.as_ref())).await;
            record.stage(Stage::Check, began);
            refused = said.as_ref().and_then(|said| said.refused.clone());
        }
        record.endpoint(self.connection.app.address());
        let clock = record.stopwatch();
        let answer = match refused {
            Some(fault) => Err(Refused { fault, unseen: false }),
            None => self.allowed(&pass, (served.as_deref(), &clock), head, body).await,
        };
        record.stopped(&clock);
        let mut response = match answer {
            Ok(answer) => self.answer(record, answer, client, kind, &pass),
            Err(refused) => refuse(record, &refused, kind),
        };
        if let Some(told) = &told {
            told.write(&mut response.headers);
        }
        if let Some(said) = &said {
            said.write(&mut response.headers);
        }
        edits.write(&mut response.headers);
        response
    }

    /// Whose token it is, if any is asked for.
    fn authenticate(&self, head: &mut RequestHead) -> Result<Option<Rc<Claims>>, tokens::Refused> {
        let Some(rules) = self.inbound.jwt() else { return Ok(None) };
        let telemetry = &self.inbound.worker.telemetry;
        let good = self.inbound.tokens.check(&rules, head, tokens::unix_now(), telemetry)?;
        Ok(good.map(|good| Rc::clone(&good.claims)))
    }

    /// What authorization policies say.
    fn authorize(
        &self,
        record: &mut Record,
        head: &RequestHead,
        claims: Option<Rc<Claims>>,
    ) -> Result<(Pass, Vec<By>), Refusal> {
        let Inbound { worker, guard, tls, .. } = &*self.inbound;
        // Its handshake was good; since then the federation may have ended.
        if self.caller.peer.as_ref().is_some_and(|peer| !tls.knows(peer)) {
            return Err(Refusal { failure: Failure::PolicyDenied, judged: None });
        }
        let caller = Caller { claims, ..self.caller.clone() };
        match guard.request(&worker.snapshot(), caller, head, &worker.telemetry) {
            Ok(Passed { pass, judged, asks }) => {
                if let Some(judged) = judged {
                    record.judged(judged);
                }
                Ok((pass, asks))
            }
            Err(mut refusal) => {
                if let Some(judged) = refusal.judged.take() {
                    record.judged(judged);
                }
                Err(refusal)
            }
        }
    }

    /// Sends the request, for as long as it is allowed; the answer comes only if it still is.
    async fn allowed(
        &self,
        pass: &Pass,
        (served, clock): (Option<&Served>, &Stopwatch),
        head: Box<RequestHead>,
        body: Body,
    ) -> Result<UpstreamResponse, Refused> {
        let Inbound { worker, guard, .. } = &*self.inbound;
        let watch = is_long(&body).then(|| guard.watch(pass));
        let answer = match &watch {
            None => self.in_turn((served, clock), head, body).await?,
            Some(Watch { cut, .. }) => tokio::select! {
                // Dropping the exchange is its cancellation.
                biased;
                failure = cut.happens() => return Err(Refusal { failure, judged: None }.into()),
                answer = self.in_turn((served, clock), head, body) => answer?,
            },
        };
        guard.still(&worker.snapshot(), pass, &worker.telemetry)?;
        Ok(answer)
    }

    /// What the rate limits of the called service say.
    fn limit(&self, served: &Served, head: &RequestHead) -> Option<Told> {
        let table = served.limits.as_deref()?;
        self.inbound.buckets.ask(table, head, self.caller.peer.as_ref(), &self.inbound.worker.telemetry)
    }

    /// Sends the request when it is its turn.
    async fn in_turn(
        &self,
        (served, clock): (Option<&Served>, &Stopwatch),
        head: Box<RequestHead>,
        body: Body,
    ) -> Result<UpstreamResponse, Refused> {
        let Some(gate) = served.and_then(|served| served.gate.as_ref()) else {
            return self.send(clock, head, body).await;
        };
        let waits = clock.now();
        let turn = self.turn(gate, &head).await;
        clock.queued(waits);
        let turn = turn?;
        let answer = self.send(clock, head, body).await?;
        turn.answered();
        Ok(answer)
    }

    async fn turn(&self, gate: &Rc<gate::Gate>, head: &RequestHead) -> Result<Turn, Refused> {
        let telemetry = &self.inbound.worker.telemetry;
        match gate.turn(patience(head)).await {
            Ok((turn, wait)) => {
                if wait == Wait::Some {
                    telemetry.count(Event::Queued);
                }
                Ok(turn)
            }
            Err(why) => {
                telemetry.count(Event::Shed);
                let (why, reason) = match why {
                    gate::Refused::Full => ("the queue for more is full", Reason::QueueFull),
                    gate::Refused::Late => ("this one waited in vain", Reason::QueueLate),
                };
                let text = format!("the workload takes {} requests at once, and {why}", gate.limit());
                Err(Refused { fault: Fault::new(Failure::Shed, text).because(reason), unseen: true })
            }
        }
    }

    async fn send(
        &self,
        clock: &Stopwatch,
        head: Box<RequestHead>,
        body: Body,
    ) -> Result<UpstreamResponse, Refused> {
        let began = clock.now();
        let app = &self.connection.app;
        let wire = if head.upgrade.is_some() { Wire::Http1 } else { self.wire };
        let deadline = Instant::now() + self.inbound.worker.config.timeouts.tunnel_idle;
        match app.exchange(wire, head, body, deadline, &OwnBounds).await {
            Ok(answer) => {
                clock.answered(began, answer.connected);
                Ok(answer)
            }
            Err(ExchangeFailure::Unreached(why, _)) => {
                let (failure, reason) = (why.failure(), why.reason());
                self.inbound.worker.telemetry.count(if failure == Failure::Overload {
                    Event::Overload
                } else {
                    Event::ConnectFailed
                });
                let text = format!("the application does not take the request: {why}");
                Err(Refused { fault: Fault::new(failure, text).because(reason), unseen: true })
            }
            Err(ExchangeFailure::Failed { failure, .. }) => {
                let text = format!("the application at {} broke off before it answered", app.address());
                Err(Refused { fault: Fault::new(failure, text), unseen: false })
            }
            Err(ExchangeFailure::Body(error)) => {
                let text = format!("the request broke off: {error}");
                let gone = (error == BodyError::Sender).then_some(Reason::ClientGone);
                Err(Refused { fault: Fault::new(Failure::BadRequest, text).because(gone), unseen: false })
            }
        }
    }

    fn answer(
        &self,
        mut record: Record,
        answer: UpstreamResponse,
        client: Upgrade,
        kind: Kind,
        pass: &Pass,
    ) -> Response {
        let UpstreamResponse { mut response, upgrade, .. } = answer;
        let lasts = upgrade.is_some() || is_long(&response.body);
        let watch = lasts.then(|| self.inbound.guard.watch(pass));
        // Only a proxy can know it; an application that says so would have requests repeated that it has seen.
        response.headers.remove(UNSEEN);
        response.headers.remove(FAILURE);
        match upgrade {
            Some(server) => {
                record.head(&response, kind);
                if let Some(watch) = &watch {
                    record.revocable(Rc::clone(&watch.cut));
                }
                let keep = (Rc::clone(&self.connection.permit), watch);
                let inbound = Rc::clone(&self.inbound);
                let plain = self.caller.peer.is_none();
                let no_longer = async move {
                    if plain { inbound.closed_to_plaintext().await } else { std::future::pending().await }
                };
                self.inbound.worker.splice(record, client, server, keep, no_longer);
                response.with_body(Body::empty())
            }
            None => {
                record.answered(None);
                if let Some(watch) = watch {
                    let cut = Rc::clone(&watch.cut);
                    response = response.map_body(|body| body.revocable(cut));
                    record.keep(watch);
                }
                record.attach(response, kind)
            }
        }
    }
}

impl Handler for Call {
    async fn handle(self: Rc<Self>, request: Request) -> Response {
        match request.head {
            Ok(head) => self.forward(head, request.body, request.upgrade).await,
            Err(bad) => {
                let mut record = self.inbound.record(AppProtocol::Http, self.caller.peer.as_ref());
                record.fault(&bad_request(bad));
                record.attach(refusal(bad), Kind::Http)
            }
        }
    }
}

impl From<Refusal> for Refused {
    /// Which policy it was is in the log of this proxy, and nothing to tell a caller that may be anybody.
    fn from(refusal: Refusal) -> Self {
        let text = match refusal.failure {
            Failure::ConfigUnavailable => "the called workload's proxy has no configuration yet",
            _ => {
                "no policy of the called workload allows it; the log of its proxy names the policy that decided"
            }
        };
        Self { fault: Fault::new(refusal.failure, text), unseen: false }
    }
}

/// Whether a body may be under way for long: its end is not known, or far off.
fn is_long(body: &Body) -> bool {
    !body.is_end_stream() && body.size_hint().is_none_or(|left| left > SHORT)
}

/// A body that is over before policies can change.
const SHORT: u64 = 64 * 1024;

fn refuse(mut record: Record, refused: &Refused, kind: Kind) -> Response {
    let failure = refused.fault.failure;
    record.fault(&refused.fault);
    let mut response = response_to(&refused.fault, kind);
    if refused.unseen {
        response.headers.set(UNSEEN, failure.code().as_bytes()).expect("codes are letters");
    }
    record.attach(response, kind)
}

/// How long a request waits for its turn: never for longer than its caller does.
fn patience(head: &RequestHead) -> Duration {
    let callers = match head.kind {
        Kind::Grpc => head.header("grpc-timeout").and_then(deadline::grpc),
        Kind::Http => head.header(deadline::TIMEOUT_MS).and_then(deadline::mesh),
    };
    callers.map_or(gate::LONGEST, |callers| callers.min(gate::LONGEST))
}

/// The workload that an identity stands for: outside Kubernetes they have the same name.
pub(super) fn workload(identity: &SpiffeId) -> Option<WorkloadName> {
    WorkloadName::new(identity.namespace(), identity.service_account()).ok()
}

/// Takes off what only the mesh may say. A member of this mesh is a proxy, whose attempts and deadlines are believed.
fn strip(headers: &mut Headers, member: Option<&SpiffeId>) {
    headers.remove_where(|name| {
        // Servers that hand headers on as variables cannot tell `_` from `-`.
        let spelt = if name.contains('_') { Cow::from(name.replace('_', "-")) } else { Cow::from(name) };
        let believed = member.is_some() && OF_PEERS.contains(&name);
        (spelt.starts_with("x-mesh-") && !believed)
            || spelt.starts_with(OF_OTHERS)
            || IDENTITY_HEADERS.contains(&&*spelt)
    });
    if member.is_some() {
        return;
    }
    let Some(state) = headers.get_str("tracestate").filter(|state| state.contains("mesh=")) else { return };
    match chain::unmarked(state) {
        Some(left) => headers.set("tracestate", left.as_bytes()).expect("a part of a value is a value"),
        None => {
            headers.remove("tracestate");
        }
    }
}
