//! Releases, decided: each interval the figures of both versions are read, the machine of `mesh-release` says what follows, and its state is
//! written down. What routes do follows from the state when everything is compiled, so nothing is done here beyond that. Of several replicas
//! the one acts that leads.
//!
//! A state is written before it has any effect ([`keeper`]). Who is asked for a word answers meanwhile ([`asker`]). It must not know how an
//! overlay is laid, nor what a figure is made of.

mod asker;
pub mod counters;
pub mod events;
mod file;
mod keeper;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_release::machine::{Input, Order, advance};
use mesh_release::observation::{Observation, Side};
use mesh_release::state::{Phase, Reason, State, Why};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

pub use self::asker::AskConfig;
use self::asker::Asker;
use self::counters::ReleaseCounters;
pub use self::keeper::Keeper;
use crate::api::ObjectKey;
use crate::clock::now_ms;
use crate::compile::canary::Release;
use crate::inspect::Inspector;
use crate::inspect::canary::{Unheard, Wish};

/// What a report is about began so long before, at most: within that time what is told may be of before a version was tried.
const STRADDLE: u64 = 2;
/// Between looks at what is due.
const TICK: Duration = Duration::from_secs(1);

/// States by object, as the control loop compiles with them.
pub type States = BTreeMap<ObjectKey, State>;

/// What decides.
#[derive(Debug)]
pub struct Canaries {
    inspector: Inspector,
    keeper: Keeper,
    orders: mpsc::Receiver<Wish>,
    asker: Asker,
}

impl Canaries {
    /// Decides nothing yet.
    pub fn new(
        inspector: Inspector,
        keeper: Keeper,
        orders: mpsc::Receiver<Wish>,
        asks: AskConfig,
        counters: ReleaseCounters,
    ) -> Self {
        Self { inspector, keeper, orders, asker: Asker::new(asks, counters) }
    }

    /// Decides for ever.
    pub async fn run(&mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.pass().await,
                // What is answered counts in the next pass.
                () = self.asker.next() => {}
                wish = self.orders.recv() => match wish {
                    Some(wish) => self.obey(wish).await,
                    None => return,
                },
            }
        }
    }

    async fn pass(&mut self) {
        let objects = Arc::clone(&self.inspector.objects.borrow());
        self.keeper.forget(&objects.releases).await;
        self.asker.forget(&objects.releases);
        if !self.keeper.leads() {
            return;
        }
        for release in objects.releases.iter().filter(|release| release.refused.is_none()) {
            // What is wrong with writing is logged there; the next pass tries again from what was written last.
            let _ = self.decide(release, &[]).await;
        }
    }

    async fn obey(&mut self, wish: Wish) {
        let objects = Arc::clone(&self.inspector.objects.borrow());
        let found = objects.releases.iter().find(|release| release.key == wish.key);
        let answer = match found {
            _ if !self.keeper.leads() => Err(Unheard::NotLeading),
            None => Err(Unheard::Unknown(format!("there is no {}", wish.key))),
            Some(Release { refused: Some(why), .. }) => Err(Unheard::NotNow(why.clone())),
            Some(release) => match self.decide(release, &[wish.order]).await {
                Ok(events) => said(&events),
                Err(error) => Err(Unheard::NotNow(error)),
            },
        };
        // An error means that nobody waits for the answer any more.
        let _ = wish.answer.send(answer);
    }

    /// Decides about one release; gives what happened, or why it could not be written down.
    async fn decide(&mut self, release: &Release, orders: &[Order]) -> Result<Vec<Why>, String> {
        let known = self.keeper.known(release);
        let state = known.clone().unwrap_or_default();
        let now = now_ms() / 1000;
        self.asker.want(release, &state, now);
        let answers = self.asker.answers(&release.key);
        let observed = observed(&self.inspector, release, &state, now).await;
        let input = Input {
            version: &release.version,
            sides: release.sides,
            observed: &observed,
            orders,
            answers: &answers,
            own_weights: release.own_weights,
        };
        let next = advance(&release.plan, &state, &input, now);
        if known.as_ref() != Some(&next.state) {
            self.keeper.keep(&release.key, known, next.state, &next.events).await?;
        }
        self.asker.used(release);
        for event in &next.events {
            tracing::info!(reason = ?event.reason, "{}: {}", release.key, event.message);
        }
        Ok(next.events)
    }
}

/// Figures, where they will be looked at; they are asked of every replica.
async fn observed(inspector: &Inspector, release: &Release, state: &State, now: u64) -> Observation {
    let interval = release.plan.analysis.interval;
    let seconds = match state.phase {
        // Before the first step, what the stable version is like.
        Phase::Waiting => interval,
        Phase::Progressing | Phase::Paused if now >= state.checked + interval => {
            // Nothing that the version before did is laid to this one.
            let is_first = state.step == 0 && state.checked == state.step_began;
            now - state.checked - if is_first { STRADDLE.min(interval / 2) } else { 0 }
        }
        Phase::Progressing | Phase::Paused | Phase::Promoted | Phase::RolledBack => {
            let side = |ready| Side { ready, figures: None };
            return Observation { stable: side(release.ready.0), canary: side(release.ready.1) };
        }
    };
    inspector.observed(release, seconds).await
}

/// The answer to an order.
fn said(events: &[Why]) -> Result<String, Unheard> {
    if let Some(ignored) = events.iter().find(|event| event.reason == Reason::Ignored) {
        return Err(Unheard::NotNow(ignored.message.clone()));
    }
    let texts: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
    Ok(texts.join("; "))
}

#[cfg(test)]
mod tests;
