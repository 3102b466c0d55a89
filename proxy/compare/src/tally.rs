//! The sum of many pairs, in bounded memory. It must not know whose pairs, nor since when.

use std::collections::BTreeMap;

use crate::difference::{Found, Kind};

/// Places of one sum.
pub const MAX_PLACES: usize = 128;

/// How often answers were compared, and where they differed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Pairs of stable and candidate.
    pub compared: u64,
    /// Of those, without a difference.
    pub equal: u64,
    /// Pairs of two answers of the stable version.
    pub twins: u64,
    /// By place.
    pub places: BTreeMap<(String, Kind), Counts>,
    /// Differences at places that found no room.
    pub dropped: u64,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Pairs of stable and candidate that differ here.
    pub raw: u64,
    /// Pairs of stable and stable that differ here.
    pub noise: u64,
    /// The latest example of stable and candidate.
    pub stable: String,
    /// See there.
    pub candidate: String,
}

impl Counts {
    /// Adds what was counted later.
    pub fn merge(&mut self, later: Self) {
        self.raw = self.raw.saturating_add(later.raw);
        self.noise = self.noise.saturating_add(later.noise);
        if later.raw > 0 {
            (self.stable, self.candidate) = (later.stable, later.candidate);
        }
    }
}

impl Tally {
    /// Adds a pair of stable and candidate.
    pub fn pair(&mut self, found: Found) {
        self.compared += 1;
        self.equal += u64::from(found.is_empty());
        self.dropped = self.dropped.saturating_add(found.dropped);
        for one in found.all {
            let counts = Counts { raw: 1, noise: 0, stable: one.stable, candidate: one.other };
            self.add((one.place, one.kind), counts);
        }
    }

    /// Adds a pair of stable and stable.
    pub fn twins(&mut self, found: Found) {
        self.twins += 1;
        // What finds no room here is noise: nobody misses it.
        for one in found.all {
            self.add((one.place, one.kind), Counts { noise: 1, ..Counts::default() });
        }
    }

    /// Adds what was counted later.
    pub fn merge(&mut self, later: Self) {
        self.compared = self.compared.saturating_add(later.compared);
        self.equal = self.equal.saturating_add(later.equal);
        self.twins = self.twins.saturating_add(later.twins);
        self.dropped = self.dropped.saturating_add(later.dropped);
        for (place, counts) in later.places {
            self.add(place, counts);
        }
    }

    fn add(&mut self, place: (String, Kind), counts: Counts) {
        if let Some(known) = self.places.get_mut(&place) {
            known.merge(counts);
        } else if self.places.len() < MAX_PLACES {
            self.places.insert(place, counts);
        } else {
            self.dropped = self.dropped.saturating_add(counts.raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difference::Difference;

    fn found(places: &[&str]) -> Found {
        let one = |place: &&str| Difference {
            place: (*place).to_owned(),
            kind: Kind::Value,
            stable: format!("{place}1"),
            other: format!("{place}2"),
        };
        Found { all: places.iter().map(one).collect(), dropped: 0 }
    }

    #[test]
    fn pairs_and_twins_are_counted_by_place() {
        let mut tally = Tally::default();
        tally.pair(found(&["$.a", "$.b"]));
        tally.pair(found(&["$.a"]));
        tally.pair(found(&[]));
        tally.twins(found(&["$.b"]));
        tally.twins(found(&[]));
        assert_eq!((tally.compared, tally.equal, tally.twins, tally.dropped), (3, 1, 2, 0));
        let counts: Vec<_> =
            tally.places.iter().map(|((place, _), it)| (place.as_str(), it.raw, it.noise)).collect();
        assert_eq!(counts, [("$.a", 2, 0), ("$.b", 1, 1)]);
        assert_eq!(tally.places[&("$.b".to_owned(), Kind::Value)].candidate, "$.b2", "noise is no example");
        let mut sum = tally.clone();
        sum.merge(tally);
        assert_eq!((sum.compared, sum.equal, sum.twins), (6, 2, 4));
        assert_eq!(sum.places[&("$.a".to_owned(), Kind::Value)].raw, 4);
    }

    #[test]
    fn places_too_many_are_counted_and_known_ones_go_on() {
        let mut tally = Tally::default();
        for n in 0..MAX_PLACES + 5 {
            tally.pair(found(&[&format!("$.k{n}")]));
            tally.twins(found(&[&format!("$.t{n}")]));
        }
        assert_eq!(tally.places.len(), MAX_PLACES);
        assert!(tally.dropped > 0);
        let before = tally.dropped;
        tally.pair(found(&["$.k0"]));
        assert_eq!((tally.places[&("$.k0".to_owned(), Kind::Value)].raw, tally.dropped), (2, before));
    }
}
