//! A request on its way to a backend: pick, send, and again while policy, budget and deadline allow it. It must not know routes.

mod hedged;
mod one;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use mesh_model::name::ServiceName;
use mesh_model::traffic::effective::RequestPolicy;
use mesh_model::traffic::{Hedging, Retries, RetryMethods, RetryOn};
use mesh_traffic::balance::{Ask, InFlight, NoPick};
use mesh_traffic::breaker::{Counted, Token};
use mesh_traffic::hedge;
use mesh_traffic::retry::{self, Call, Chain, Decision, Outcome, Reason, Repeatable, Replay, Subject, chain};
use smallvec::SmallVec;
use tokio::time::Instant;

use self::one::{Failed, Tried};
use super::Outbound;
use super::affinity::Affinity;
use super::backends::{Backend, Picked, bound};
use super::limits::Limits;
use super::supply::Supply;
use crate::http::{Body, Fault, Kind, RequestHead, UpstreamResponse, Wire};
use crate::telemetry::{Event, Failure, Reason as Way};
use crate::worker::record::Record;

/// Where a request goes, and by which rules.
pub(super) struct Errand<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) backend: &'a Backend,
    pub(super) service: &'a ServiceName,
    pub(super) port: u16,
    pub(super) policy: &'a RequestPolicy,
    pub(super) limits: Limits,
    pub(super) affinity: Affinity,
    pub(super) wire: Wire,
}

/// The answer, with what lasts as long as its body.
pub(super) struct Answered {
    pub(super) response: UpstreamResponse,
    pub(super) picked: Picked,
    pub(super) load: InFlight,
    /// Places under the circuit breaker's bounds.
    pub(super) places: Places,
    /// When the attempt began.
    pub(super) began: Instant,
}

/// Places under the circuit breaker's bounds, of the request and of its retry.
#[derive(Debug, Default)]
pub(super) struct Places {
    request: Option<Token>,
    retry: Option<Token>,
}

/// What is known of a request before it is sent; the same for every attempt.
#[derive(Debug, Clone, Copy)]
struct Traits {
    call: Call,
    repeatable: Repeatable,
    chain: Chain,
}

type Addresses = SmallVec<[SocketAddr; 3]>;

/// Sends the request until there is an answer to pass on.
pub(super) async fn send(
    errand: &Errand<'_>,
    record: &mut Record,
    head: Box<RequestHead>,
    body: Body,
) -> Result<Answered, Fault> {
    errand.backend.budget().borrow_mut().request(std::time::Instant::now());
    let request =
        errand.backend.breaker().take(Counted::Requests).map_err(|open| errand.circuit_open(open))?;
    let retries = errand.policy.retries.as_ref().map(|retries| &retries.value);
    let traits = Traits::of(errand.policy, &head);
    let mut head = head;
    let supply = if traits.wants_copies(errand.policy, &head) {
        mark(&mut head, traits.chain);
        Supply::copies(head, body, retries.map_or(0, |retries| retries.body_bytes))
    } else {
        Supply::once(head, body)
    };
    let hedging = errand.policy.hedging.as_ref().map(|hedging| &hedging.value);
    let result = match hedging {
        Some(hedging) if traits.may_hedge(hedging, retries, &supply) => {
            // Few requests are hedged, and all others would carry the room for it.
            Box::pin(hedged::send(errand, record, traits, hedging, supply)).await
        }
        _ => Repeated { errand, traits, retries, supply }.send(record).await,
    };
    if let Err(fault) = &result {
        errand.outbound.doubt(errand.service, fault.failure);
    }
    let mut answered = result?;
    answered.places.request = request;
    Ok(answered)
}

/// Whether nobody was reached of all endpoints that were tried.
pub(super) fn is_unreached(failure: Failure) -> bool {
    matches!(failure, Failure::ConnectFailed | Failure::ConnectTimeout | Failure::TlsFailed)
}

impl Traits {
    fn of(policy: &RequestPolicy, head: &RequestHead) -> Self {
        let call = match head.kind {
            Kind::Http => Call::Http,
            Kind::Grpc => Call::Grpc,
        };
        // Who retries further up matters only where more than the default is retried.
        let chain =
            if policy.hedging.is_some() || policy.retries.as_ref().is_some_and(|r| beyond_unseen(&r.value)) {
                chain::of(head.header(chain::ATTEMPT), head.header("tracestate"))
            } else {
                Chain::Ours
            };
        Self { call, repeatable: Repeatable::by_method(head.method.as_str()), chain }
    }

    /// Whether an attempt may be repeated after it was sent: only then is it worth to keep copies.
    fn wants_copies(self, policy: &RequestPolicy, head: &RequestHead) -> bool {
        if head.upgrade.is_some() || self.chain == Chain::Outer {
            return false;
        }
        let by_retries = policy.retries.as_ref().is_some_and(|retries| {
            let retries = &retries.value;
            beyond_unseen(retries) && retries.attempts > 0 && self.may_repeat(retries)
        });
        by_retries || policy.hedging.is_some()
    }

    fn may_repeat(self, retries: &Retries) -> bool {
        self.repeatable == Repeatable::Yes
            || retries.methods == RetryMethods::All
            || (self.call == Call::Grpc && !retries.grpc_statuses.is_empty())
    }

    /// Whether attempts may run side by side; else they are made one after the other.
    fn may_hedge(self, policy: &Hedging, retries: Option<&Retries>, supply: &Supply) -> bool {
        let methods = retries.map(|retries| retries.methods);
        hedge::wait(policy, methods, self.subject(supply.replay()), 1).is_some()
    }

    fn subject(self, replay: Replay) -> Subject {
        Subject { call: self.call, repeatable: self.repeatable, replay, chain: self.chain }
    }
}

/// Whether more is retried than what never reached an application.
fn beyond_unseen(retries: &Retries) -> bool {
    !retries.statuses.is_empty()
        || !retries.grpc_statuses.is_empty()
        || retries.on.iter().any(|on| !matches!(on, RetryOn::ConnectFailure | RetryOn::RefusedStream))
}

/// Says to those further down that retries are made here.
fn mark(head: &mut RequestHead, chain: Chain) {
    if chain == Chain::Ours {
        let state = chain::marked(head.header("tracestate"));
        head.headers.set(chain::ATTEMPT, b"1").expect("a digit is a value");
        if let Err(error) = head.headers.set("tracestate", state.as_bytes()) {
            tracing::debug!(%error, "tracestate cannot be sent on");
        }
    }
}

/// One attempt after the other.
struct Repeated<'a> {
    errand: &'a Errand<'a>,
    traits: Traits,
    retries: Option<&'a Retries>,
    supply: Supply,
}

impl Repeated<'_> {
    async fn send(mut self, record: &mut Record) -> Result<Answered, Fault> {
        let mut tried = Addresses::new();
        let mut made = 0_u32;
        let mut retry = None;
        let mut last: Option<Failed> = None;
        loop {
            let picked = match self.errand.pick(&mut tried, last.as_ref()) {
                Ok(picked) => picked,
                Err(none) => return Err(last.map_or_else(|| self.errand.no_pick(none), |last| last.fault)),
            };
            let Some((mut head, body)) = self.supply.take() else {
                return Err(last.map_or_else(lost, |last| last.fault));
            };
            made += 1;
            if made > 1 && matches!(self.supply, Supply::Copies { .. }) {
                number(&mut head, made);
            }
            let address = picked.endpoint.address;
            let workload = picked.endpoint.workload.clone();
            record.server(&picked.endpoint.transport);
            let number = record.attempt(address, workload, picked.payload.security(), false);
            tried.push(address);
            let result = one::send(self.errand, record.moved(), picked, head, body).await;
            record.tried(number, result.told());
            match result {
                Tried::Answered(answered) => match self.after_answer(&answered, made) {
                    Err(reason) => {
                        if let Some(reason) = given_up(reason, made) {
                            record.because(reason);
                        }
                        if made > 1 && one::is_good(&answered) {
                            self.errand.count(Event::RetryHelped);
                        }
                        answered.load.answered(std::time::Instant::now());
                        return Ok(answered.with(retry));
                    }
                    Ok((after, token)) => {
                        answered.discard();
                        retry = token;
                        last = None;
                        tokio::time::sleep(after).await;
                    }
                },
                Tried::Failed(mut failed) => {
                    if let Some(back) = failed.back.take() {
                        self.supply.give_back(*back);
                    }
                    match self.decide(failed.outcome, None, made) {
                        Err(reason) => {
                            let mut fault = after(failed.fault, made);
                            fault.reason = fault.reason.or(given_up(reason, made));
                            return Err(fault);
                        }
                        Ok((after, token)) => {
                            retry = token;
                            last = Some(failed);
                            tokio::time::sleep(after).await;
                        }
                    }
                }
            }
        }
    }

    /// Whether an answer is not passed on, but asked for again.
    fn after_answer(
        &self,
        answered: &Answered,
        made: u32,
    ) -> Result<(std::time::Duration, Option<Token>), Reason> {
        let outcome = one::outcome_of(answered, self.traits.call).ok_or(Reason::NotNamed)?;
        if answered.response.upgrade.is_some() || !self.retries.is_some_and(beyond_unseen) {
            return Err(Reason::NotNamed);
        }
        self.decide(Some(outcome), one::wish_of(answered, self.traits.call), made)
    }

    fn decide(
        &self,
        outcome: Option<Outcome>,
        wish: Option<retry::wish::Wish>,
        made: u32,
    ) -> Result<(std::time::Duration, Option<Token>), Reason> {
        let (Some(policy), Some(outcome)) = (self.retries, outcome) else { return Err(Reason::NotNamed) };
        let subject = self.traits.subject(self.supply.replay());
        let left = self.errand.limits.left(Instant::now());
        let ask = retry::Ask { policy, subject, made, outcome, wish, left };
        let worker = &self.errand.outbound.worker;
        let decided = match worker.with_random(|random| retry::decide(&ask, random)) {
            Decision::GiveUp(reason) => Err(reason),
            Decision::Again { after } => self.afford(outcome).map(|token| (after, token)),
        };
        match &decided {
            Ok(_) => self.errand.count(Event::Retried),
            Err(Reason::NotNamed) => {}
            Err(reason) => self.errand.count(Event::RetryRefused(*reason)),
        }
        decided
    }

    /// A connect that failed was load for nobody, so it costs no budget.
    fn afford(&self, outcome: Outcome) -> Result<Option<Token>, Reason> {
        let token = self.errand.backend.breaker().take(Counted::Retries).map_err(|_| Reason::CircuitOpen)?;
        let free = outcome == Outcome::ConnectFailed;
        if free || self.errand.backend.budget().borrow_mut().take(std::time::Instant::now()) {
            Ok(token)
        } else {
            Err(Reason::Budget)
        }
    }
}

impl Errand<'_> {
    /// An endpoint that was not tried; where all were and the last one was reached, any of them again.
    fn pick(&self, tried: &mut Addresses, last: Option<&Failed>) -> Result<Picked, NoPick> {
        match self.pick_one(tried) {
            Err(NoPick::AllTried) if last.is_none_or(|last| last.outcome != Some(Outcome::ConnectFailed)) => {
                tried.clear();
                self.pick_one(tried)
            }
            picked => picked,
        }
    }

    fn pick_one(&self, tried: &Addresses) -> Result<Picked, NoPick> {
        let outbound = self.outbound;
        let ask = Ask {
            now: std::time::Instant::now(),
            tried,
            hash: self.affinity.hash,
            sticky: self.affinity.sticky,
        };
        self.backend.pick(&ask, |n| outbound.worker.random_below(n))
    }

    fn no_pick(&self, none: NoPick) -> Fault {
        let (service, port) = (self.service, self.port);
        match none {
            NoPick::AllAtBound => {
                self.count(Event::CircuitOpen);
                let text =
                    format!("service {service} port {port}: {none} (loadBalancer.maxRequestsPerEndpoint)");
                Fault::new(Failure::CircuitOpen, text).because(Way::EndpointsFull)
            }
            NoPick::Empty | NoPick::AllTried => {
                let text = format!("service {service} has no endpoint for port {port}");
                Fault::new(Failure::NoEndpoints, text).because(Way::NoEndpoint)
            }
        }
    }

    fn circuit_open(&self, open: mesh_traffic::breaker::Open) -> Fault {
        self.count(Event::CircuitOpen);
        Fault::new(Failure::CircuitOpen, format!("service {} port {}: {open}", self.service, self.port))
            .because(bound(open.counted))
    }

    fn count(&self, event: Event) {
        self.outbound.worker.telemetry.count(event);
    }
}

impl Places {
    /// Whether nothing is bounded.
    pub(super) fn is_empty(&self) -> bool {
        self.request.is_none() && self.retry.is_none()
    }
}

impl Answered {
    fn with(mut self: Box<Self>, retry: Option<Token>) -> Self {
        self.places.retry = retry;
        *self
    }

    /// Takes what is here of its body, so that the connection can be used again if that is all.
    fn discard(self: Box<Self>) {
        let mut body = self.response.response.body;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while let std::task::Poll::Ready(Some(Ok(_))) = body.poll_next(&mut context) {}
    }
}

fn number(head: &mut RequestHead, made: u32) {
    head.headers.set(chain::ATTEMPT, made.to_string().as_bytes()).expect("digits are a value");
}

/// What of the end of retrying tells more of a failure.
fn given_up(reason: Reason, made: u32) -> Option<Way> {
    match reason {
        Reason::Attempts if made > 1 => Some(Way::RetriesExhausted),
        Reason::Budget | Reason::CircuitOpen => Some(Way::RetryBudget),
        _ => None,
    }
}

/// Says how many attempts there were, if there was more than one.
fn after(mut fault: Fault, made: u32) -> Fault {
    if made > 1 {
        fault.detail = format!("{} ({made} attempts)", fault.detail);
    }
    fault
}

/// Unreachable while a decision to send again looks at whether the request is still here; the text is for the one who breaks that.
fn lost() -> Fault {
    Fault::new(Failure::UpstreamReset, "the request is gone and cannot be sent")
}

/// The two counts of bytes that pass.
pub(super) type Moved = [Rc<Cell<u64>>; 2];
