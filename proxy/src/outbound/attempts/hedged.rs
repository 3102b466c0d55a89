//! Attempts side by side: another one begins when the earlier ones have been quiet for a while or one has failed. The first good answer
//! counts, the others are dropped, which ends them at their endpoints. It must not know routes.

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use mesh_model::traffic::Hedging;
use mesh_traffic::breaker::{Counted, Token};
use mesh_traffic::hedge;

use super::one::{self, Tried};
use super::{Addresses, Answered, Errand, Traits, after, lost, number};
use crate::http::Fault;
use crate::outbound::supply::Supply;
use crate::telemetry::Event;
use crate::worker::record::Record;

/// What an attempt gives: which one it was, what became of it, and its place under the bound on retries.
type Ended = (u32, Tried, Option<Token>);

struct Hedged<'a> {
    errand: &'a Errand<'a>,
    traits: Traits,
    policy: &'a Hedging,
    supply: Supply,
    tried: Addresses,
    begun: u32,
    made: u32,
}

pub(super) async fn send(
    errand: &Errand<'_>,
    record: &mut Record,
    traits: Traits,
    policy: &Hedging,
    supply: Supply,
) -> Result<Answered, Fault> {
    let tried = Addresses::new();
    let mut hedged = Hedged { errand, traits, policy, supply, tried, begun: 0, made: 0 };
    let mut running = FuturesUnordered::new();
    running.push(hedged.begin(record, None)?);
    let mut fault = None;
    let mut fallback = None;
    loop {
        let wait = hedged.wait();
        tokio::select! {
            Some((which, tried, token)) = running.next() => {
                record.tried(usize::try_from(which.saturating_sub(1)).unwrap_or(usize::MAX), tried.told());
                match tried {
                Tried::Answered(answered) if one::is_good(&answered) => {
                    if which > 1 {
                        errand.count(Event::HedgeWon);
                    }
                    return Ok(finish(record, answered, token));
                }
                Tried::Answered(answered) => fallback = Some((answered, token)),
                Tried::Failed(failed) => fault = Some(failed.fault),
                }
            }
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
        }
        if wait.is_some() {
            match hedged.another(record) {
                Some(next) => running.push(next),
                // Nobody is to be asked beside: the ones under way decide.
                None => hedged.begun = u32::MAX,
            }
        }
        if running.is_empty() {
            return match fallback {
                Some((answered, token)) => Ok(finish(record, answered, token)),
                None => Err(fault.map_or_else(lost, |fault| after(fault, hedged.made))),
            };
        }
    }
}

fn finish(record: &mut Record, answered: Box<Answered>, token: Option<Token>) -> Answered {
    record.goes_to(&answered.picked.endpoint, answered.picked.payload.security());
    answered.load.answered(std::time::Instant::now());
    answered.with(token)
}

impl<'a> Hedged<'a> {
    /// Until the next attempt may begin; `None` if there is none to come. While the body is still being read there is a while to wait.
    fn wait(&self) -> Option<std::time::Duration> {
        let methods = self.errand.policy.retries.as_ref().map(|retries| retries.value.methods);
        let subject = self.traits.subject(self.supply.replay());
        hedge::wait(self.policy, methods, subject, self.begun)
    }

    /// One more attempt, if its body is here and budget and breaker have room.
    fn another(&mut self, record: &mut Record) -> Option<LocalBoxFuture<'a, Ended>> {
        if self.supply.replay_beside() == mesh_traffic::retry::Replay::Gone {
            return None;
        }
        let token = self.errand.backend.breaker().take(Counted::Retries).ok()?;
        if !self.errand.backend.budget().borrow_mut().take(std::time::Instant::now()) {
            return None;
        }
        let next = self.begin(record, token).ok()?;
        self.errand.count(Event::Hedged);
        Some(next)
    }

    fn begin(
        &mut self,
        record: &mut Record,
        token: Option<Token>,
    ) -> Result<LocalBoxFuture<'a, Ended>, Fault> {
        let picked = self.errand.pick(&mut self.tried, None).map_err(|none| self.errand.no_pick(none))?;
        let (mut head, body) = self.supply.take().ok_or_else(lost)?;
        self.begun += 1;
        self.made += 1;
        number(&mut head, self.begun);
        let (address, workload) = (picked.endpoint.address, picked.endpoint.workload.clone());
        record.attempt(address, workload, picked.payload.security(), self.begun > 1);
        self.tried.push(picked.endpoint.address);
        let (errand, moved, which) = (self.errand, record.moved(), self.begun);
        Ok(Box::pin(async move { (which, one::send(errand, moved, picked, head, body).await, token) }))
    }
}
