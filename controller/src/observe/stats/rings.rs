//! What one series counted over time: each second of the last two minutes, each minute of the last hour. The slot that is counted in
//! is as it is worked with; one that has passed is [`Packed`]: most of what a controller holds is these. It must not know whose
//! series it is.

mod packed;

use std::collections::VecDeque;

use super::super::histogram::Histogram;
use super::When;
use packed::Packed;

/// Seconds that are kept each by itself.
const FINE: u64 = 120;
/// Seconds that are kept at all.
pub(super) const KEPT: u64 = 3600;
/// Seconds of a coarse slot.
const COARSE: u64 = 60;
/// Most failure codes of one series; the mesh has about fifteen.
const MAX_CODES: usize = 24;

/// What was counted in a while.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) mesh_failures: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) latency_sum_us: u64,
    pub(super) latency: Histogram,
    pub(super) codes: Vec<(String, u64)>,
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.failures = self.failures.saturating_add(other.failures);
        self.mesh_failures = self.mesh_failures.saturating_add(other.mesh_failures);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.latency_sum_us = self.latency_sum_us.saturating_add(other.latency_sum_us);
        self.latency.merge(&other.latency);
        for (code, count) in &other.codes {
            self.add_code(code, *count);
        }
    }

    fn add_code(&mut self, code: &str, count: u64) {
        if let Some((_, now)) = self.codes.iter_mut().find(|(known, _)| known == code) {
            *now = now.saturating_add(count);
        } else if self.codes.len() < MAX_CODES {
            self.codes.push((code.to_owned(), count));
        }
    }
}

/// Seconds and minutes of a series.
#[derive(Debug)]
pub(super) struct Rings {
    fine: Ring,
    coarse: Ring,
}

impl Default for Rings {
    fn default() -> Self {
        Self { fine: Ring::new(1, FINE), coarse: Ring::new(COARSE, KEPT) }
    }
}

impl Rings {
    /// Counts in the slots of the second when it happened.
    pub(super) fn add(&mut self, cell: &Cell, when: When) {
        self.fine.add(cell, when);
        self.coarse.add(cell, when);
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: u64) {
        self.fine.expire(now);
        self.coarse.expire(now);
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.coarse.newest.is_none() && self.coarse.passed.is_empty()
    }

    /// All of the last seconds; of more than two minutes, to the minute.
    pub(super) fn sum(&self, window: u64, now: u64) -> Cell {
        let ring = if window < FINE { &self.fine } else { &self.coarse };
        ring.sum(now.saturating_sub(window))
    }
}

/// Slots of one width.
#[derive(Debug)]
struct Ring {
    /// Seconds of a slot.
    width: u64,
    /// Seconds that are kept.
    kept: u64,
    newest: Option<(u64, Cell)>,
    passed: VecDeque<(u64, Packed)>,
}

impl Ring {
    fn new(width: u64, kept: u64) -> Self {
        Self { width, kept, newest: None, passed: VecDeque::new() }
    }

    fn add(&mut self, cell: &Cell, When { now, late }: When) {
        // For a clock that went back it is the newest slot still.
        let newest = self.newest.as_ref().map_or(0, |(at, _)| *at);
        let slot = now.max(newest * self.width).saturating_sub(late) / self.width;
        match &mut self.newest {
            Some((at, newest)) if *at == slot => newest.add(cell),
            Some((at, _)) if *at > slot => self.add_passed(cell, slot),
            newest => {
                let before = newest.replace((slot, cell.clone()));
                self.passed.extend(before.map(|(at, cell)| (at, Packed::from(&cell))));
            }
        }
        self.expire(now);
    }

    /// In a slot before the newest. One that is too old goes with what is.
    fn add_passed(&mut self, cell: &Cell, slot: u64) {
        match self.passed.binary_search_by_key(&slot, |(at, _)| *at) {
            Ok(found) => {
                if let Some((_, packed)) = self.passed.get_mut(found) {
                    let mut known = cell.clone();
                    packed.add_to(&mut known);
                    *packed = Packed::from(&known);
                }
            }
            Err(place) => self.passed.insert(place, (slot, Packed::from(cell))),
        }
    }

    fn last_second(&self, slot: u64) -> u64 {
        slot * self.width + (self.width - 1)
    }

    fn expire(&mut self, now: u64) {
        let is_old = |at: u64| at * self.width + (self.width - 1) + self.kept <= now;
        while self.passed.front().is_some_and(|(at, _)| is_old(*at)) {
            self.passed.pop_front();
        }
        if self.newest.as_ref().is_some_and(|(at, _)| is_old(*at)) {
            self.newest = None;
        }
    }

    /// Everything after the second `begin`, whole slots.
    fn sum(&self, begin: u64) -> Cell {
        let mut sum = Cell::default();
        for (_, packed) in self.passed.iter().filter(|(at, _)| self.last_second(*at) > begin) {
            packed.add_to(&mut sum);
        }
        if let Some((_, newest)) = self.newest.as_ref().filter(|(at, _)| self.last_second(*at) > begin) {
            sum.add(newest);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_time;
    use super::*;

    fn one() -> Cell {
        Cell { requests: 1, ..Cell::default() }
    }

    #[test]
    fn what_comes_late_counts_when_it_happened() {
        let mut rings = Rings::default();
        for second in 10_000..10_010 {
            rings.add(&one(), on_time(second));
        }
        // Into a slot that is there, into one that is not, and into one that is not kept.
        rings.add(&one(), When { now: 10_010, late: 7 });
        rings.add(&one(), When { now: 10_010, late: 60 });
        rings.add(&one(), When { now: 10_010, late: 2 * KEPT });
        rings.add(&one(), When { now: 10_010, late: 0 });
        assert_eq!(rings.sum(5, 10_010).requests, 5, "10,006 to 10,010");
        assert_eq!(rings.sum(8, 10_010).requests, 9, "and the one of 10,003");
        assert_eq!(rings.sum(100, 10_010).requests, 13);
        assert_eq!(rings.sum(KEPT, 10_010).requests, 13);
    }

    #[test]
    fn slots_are_bounded_whatever_the_clock_does() {
        let mut rings = Rings::default();
        for second in (0..10_000).chain((5_000..6_000).rev()) {
            rings.add(&one(), on_time(second));
        }
        let (fine, coarse) = (rings.fine.passed.len(), rings.coarse.passed.len());
        assert!(fine <= 120 && coarse <= 61, "{fine} {coarse}");
    }

    #[test]
    fn a_window_ends_with_the_slot_that_is_counted_in() {
        let mut rings = Rings::default();
        for second in 0..300 {
            rings.add(&one(), on_time(second));
        }
        assert_eq!(rings.sum(10, 299).requests, 10);
        assert_eq!(rings.sum(119, 299).requests, 119);
        // From the minute that has the first second of the window.
        assert_eq!(rings.sum(150, 299).requests, 180);
        rings.expire(299 + 2 * KEPT);
        assert!(rings.is_empty());
    }
}
