//! Answers to copies of requests beside those of the backend: a pair comes from a worker, is compared on the control thread, and waits as a
//! sum for the controller. It must not know how copies are sent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use mesh_compare::{Answer, Found, Tally, differences};
use mesh_model::compare::Compare;
use mesh_model::name::ServiceName;

/// Pairs that wait to be compared; more are thrown away, and counted.
pub(crate) const MAX_PAIRS: usize = 64;
/// Rules and mirrors of which there are sums.
pub(crate) const MAX_SUMS: usize = 64;

/// What is compared with what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Compared {
    /// The rule that sends both.
    pub route: Option<Arc<str>>,
    /// Where the request goes.
    pub stable: (ServiceName, u16),
    /// Where its copy goes.
    pub candidate: (ServiceName, u16),
}

/// What the backend says when it gets the request a second time.
#[derive(Debug)]
pub enum Twin {
    /// It did not get it.
    NotAsked,
    /// Nothing came.
    Unanswered,
    /// This.
    Answered(Answer),
}

/// The answers to one request.
#[derive(Debug)]
pub struct Pair {
    /// Of whom.
    pub of: Compared,
    /// How they are compared.
    pub compare: Arc<Compare>,
    /// What the caller gets.
    pub stable: Answer,
    /// What the copy got; `None`: there was no answer.
    pub candidate: Option<Answer>,
    /// What the stable version said once more.
    pub twin: Twin,
}

impl Pair {
    /// Between stable and candidate, and between stable and stable.
    pub(crate) fn found(&self) -> (Found, Option<Found>) {
        let between = |other: Option<&Answer>| differences(&self.compare, &self.stable, other);
        let own = match &self.twin {
            Twin::NotAsked => None,
            Twin::Unanswered => Some(between(None)),
            Twin::Answered(twin) => Some(between(Some(twin))),
        };
        (between(self.candidate.as_ref()), own)
    }

    /// Whether a body was too large to be looked into.
    pub(crate) fn is_cut(&self) -> bool {
        let twin = match &self.twin {
            Twin::Answered(twin) => Some(twin),
            Twin::NotAsked | Twin::Unanswered => None,
        };
        [Some(&self.stable), self.candidate.as_ref(), twin]
            .into_iter()
            .flatten()
            .any(|it| it.content.is_cut())
    }
}

/// Sums that wait for the controller.
#[derive(Debug, Default)]
pub(crate) struct Comparisons {
    all: HashMap<Compared, Tally>,
    /// Pairs of kinds that found no room.
    pub(crate) dropped: u64,
}

impl Comparisons {
    /// Adds what was found; says how much of it found no room.
    pub(crate) fn add(&mut self, of: &Compared, found: Found, own: Option<Found>) -> u64 {
        let is_full = self.all.len() >= MAX_SUMS;
        let tally = match self.all.entry(of.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => {
                self.dropped += 1;
                return 1;
            }
            Entry::Vacant(place) => place.insert(Tally::default()),
        };
        let before = tally.dropped;
        tally.pair(found);
        if let Some(own) = own {
            tally.twins(own);
        }
        tally.dropped - before
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.dropped == 0
    }

    /// All of them.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Compared, Tally)> {
        self.all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_compare::Content;
    use mesh_lifecycle::Tasks;

    use super::super::{Event, Telemetry};
    use super::*;

    fn of(name: &str) -> Compared {
        let service = |name: &str| (ServiceName::new("shop", name).unwrap(), 80);
        Compared { route: None, stable: service("v1"), candidate: service(name) }
    }

    fn answer(status: u16, body: &[u8]) -> Answer {
        let mut content = Content::begin(&Compare::default(), Some("application/json"), false);
        content.take(body);
        Answer { status, grpc_status: None, headers: vec![None], content }
    }

    fn pair(candidate: Option<Answer>, twin: Twin) -> Pair {
        Pair { of: of("v2"), compare: Arc::default(), stable: answer(200, b"{\"a\":1}"), candidate, twin }
    }

    #[test]
    fn a_pair_is_compared_with_the_candidate_and_with_the_twin() {
        let (raw, own) = pair(Some(answer(500, b"{\"a\":1}")), Twin::NotAsked).found();
        assert_eq!((raw.all.len(), own.is_none()), (1, true));
        let (raw, own) = pair(None, Twin::Answered(answer(200, b"{\"a\":2}"))).found();
        assert_eq!((raw.all[0].place.as_str(), own.unwrap().all[0].place.as_str()), ("answer", "$.a"));
        let (raw, own) = pair(Some(answer(200, b"{\"a\":1}")), Twin::Unanswered).found();
        assert_eq!((raw.is_empty(), own.unwrap().all[0].place.as_str()), (true, "answer"));
    }

    #[test]
    fn a_large_body_of_any_of_the_three_counts_as_cut() {
        let large = || answer(200, &vec![b' '; mesh_compare::answer::MAX_BODY + 1]);
        assert!(!pair(Some(answer(200, b"1")), Twin::NotAsked).is_cut());
        assert!(pair(Some(large()), Twin::Unanswered).is_cut());
        assert!(pair(None, Twin::Answered(large())).is_cut());
    }

    #[tokio::test]
    async fn pairs_are_compared_on_the_control_thread_and_too_many_are_counted() {
        let telemetry = Telemetry::new();
        let worker = telemetry.worker.build();
        for _ in 0..MAX_PAIRS {
            let large = answer(200, &vec![b' '; mesh_compare::answer::MAX_BODY + 1]);
            worker.compare(pair(Some(large), Twin::NotAsked));
        }
        worker.compare(pair(None, Twin::NotAsked));
        let tasks = Tasks::new();
        telemetry.hub.spawn(&tasks);
        worker.flush_last(Duration::from_secs(5)).await;
        let wanted = [(Event::Compared, 64), (Event::CompareCut, 64), (Event::CompareDropped, 1)];
        let counted = async {
            while wanted
                .iter()
                .any(|(event, times)| telemetry.hub.shared.sums().events[event.index()] != *times)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), counted).await.unwrap();
        let (_, sum) = telemetry.hub.shared.sums().take_comparisons().into_iter().next().unwrap();
        assert_eq!((sum.compared, sum.places.len()), (64, 1));
    }

    #[test]
    fn sums_too_many_are_counted_and_known_ones_go_on() {
        let mut sums = Comparisons::default();
        for n in 0..MAX_SUMS {
            assert_eq!(sums.add(&of(&format!("c{n}")), Found::default(), None), 0);
        }
        assert_eq!(sums.add(&of("late"), Found::default(), None), 1);
        assert_eq!(sums.add(&of("c0"), Found::default(), Some(Found::default())), 0);
        assert_eq!((sums.dropped, sums.is_empty()), (1, false));
        let c0 = sums.into_iter().find(|(key, _)| *key == of("c0")).unwrap().1;
        assert_eq!((c0.compared, c0.equal, c0.twins), (2, 2, 1));
    }
}
