//! Asks webhooks and Prometheus for their word on a release, beside everything else: whoever decides looks for what was answered and waits
//! for nobody. It must not know what follows from an answer.

pub(super) mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use mesh_fetch::ask::Question;
use mesh_fetch::{Fetcher, Loopback};
use mesh_reach::Resolver;
use mesh_release::machine::{Answer, needs};
use mesh_release::observation::{Observation, Side};
use mesh_release::plan::HookPoint;
use mesh_release::state::State;

use super::counters::ReleaseCounters;
use crate::api::ObjectKey;
use crate::api::lower::canary::asks::{Ask, What};
use crate::compile::canary::Release;

/// Asked at once; who comes then is asked when one of them has answered.
const AT_ONCE: usize = 64;
/// Largest answer.
const BYTES: usize = 64 * 1024;
/// Between two questions to somebody who may be asked at any time, at most.
const PAUSE: u64 = 30;

/// Who may be asked, and how.
#[derive(Debug, Clone)]
pub struct AskConfig {
    /// Whether this machine itself may be.
    pub loopback: Loopback,
    /// Hosts that may be asked over `http://`.
    pub plaintext: BTreeSet<String>,
    /// PEM file of the roots that servers must show; without, the system's.
    pub roots: Option<PathBuf>,
}

impl Default for AskConfig {
    /// Whoever shows a certificate that the system trusts, elsewhere.
    fn default() -> Self {
        Self { loopback: Loopback::Refused, plaintext: BTreeSet::new(), roots: None }
    }
}

/// Which check of which version an answer is for.
type Round = (String, u64);

struct Answered {
    key: ObjectKey,
    round: Round,
    at: usize,
    answer: Answer,
}

/// What was asked, and what was answered.
#[derive(Debug)]
pub(super) struct Asker {
    config: AskConfig,
    counters: ReleaseCounters,
    under_way: FuturesUnordered<BoxFuture<'static, Answered>>,
    books: BTreeMap<ObjectKey, Book>,
}

/// Of one release.
#[derive(Debug, Default)]
struct Book {
    round: Round,
    answers: Vec<(usize, Answer)>,
    pending: BTreeSet<usize>,
    asked: BTreeMap<usize, u64>,
}

impl Asker {
    pub(super) fn new(config: AskConfig, counters: ReleaseCounters) -> Self {
        Self { config, counters, under_way: FuturesUnordered::new(), books: BTreeMap::new() }
    }

    /// Begins to ask whom the next decision needs.
    pub(super) fn want(&mut self, release: &Release, state: &State, now: u64) {
        if release.asks.is_empty() {
            self.books.remove(&release.key);
            return;
        }
        let side = |ready| Side { ready, figures: None };
        let observed = Observation { stable: side(release.ready.0), canary: side(release.ready.1) };
        let book = self.books.entry(release.key.clone()).or_default();
        let round = (state.version.clone(), state.checked);
        if book.round != round {
            *book = Book { round, asked: std::mem::take(&mut book.asked), ..Book::default() };
        }
        for at in needs(&release.plan, state, &observed, now) {
            let Some(ask) = release.asks.get(at) else { continue };
            let again =
                book.asked.get(&at).map_or(0, |last| last + release.plan.analysis.interval.min(PAUSE));
            let is_known = book.pending.contains(&at) || book.answers.iter().any(|(of, _)| *of == at);
            if is_known || (!belongs_to_check(ask) && now < again) {
                continue;
            }
            if self.under_way.len() >= AT_ONCE {
                self.counters.asks_delayed.inc();
                continue;
            }
            self.counters.asks.inc();
            book.pending.insert(at);
            book.asked.insert(at, now);
            let (key, round) = (release.key.clone(), book.round.clone());
            let asked = put(self.config.clone(), ask.clone(), answer::question(release, state, ask));
            self.under_way.push(Box::pin(async move {
                let answer = asked.await;
                Answered { key, round, at, answer }
            }));
        }
    }

    /// Waits for the next answer, for ever while nobody is asked.
    pub(super) async fn next(&mut self) {
        // Cancel-safe: an answer is taken from the list and written into the book at once.
        let Some(came) = self.under_way.next().await else { return std::future::pending().await };
        if matches!(came.answer, Answer::Missing(_)) {
            self.counters.asks_unanswered.inc();
        }
        let Some(book) = self.books.get_mut(&came.key) else { return };
        if book.round == came.round && book.pending.remove(&came.at) {
            book.answers.push((came.at, came.answer));
        }
    }

    /// What was answered so far.
    pub(super) fn answers(&self, key: &ObjectKey) -> Vec<(usize, Answer)> {
        self.books.get(key).map(|book| book.answers.clone()).unwrap_or_default()
    }

    /// A decision was made with what was answered: what a check used is used up with the check, the rest at once.
    pub(super) fn used(&mut self, release: &Release) {
        if let Some(book) = self.books.get_mut(&release.key) {
            book.answers.retain(|(at, _)| release.asks.get(*at).is_some_and(belongs_to_check));
        }
    }

    /// Releases that are gone are asked about no more.
    pub(super) fn forget(&mut self, releases: &[Release]) {
        self.books.retain(|key, _| releases.iter().any(|release| release.key == *key));
    }
}

fn belongs_to_check(ask: &Ask) -> bool {
    matches!(ask.hook.point, HookPoint::Check | HookPoint::Step | HookPoint::Promotion)
}

async fn put(config: AskConfig, ask: Ask, question: Option<(String, Question)>) -> Answer {
    let Some((url, question)) = question else {
        return Answer::Missing("the question cannot be written".to_owned());
    };
    let AskConfig { loopback, plaintext, roots } = config;
    let resolver = Resolver::default();
    let fetcher = Fetcher { loopback, roots, resolver, deadline: ask.timeout, bytes: BYTES };
    let answered = fetcher.ask(&url, question, &plaintext).await;
    match (answered, &ask.what) {
        (Err(error), _) => Answer::Missing(answer::short(&error.to_string())),
        (Ok(body), What::Webhook) => answer::of_webhook(&body),
        (Ok(body), What::Query { at_least, at_most, .. }) => answer::of_query(&body, *at_least, *at_most),
    }
}
