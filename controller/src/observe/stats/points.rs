//! The history of a series for sparklines: ten seconds a point, an hour of them. Pure. A point is sixteen bytes and one without
//! traffic is none, so a series has at most 360 of them, 5,760 bytes.

use std::collections::VecDeque;

use mesh_proto::inspect::v1::Point as WirePoint;

use super::super::histogram::Histogram;
use super::rings::{Cell, KEPT};

/// Seconds of a point.
const WIDTH: u64 = 10;

/// What has passed. Quantiles in eighths of octaves of a microsecond, which is as exact as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    slot: u32,
    requests: u32,
    failures: u32,
    p50: u16,
    p99: u16,
}

/// The points of a series.
#[derive(Debug, Default)]
pub(super) struct Points {
    newest: Option<(u64, Newest)>,
    passed: VecDeque<Point>,
}

#[derive(Debug, Default)]
struct Newest {
    requests: u64,
    failures: u64,
    latency: Histogram,
}

impl Newest {
    fn add(&mut self, cell: &Cell) {
        self.requests = self.requests.saturating_add(cell.requests);
        self.failures = self.failures.saturating_add(cell.failures);
        self.latency.merge(&cell.latency);
    }

    fn point(&self, slot: u64) -> Point {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let index = |q: f64| exponent(self.latency.quantile(q));
        Point {
            slot: small(slot),
            requests: small(self.requests),
            failures: small(self.failures),
            p50: index(0.5),
            p99: index(0.99),
        }
    }
}

/// A value as an eighth of an octave, rounded.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 400")]
fn exponent(us: f64) -> u16 {
    (us.max(1.0).log2() * 8.0).round().clamp(0.0, 400.0) as u16
}

impl Points {
    pub(super) fn add(&mut self, cell: &Cell, now: u64) {
        let slot = now / WIDTH;
        match &mut self.newest {
            // A clock that went back adds to the newest slot.
            Some((at, newest)) if *at >= slot => newest.add(cell),
            newest => {
                if let Some((at, before)) = newest.take() {
                    self.passed.push_back(before.point(at));
                }
                let (_, new) = newest.insert((slot, Newest::default()));
                new.add(cell);
            }
        }
        self.expire(now);
    }

    pub(super) fn expire(&mut self, now: u64) {
        let oldest = now.saturating_sub(KEPT) / WIDTH;
        while self.passed.front().is_some_and(|point| u64::from(point.slot) < oldest) {
            self.passed.pop_front();
        }
    }

    /// All of them, oldest first.
    pub(super) fn wire(&self) -> Vec<WirePoint> {
        let newest = self.newest.as_ref().map(|(slot, newest)| newest.point(*slot));
        self.passed.iter().copied().chain(newest).map(Point::wire).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.passed.len()
    }
}

impl Point {
    fn wire(self) -> WirePoint {
        let millis = |index: u16| (f64::from(index) / 8.0).exp2() / 1000.0;
        WirePoint {
            time: u64::from(self.slot) * WIDTH,
            requests: self.requests.into(),
            failures: self.failures.into(),
            p50_ms: millis(self.p50),
            p99_ms: millis(self.p99),
        }
    }
}

/// Adds the points of one row to those of another: counts are added, of quantiles the larger one is told.
pub(super) fn add(known: &mut Vec<WirePoint>, more: Vec<WirePoint>) {
    for point in more {
        match known.binary_search_by_key(&point.time, |known| known.time) {
            Ok(at) => {
                if let Some(here) = known.get_mut(at) {
                    here.requests += point.requests;
                    here.failures += point.failures;
                    here.p50_ms = here.p50_ms.max(point.p50_ms);
                    here.p99_ms = here.p99_ms.max(point.p99_ms);
                }
            }
            Err(at) => known.insert(at, point),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(requests: u64, index: u16) -> Cell {
        let mut latency = Histogram::default();
        latency.add(index, u32::try_from(requests).unwrap());
        Cell { requests, failures: 1, latency, ..Cell::default() }
    }

    #[test]
    fn an_hour_of_points_is_kept_and_no_more() {
        let mut points = Points::default();
        for second in 0..20_000 {
            points.add(&cell(1, 80), second);
        }
        assert!(points.len() <= 361, "{}", points.len());
        let all = points.wire();
        assert!(all.iter().all(|point| point.requests == 10 && point.failures == 10), "{all:?}");
        assert_eq!(all.last().map(|point| point.time), Some(19_990));
        // Bucket 80 is 2^10 to 2^10.125 microseconds.
        assert!(all.iter().all(|point| (1.0..1.2).contains(&point.p50_ms)), "{all:?}");
        points.expire(40_000);
        assert_eq!(points.len(), 0);
    }

    #[test]
    fn a_clock_that_went_back_loses_nothing() {
        let mut points = Points::default();
        points.add(&cell(1, 8), 100);
        points.add(&cell(2, 8), 50);
        assert_eq!(points.wire().iter().map(|point| point.requests).sum::<u64>(), 3);
    }

    #[test]
    fn rows_are_put_together_slot_by_slot() {
        let point = |time, requests, p99_ms| WirePoint { time, requests, failures: 0, p50_ms: 0.5, p99_ms };
        let mut known = vec![point(10, 1, 5.0), point(30, 1, 5.0)];
        add(&mut known, vec![point(10, 2, 9.0), point(20, 4, 1.0)]);
        let told: Vec<_> = known.iter().map(|p| (p.time, p.requests)).collect();
        assert_eq!(told, [(10, 3), (20, 4), (30, 1)]);
        assert!((known[0].p99_ms - 9.0).abs() < f64::EPSILON);
    }
}
