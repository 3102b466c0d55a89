//! One example of each kind of failure between two reports, with how many there were. It must not know what a failure means.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use mesh_model::name::Name;

use super::{Reason, SeriesKey};

/// Kinds that a worker holds between two flushes.
pub(crate) const MAX_OF_WORKER: usize = 64;
/// Kinds that wait for the controller.
pub(crate) const MAX_WAITING: usize = 256;

/// One request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleRecord {
    /// When it ended.
    pub at: SystemTime,
    /// HTTP method; empty for a connection.
    pub method: String,
    /// Path without query, cut.
    pub path: String,
    /// What the mesh said; empty where the application answered so.
    pub detail: String,
    /// Its trace.
    pub trace_id: Option<[u8; 16]>,
    /// Who answered, or was tried last.
    pub endpoint: Option<SocketAddr>,
    /// How long it took.
    pub duration: Duration,
    /// How many of its kind there were.
    pub count: u64,
    /// Attempts that were made.
    pub attempts: u32,
    /// Which rule of the policy decided, from 1; 0: none of them fits.
    pub rule: usize,
}

/// What tells failures with one code apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Way {
    /// In which way it failed, if more is known than the code says.
    pub reason: Option<Reason>,
    /// The policy that decided.
    pub policy: Option<Name>,
    /// The callee's proxy failed it.
    pub by_callee: bool,
}

/// All that makes a kind.
type Key = (SeriesKey, Way);

/// An example of each kind.
#[derive(Debug, Default)]
pub(crate) struct Examples {
    all: HashMap<Key, ExampleRecord>,
    /// Failures of kinds that found no room.
    pub(crate) dropped: u64,
}

impl Examples {
    /// Counts a failure; the first of its kind is made the example.
    pub(crate) fn note(&mut self, key: &SeriesKey, why: Way, make: impl FnOnce() -> ExampleRecord) {
        let full = self.all.len() >= MAX_OF_WORKER;
        match self.all.entry((key.clone(), why)) {
            Entry::Occupied(mut known) => known.get_mut().count += 1,
            Entry::Vacant(_) if full => self.dropped += 1,
            Entry::Vacant(place) => drop(place.insert(make())),
        }
    }

    /// Adds those of a worker; the newer example of a kind stays.
    pub(crate) fn merge(&mut self, other: Self) {
        self.dropped += other.dropped;
        for (key, example) in other.all {
            let full = self.all.len() >= MAX_WAITING;
            match self.all.entry(key) {
                Entry::Occupied(mut known) => {
                    let count = known.get().count + example.count;
                    known.insert(ExampleRecord { count, ..example });
                }
                Entry::Vacant(_) if full => self.dropped += 1,
                Entry::Vacant(place) => drop(place.insert(example)),
            }
        }
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.dropped == 0
    }

    /// All of them.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = (Key, ExampleRecord)> {
        self.all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::worker::tests::key;
    use super::*;

    fn example(path: &str) -> ExampleRecord {
        ExampleRecord {
            at: SystemTime::UNIX_EPOCH,
            method: "GET".to_owned(),
            path: path.to_owned(),
            detail: "nobody is there".to_owned(),
            trace_id: None,
            endpoint: None,
            duration: Duration::ZERO,
            count: 1,
            attempts: 1,
            rule: 0,
        }
    }

    #[test]
    fn a_kind_has_one_example_and_all_are_counted() {
        let mut one = Examples::default();
        one.note(&key("a", 503), Way::default(), || example("/first"));
        one.note(&key("a", 503), Way::default(), || unreachable!("there is one"));
        let mut sum = Examples::default();
        sum.merge(one);
        let mut two = Examples::default();
        two.note(&key("a", 503), Way::default(), || example("/newer"));
        sum.merge(two);
        let all: Vec<_> = sum.into_iter().map(|(_, one)| (one.path, one.count)).collect();
        assert_eq!(all, [("/newer".to_owned(), 3)]);
    }

    #[test]
    fn ways_to_fail_are_kinds_of_their_own() {
        let mut examples = Examples::default();
        for reason in [Reason::Refused, Reason::Unreachable, Reason::Refused] {
            let why = Way { reason: Some(reason), ..Way::default() };
            examples.note(&key("a", 503), why, || example("/"));
        }
        let counts: Vec<_> = examples.into_iter().map(|(_, one)| one.count).collect();
        assert_eq!((counts.len(), counts.iter().sum()), (2, 3_u64));
    }

    #[test]
    fn kinds_too_many_are_counted() {
        let mut sum = Examples::default();
        for worker in 0..5 {
            let mut examples = Examples::default();
            for n in 0..=MAX_OF_WORKER {
                examples.note(&key(&format!("{worker}-{n}"), 503), Way::default(), || example("/"));
            }
            assert_eq!(examples.dropped, 1);
            sum.merge(examples);
        }
        assert_eq!((sum.all.len(), sum.dropped), (MAX_WAITING, 5 + 64));
        assert!(!sum.is_empty());
    }
}
