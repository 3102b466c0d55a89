//! How answers to copies of requests compare with those of the backend, of the last hour, by rule and mirror. Pure: time is an argument.
//! Counts are kept by five minutes. Bounded: what finds no room is counted; what was not seen for longest makes room.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};

use mesh_compare::difference::{MAX_EXAMPLE, MAX_PLACE};
use mesh_compare::tally::MAX_PLACES;
use mesh_proto::inspect::v1::ComparisonsRequest;
use mesh_proto::report::v1::{Comparison, Difference, DifferenceKind};

use super::span::cut;

/// Rules and mirrors; each has 128 places of half a kilobyte at most.
pub const MAX_SUMS: usize = 256;
/// Seconds that are kept.
const KEPT: u64 = 3600;
/// Seconds whose counts are one.
const SLOT: u64 = 300;
const MAX_TEXT: usize = 600;

/// The rule, both Services and their ports.
type Key = ([String; 5], u32, u32);

/// Counts by slot, ascending; at most 13.
type Slots<const N: usize> = VecDeque<(u64, [u64; N])>;

#[derive(Debug, Default)]
struct Sum {
    /// Compared, equal, twins, dropped.
    counts: Slots<4>,
    places: BTreeMap<(String, i32), Place>,
}

#[derive(Debug, Default)]
struct Place {
    /// Raw, noise.
    counts: Slots<2>,
    stable: String,
    candidate: String,
}

fn add<const N: usize>(slots: &mut Slots<N>, slot: u64, more: [u64; N]) {
    match slots.back_mut() {
        Some((at, sum)) if *at >= slot => {
            for (sum, more) in sum.iter_mut().zip(more) {
                *sum = sum.saturating_add(more);
            }
        }
        _ => slots.push_back((slot, more)),
    }
}

fn since<const N: usize>(slots: &Slots<N>, first: u64) -> [u64; N] {
    let mut sums = [0_u64; N];
    for (_, counts) in slots.iter().filter(|(slot, _)| *slot >= first) {
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum = sum.saturating_add(*count);
        }
    }
    sums
}

fn forget<const N: usize>(slots: &mut Slots<N>, first: u64) {
    while slots.front().is_some_and(|(slot, _)| *slot < first) {
        slots.pop_front();
    }
}

/// The comparisons.
#[derive(Debug, Default)]
pub struct Comparisons {
    sums: HashMap<Key, Sum>,
    overflow: u64,
}

impl Comparisons {
    /// Adds what a proxy reported.
    pub fn record(&mut self, comparisons: Vec<Comparison>, now_ms: u64) {
        let slot = now_ms / 1000 / SLOT;
        for comparison in comparisons {
            let key = key(&comparison);
            if !self.sums.contains_key(&key) && self.sums.len() >= MAX_SUMS {
                self.overflow = self.overflow.saturating_add(1);
                let last = |sum: &Sum| sum.counts.back().map_or(0, |(slot, _)| *slot);
                let oldest = self.sums.iter().min_by_key(|(_, sum)| last(sum)).map(|(key, _)| key.clone());
                if let Some(oldest) = oldest {
                    self.sums.remove(&oldest);
                }
            }
            self.sums.entry(key).or_default().add(comparison, slot);
        }
    }

    /// A proxy says that it had no room for so many.
    pub fn lost(&mut self, pairs: u64) {
        self.overflow = self.overflow.saturating_add(pairs);
    }

    /// Forgets what is older than an hour.
    pub fn expire(&mut self, now_ms: u64) {
        let first = (now_ms / 1000).saturating_sub(KEPT) / SLOT;
        self.sums.retain(|_, sum| {
            forget(&mut sum.counts, first);
            sum.places.retain(|_, place| {
                forget(&mut place.counts, first);
                !place.counts.is_empty()
            });
            !sum.counts.is_empty()
        });
    }

    /// How many rules and mirrors there are.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// How many found no room.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Those that are asked for, of the window.
    pub fn rows(&self, request: &ComparisonsRequest, now_ms: u64) -> Vec<Comparison> {
        let window =
            if request.window_seconds == 0 { KEPT } else { u64::from(request.window_seconds).min(KEPT) };
        let first = (now_ms / 1000).saturating_sub(window) / SLOT;
        let is_asked = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
        let asked = self.sums.iter().filter(|((names, ..), _)| {
            let [_, _, _, namespace, candidate] = names;
            is_asked(&request.namespace, namespace) && is_asked(&request.candidate, candidate)
        });
        let mut rows: Vec<_> = asked.filter_map(|(key, sum)| sum.row(key, first)).collect();
        rows.sort_by_key(key);
        rows
    }
}

impl Sum {
    fn add(&mut self, comparison: Comparison, slot: u64) {
        let mut dropped = comparison.dropped;
        for mut difference in comparison.differences {
            // A kind of a later version cannot be told.
            if !matches!(DifferenceKind::try_from(difference.kind), Ok(kind) if kind != DifferenceKind::Unspecified)
            {
                continue;
            }
            cut(&mut difference.place, MAX_PLACE);
            let Difference { place, kind, raw, noise, mut stable, mut candidate } = difference;
            let is_full = self.places.len() >= MAX_PLACES;
            let known = match self.places.entry((place, kind)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(_) if is_full => {
                    dropped = dropped.saturating_add(raw);
                    continue;
                }
                Entry::Vacant(room) => room.insert(Place::default()),
            };
            add(&mut known.counts, slot, [raw, noise]);
            if raw > 0 {
                cut(&mut stable, MAX_EXAMPLE);
                cut(&mut candidate, MAX_EXAMPLE);
                (known.stable, known.candidate) = (stable, candidate);
            }
        }
        let counts = [comparison.compared, comparison.equal, comparison.twins, dropped];
        add(&mut self.counts, slot, counts);
    }

    fn row(&self, (names, stable_port, candidate_port): &Key, first: u64) -> Option<Comparison> {
        let [compared, equal, twins, dropped] = since(&self.counts, first);
        if compared == 0 && dropped == 0 {
            return None;
        }
        let [route, stable_namespace, stable, candidate_namespace, candidate] = names.clone();
        let difference = |((place, kind), known): (&(String, i32), &Place)| {
            let [raw, noise] = since(&known.counts, first);
            (raw > 0 || noise > 0).then(|| Difference {
                place: place.clone(),
                kind: *kind,
                raw,
                noise,
                stable: known.stable.clone(),
                candidate: known.candidate.clone(),
            })
        };
        Some(Comparison {
            route,
            stable_namespace,
            stable,
            stable_port: *stable_port,
            candidate_namespace,
            candidate,
            candidate_port: *candidate_port,
            compared,
            equal,
            twins,
            differences: self.places.iter().filter_map(difference).collect(),
            dropped,
        })
    }
}

/// What is one comparison, whoever reports it.
pub fn key(comparison: &Comparison) -> Key {
    let it = comparison;
    let mut names = [&it.route, &it.stable_namespace, &it.stable, &it.candidate_namespace, &it.candidate]
        .map(String::clone);
    for name in &mut names {
        cut(name, MAX_TEXT);
    }
    (names, it.stable_port, it.candidate_port)
}

/// Adds up what several replicas know.
pub fn together(all: impl IntoIterator<Item = Comparison>) -> Vec<Comparison> {
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    for one in all {
        sums.entry(key(&one)).or_default().add(one, 0);
    }
    sums.iter().filter_map(|(key, sum)| sum.row(key, 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_100_000;

    fn difference(place: &str, raw: u64, noise: u64) -> Difference {
        Difference {
            place: place.into(),
            kind: DifferenceKind::Value.into(),
            raw,
            noise,
            stable: format!("old {raw}"),
            candidate: format!("new {raw}"),
        }
    }

    fn comparison(candidate: &str, differences: Vec<Difference>) -> Comparison {
        Comparison {
            route: "httproute/shop/cart#0".into(),
            stable_namespace: "shop".into(),
            stable: "cart-v1".into(),
            stable_port: 80,
            candidate_namespace: "shop".into(),
            candidate: candidate.into(),
            candidate_port: 80,
            compared: 10,
            equal: 4,
            twins: 5,
            differences,
            dropped: 0,
        }
    }

    fn ask(all: &Comparisons, window_seconds: u32, now_ms: u64) -> Vec<Comparison> {
        all.rows(&ComparisonsRequest { window_seconds, ..ComparisonsRequest::default() }, now_ms)
    }

    #[test]
    fn reports_are_added_up_by_place_and_window() {
        let mut all = Comparisons::default();
        all.record(vec![comparison("v2", vec![difference("$.a", 3, 1)])], START);
        all.record(
            vec![comparison("v2", vec![difference("$.a", 2, 0), difference("$.b", 0, 4)])],
            START + 600_000,
        );
        let [row] = &ask(&all, 0, START + 600_000)[..] else { panic!() };
        assert_eq!((row.compared, row.equal, row.twins), (20, 8, 10));
        let counts: Vec<_> =
            row.differences.iter().map(|it| (&*it.place, it.raw, it.noise, &*it.stable)).collect();
        assert_eq!(counts, [("$.a", 5, 1, "old 2"), ("$.b", 0, 4, "")]);
        let [row] = &ask(&all, 60, START + 600_000)[..] else { panic!() };
        assert_eq!((row.compared, row.differences[0].raw), (10, 2));
        let only = ComparisonsRequest { candidate: "other".into(), ..ComparisonsRequest::default() };
        assert_eq!(all.rows(&only, START), []);
        all.expire(START + 3_600_000 + 2 * 300_000);
        assert_eq!(ask(&all, 0, START + 3_600_000)[0].compared, 10);
        all.expire(START + 3 * 3_600_000);
        assert!(all.is_empty());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_the_oldest_makes_room() {
        let mut all = Comparisons::default();
        for n in 0..=MAX_SUMS {
            all.record(vec![comparison(&format!("v{n}"), vec![])], START + (n as u64) * 400_000);
        }
        assert_eq!((all.len(), all.overflow()), (MAX_SUMS, 1));
        let mut all = Comparisons::default();
        let many = (0..MAX_PLACES + 2).map(|n| difference(&format!("$.k{n}"), 7, 0)).collect();
        all.record(vec![comparison("v2", many)], START);
        let [row] = &ask(&all, 0, START)[..] else { panic!() };
        assert_eq!((row.differences.len(), row.dropped), (MAX_PLACES, 14));
    }

    #[test]
    fn what_a_proxy_says_is_cut_and_a_kind_of_later_is_left_out() {
        let long = "x".repeat(5_000);
        let mut all = Comparisons::default();
        let wrong = Difference { kind: 99, ..difference("$.b", 1, 0) };
        let text = Difference { stable: long.clone(), ..difference(&long, 1, 0) };
        all.record(vec![Comparison { route: long.clone(), ..comparison(&long, vec![wrong, text]) }], START);
        let [row] = &ask(&all, 0, START)[..] else { panic!() };
        assert_eq!((row.route.len(), row.candidate.len(), row.differences.len()), (600, 600, 1));
        assert_eq!(
            (row.differences[0].place.len(), row.differences[0].stable.len()),
            (MAX_PLACE, MAX_EXAMPLE)
        );
    }

    #[test]
    fn replicas_are_added_up() {
        let all = together([
            comparison("v2", vec![difference("$.a", 1, 0)]),
            comparison("v3", vec![]),
            comparison("v2", vec![difference("$.a", 2, 1)]),
        ]);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].compared, all[0].differences[0].raw, all[0].differences[0].noise), (20, 3, 1));
    }
}
