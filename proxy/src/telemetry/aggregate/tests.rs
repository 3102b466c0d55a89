//! Sums over workers: everything once in the totals and once in what the controller is told.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::telemetry::worker::tests::{key, span};

fn delta(series: &[(&str, u64)]) -> WorkerDelta {
    let one = |(route, requests): &(&str, u64)| {
        let mut sum = SeriesDelta { requests: *requests, bytes_in: requests * 2, ..SeriesDelta::default() };
        sum.latency.add(5, *requests);
        (key(route, 200), sum)
    };
    WorkerDelta { series: series.iter().map(one).collect(), ..WorkerDelta::default() }
}

fn requests(batch: &[(SeriesKey, SeriesDelta)]) -> u64 {
    batch.iter().map(|(_, sum)| sum.requests).sum()
}

#[test]
fn beyond_the_bound_totals_stay_right_and_it_is_counted() {
    let mut sums = Aggregate::with_limit(2);
    sums.merge(delta(&[("a", 1), ("b", 1), ("c", 3), ("d", 4)]));
    assert_eq!(sums.totals.outcomes.shown(Duration::ZERO).count(), 3);
    assert_eq!(sums.totals.outcomes.shown(Duration::ZERO).map(|(_, sum)| sum.requests).sum::<u64>(), 9);
    assert_eq!(sums.overflows, 8, "of two series in three tables, and of what waits");
    assert_eq!(requests(&sums.take_batch()), 9);
    assert!(!sums.has_batch());
}

#[test]
fn spans_beyond_the_bound_are_dropped_and_told() {
    let mut sums = Aggregate::default();
    let spans = (0..MAX_SPANS + 5).map(|_| span("/")).collect();
    sums.merge(WorkerDelta { spans, spans_dropped: 2, ..WorkerDelta::default() });
    let (first, dropped) = sums.take_spans(500);
    assert_eq!((first.len(), dropped), (500, 7));
    let (rest, dropped) = sums.take_spans(MAX_SPANS);
    assert_eq!((rest.len(), dropped), (MAX_SPANS - 500, 0));
    assert_eq!(sums.spans_dropped, 7);
}

#[test]
fn open_connections_are_what_was_opened_and_not_closed() {
    let mut sums = Aggregate::default();
    sums.merge(WorkerDelta { opened: [3, 2], ..WorkerDelta::default() });
    sums.merge(WorkerDelta { closed: [1, 2], ..WorkerDelta::default() });
    assert_eq!(sums.open_connections(), 2);
}

proptest! {
    #[test]
    fn every_request_is_in_exactly_one_batch(
        steps in prop::collection::vec((0usize..6, 0u64..100, prop::bool::ANY), 0..60),
        limit in 1usize..6,
    ) {
        let routes = ["a", "b", "c", "d", "e", "f"];
        let (mut sums, mut told, mut counted) = (Aggregate::with_limit(limit), 0, 0);
        for (route, count, take) in steps {
            sums.merge(delta(&[(routes[route], count)]));
            counted += count;
            if take {
                told += requests(&sums.take_batch());
            }
        }
        told += requests(&sums.take_batch());
        prop_assert_eq!(told, counted);
        prop_assert_eq!(sums.totals.outcomes.shown(Duration::ZERO).map(|(_, sum)| sum.requests).sum::<u64>(), counted);
        prop_assert_eq!(sums.totals.traffic.shown(Duration::ZERO).map(|(_, sum)| sum.latency.count()).sum::<u64>(), counted);
    }
}
