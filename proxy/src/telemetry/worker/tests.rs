//! The cells of a worker: nothing lost, nothing unbounded.

use std::time::SystemTime;

use super::*;
use crate::telemetry::{AppProtocol, Failure, KnownMethod, Recorded, Security, Side, Spent};

pub(crate) fn key(route: &str, status: u16) -> SeriesKey {
    SeriesKey {
        side: Side::Outbound,
        source: None,
        service: None,
        destination: None,
        route: Some(route.into()),
        protocol: AppProtocol::Http,
        method: KnownMethod::None,
        status,
        grpc_status: None,
        failure: (status == 503).then_some(Failure::NoEndpoints),
        security: Security::Mtls,
    }
}

pub(crate) fn span(path: &str) -> SpanRecord {
    SpanRecord {
        trace_id: [1; 16],
        span_id: [2; 8],
        parent_id: None,
        side: Side::Inbound,
        source: None,
        service: None,
        service_port: 0,
        destination: None,
        route: None,
        protocol: AppProtocol::Http,
        method: "GET".to_owned(),
        path: path.to_owned(),
        status: 200,
        grpc_status: None,
        failure: None,
        detail: String::new(),
        security: Security::Mtls,
        start: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
        duration: Duration::from_millis(3),
        first_byte: Some(Duration::from_millis(2)),
        peer: None,
        endpoint: None,
        bytes_in: 0,
        bytes_out: 0,
        spent: Spent::default(),
        attempts: Vec::new(),
        attempts_made: 0,
        ejected: Vec::new(),
        recorded: Recorded::Sampled,
    }
}

fn worker(queue: usize, limit: usize) -> (WorkerTelemetry, mpsc::Receiver<WorkerDelta>) {
    let (deltas, receiver) = mpsc::channel(queue);
    let logs = LogQueue::new(&Arc::default(), 1).0;
    let access = watch::Sender::new(None).subscribe();
    let seed = WorkerSeed {
        deltas,
        pairs: mpsc::channel(1).0,
        tracing_ppm: Arc::default(),
        board: Board::new().0,
        logs,
        access,
        counts: Counts::default(),
    };
    (seed.build_with_limit(limit), receiver)
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_flush_hands_over_what_was_counted_since_the_last() {
    let (worker, mut deltas) = worker(4, 10);
    let series = worker.series(&key("a", 200));
    series.record(MS, 10, 100);
    worker.series(&key("a", 200)).record(2 * MS, 1, 2);
    worker.connection_opened(Direction::Outbound);
    worker.count(Event::PeerIdentityMismatch);
    worker.flush().await;
    let delta = deltas.recv().await.unwrap();
    let [(found, sum)] = &delta.series[..] else { panic!("{delta:?}") };
    assert_eq!(*found, key("a", 200));
    assert_eq!((sum.requests, sum.latency_sum_us, sum.bytes_in, sum.bytes_out), (2, 3_000, 11, 102));
    assert_eq!(sum.latency.count(), 2);
    assert_eq!((delta.opened, delta.closed), ([0, 1], [0, 0]));
    assert_eq!(delta.events[Event::PeerIdentityMismatch.index()], 1);

    series.record(MS, 0, 0);
    worker.flush().await;
    let delta = deltas.recv().await.unwrap();
    assert_eq!(delta.series[0].1.requests, 1);
    assert_eq!(delta.series[0].1.latency.count(), 1);
    assert_eq!(delta.events, [0; Event::ALL.len()]);
}

#[tokio::test]
async fn when_the_control_thread_is_behind_the_cells_go_on_counting() {
    let (worker, mut deltas) = worker(1, 10);
    let series = worker.series(&key("a", 200));
    for _ in 0..5 {
        series.record(MS, 1, 1);
        worker.flush().await;
    }
    let first = deltas.recv().await.unwrap();
    worker.flush().await;
    let second = deltas.recv().await.unwrap();
    assert_eq!(first.series[0].1.requests + second.series[0].1.requests, 5);
    assert_eq!(second.events[Event::FlushDelayed.index()], 4);
}

#[tokio::test]
async fn beyond_the_bound_requests_are_counted_in_overflow_series() {
    let (worker, mut deltas) = worker(1, 3);
    for n in 0..50 {
        worker.series(&key(&format!("route-{n}"), if n % 2 == 0 { 200 } else { 503 })).record(MS, 0, 0);
    }
    worker.flush().await;
    let delta = deltas.recv().await.unwrap();
    assert_eq!(delta.overflows, 47);
    assert_eq!(delta.series.iter().map(|(_, sum)| sum.requests).sum::<u64>(), 50);
    let overflow: Vec<_> =
        delta.series.iter().filter(|(key, _)| key.route.as_deref() == Some("overflow")).collect();
    assert_eq!(overflow.len(), 2, "one a status class: {overflow:?}");
    assert!(overflow.iter().all(|(key, _)| [200, 500].contains(&key.status) && key.failure.is_none()));
}

#[tokio::test]
async fn overflow_series_are_bounded_whatever_the_status() {
    let (worker, _deltas) = worker(1, 0);
    for status in 0..u16::MAX {
        let _ = worker.series(&key("r", status));
    }
    assert!(worker.cells.overflow.borrow().len() <= 10, "{}", worker.cells.overflow.borrow().len());
}

#[tokio::test]
async fn a_series_that_nobody_uses_gives_its_place_back() {
    let (worker, mut deltas) = worker(1, 2);
    worker.series(&key("gone", 200)).record(MS, 0, 0);
    let held = worker.series(&key("held", 200));
    for _ in 0..=IDLE_FLUSHES + 1 {
        worker.flush().await;
        deltas.recv().await.unwrap();
    }
    assert_eq!(worker.cells.series.borrow().len(), 1);
    held.record(MS, 0, 0);
    worker.series(&key("new", 200)).record(MS, 0, 0);
    worker.flush().await;
    let delta = deltas.recv().await.unwrap();
    assert_eq!((delta.series.len(), delta.overflows), (2, 0));
}

#[tokio::test]
async fn spans_beyond_the_buffer_are_dropped_and_counted() {
    let (worker, mut deltas) = worker(1, 2);
    for _ in 0..MAX_SPANS + 7 {
        worker.span(span("/"));
    }
    worker.flush().await;
    let delta = deltas.recv().await.unwrap();
    assert_eq!((delta.spans.len(), delta.spans_dropped), (MAX_SPANS, 7));
}

#[tokio::test]
async fn a_long_path_is_cut_between_characters() {
    let (worker, mut deltas) = worker(1, 2);
    worker.span(span(&format!("/{}", "é".repeat(2_000))));
    worker.flush().await;
    let path = deltas.recv().await.unwrap().spans.remove(0).path;
    assert!(path.len() <= 1024 && path.ends_with('é'), "{}", path.len());
}

#[tokio::test]
async fn the_last_flush_waits_for_room() {
    let (worker, mut deltas) = worker(1, 2);
    let series = worker.series(&key("a", 200));
    series.record(MS, 0, 0);
    worker.flush().await;
    series.record(MS, 0, 0);
    let both = tokio::join!(worker.flush_last(Duration::from_secs(30)), async {
        (deltas.recv().await.unwrap(), deltas.recv().await.unwrap())
    });
    assert_eq!(both.1.1.series[0].1.requests, 1);
}
