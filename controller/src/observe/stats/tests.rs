//! Series over time, and what is asked about them.

use mesh_proto::report::v1::{Histogram as WireHistogram, Security};

use super::*;

const WEB: Reporter<'_> = Reporter { namespace: "shop", workload: "web" };
const CART: Reporter<'_> = Reporter { namespace: "shop", workload: "cart" };

/// Of what did not wait.
pub(super) fn on_time(now: u64) -> When {
    When { now, late: 0 }
}

fn key(side: Side, source: &str, destination: &str) -> SeriesKey {
    SeriesKey {
        side: side.into(),
        source_namespace: if source.is_empty() { String::new() } else { "shop".into() },
        source_workload: source.into(),
        service_namespace: "shop".into(),
        service: "cart".into(),
        service_port: 80,
        destination_namespace: "shop".into(),
        destination_workload: destination.into(),
        protocol: "http".into(),
        status: 200,
        security: Security::Mtls.into(),
        ..SeriesKey::default()
    }
}

fn series(key: SeriesKey, requests: u64, index: u32) -> Series {
    let latency = Some(WireHistogram { indices: vec![index], counts: vec![requests] });
    Series { key: Some(key), requests, latency, ..Series::default() }
}

/// The answer of the only replica, with reports of these workloads besides those that told of calls.
fn query(stats: &Stats, request: &StatRequest, now: u64, reporters: &[(&str, &str)]) -> StatResponse {
    let reporter = |(namespace, workload): &(&str, &str)| WireReporter {
        namespace: (*namespace).to_owned(),
        workload: (*workload).to_owned(),
        service_account: String::new(),
    };
    let members = Members::default();
    let reporters = reporters.iter().map(reporter).chain(stats.callers()).collect();
    let all = StatResponse { reporters, ..stats.rows(request, now, &members) };
    let world = group::World { members: &members, services: &group::Behind::new() };
    group::answer(group::together(vec![all]), request, world)
}

fn ask(window_seconds: u32) -> StatRequest {
    StatRequest { window_seconds, ..StatRequest::default() }
}

#[test]
fn deltas_of_a_window_are_added_up() {
    let mut stats = Stats::default();
    for second in 0..200 {
        stats.record(WEB, &[series(key(Side::Outbound, "web", "cart"), 10, 80)], on_time(1_000 + second));
    }
    let rows = query(&stats, &ask(10), 1_199, &[]).rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].requests, 100);
    assert!((rows[0].rps - 10.0).abs() < 0.01);
    // Bucket 80 is 2^10 to 2^10.125 microseconds.
    assert!((1.02..1.13).contains(&rows[0].p50_ms), "{}", rows[0].p50_ms);
    // A window of minutes is taken from minutes; all of it is there.
    assert_eq!(query(&stats, &ask(3600), 1_199, &[]).rows[0].requests, 2_000);
}

#[test]
fn right_after_the_start_a_rate_is_over_the_time_there_was() {
    let mut stats = Stats::default();
    stats.record(WEB, &[series(key(Side::Outbound, "web", "cart"), 10, 80)], on_time(1_000));
    stats.record(WEB, &[series(key(Side::Outbound, "web", "cart"), 10, 80)], on_time(1_004));
    let response = query(&stats, &ask(60), 1_005, &[]);
    assert_eq!(response.window_seconds, 5);
}

#[test]
fn failures_are_counted_by_what_they_are() {
    let mut stats = Stats::default();
    let with = |status, grpc_status, failure: &str| {
        let key =
            SeriesKey { status, grpc_status, failure: failure.into(), ..key(Side::Outbound, "web", "cart") };
        series(key, 1, 8)
    };
    let all = [
        with(200, None, ""),
        with(404, None, ""),
        with(500, None, ""),
        with(503, None, "no_endpoints"),
        with(200, Some(5), ""),
        with(200, Some(14), "connect_failed"),
        with(404, None, "no_route"),
        with(0, None, "connect_failed"),
    ];
    stats.record(WEB, &all, on_time(10));
    let row = &query(&stats, &ask(10), 11, &[]).rows[0];
    assert_eq!((row.requests, row.failures, row.mesh_failures), (8, 4, 3));
    let codes: Vec<(&str, u64)> = row.failure_codes.iter().map(|f| (f.code.as_str(), f.count)).collect();
    assert_eq!(codes, [("connect_failed", 2), ("no_endpoints", 1), ("no_route", 1)]);
}

#[test]
fn each_request_is_shown_once_unless_a_side_is_asked_for() {
    let mut stats = Stats::default();
    stats.record(WEB, &[series(key(Side::Outbound, "web", "cart"), 5, 8)], on_time(10));
    let plain = SeriesKey { security: Security::Plaintext.into(), ..key(Side::Inbound, "", "cart") };
    let stranger = key(Side::Inbound, "job", "cart");
    stats.record(
        CART,
        &[series(key(Side::Inbound, "web", "cart"), 5, 8), series(plain, 2, 8), series(stranger, 1, 8)],
        on_time(10),
    );
    let shown = |side: Side| {
        let rows = query(&stats, &StatRequest { side: side.into(), ..ask(10) }, 11, &[]).rows;
        rows.iter().map(|row| (row.source_workload.clone(), row.side, row.requests)).collect::<Vec<_>>()
    };
    let (out, inside) = (Side::Outbound as i32, Side::Inbound as i32);
    assert_eq!(
        shown(Side::Unspecified),
        [(String::new(), inside, 2), ("job".into(), inside, 1), ("web".into(), out, 5)]
    );
    assert_eq!(shown(Side::Outbound), [("web".into(), out, 5)]);
    assert_eq!(shown(Side::Inbound).len(), 3);
    let job_reports = [("shop", "job")];
    let rows = query(&stats, &ask(10), 11, &job_reports).rows;
    assert!(rows.iter().all(|row| row.source_workload != "job"), "its own proxy will tell: {rows:?}");
}

#[test]
fn a_proxy_speaks_for_itself_only() {
    let mut stats = Stats::default();
    stats.record(
        WEB,
        &[
            series(key(Side::Outbound, "bank", "cart"), 1, 8),
            series(key(Side::Inbound, "cart", "bank"), 1, 8),
        ],
        on_time(10),
    );
    let rows = query(&stats, &ask(10), 11, &[]).rows;
    assert!(
        rows.iter().all(|row| row.source_workload == "web" || row.destination_workload == "web"),
        "{rows:?}"
    );
}

#[test]
fn rows_are_filtered_by_name_and_namespace() {
    let mut stats = Stats::default();
    stats.record(WEB, &[series(key(Side::Outbound, "web", "cart-v1"), 1, 8)], on_time(10));
    let count = |request: StatRequest| query(&stats, &request, 11, &[]).rows.len();
    assert_eq!(count(StatRequest { from: "web".into(), to: "cart".into(), ..ask(10) }), 1, "a service");
    assert_eq!(
        count(StatRequest { to: "shop/cart-v1".into(), ..ask(10) }),
        1,
        "a workload with its namespace"
    );
    assert_eq!(count(StatRequest { from: "cart".into(), ..ask(10) }), 0);
    assert_eq!(count(StatRequest { namespace: "bank".into(), ..ask(10) }), 0);
}

#[test]
fn what_is_older_than_an_hour_is_forgotten() {
    let mut stats = Stats::default();
    stats.record(WEB, &[series(key(Side::Outbound, "web", "cart"), 1, 8)], on_time(1_000));
    stats.expire(1_000 + 3_500);
    assert_eq!(stats.len(), 1);
    stats.expire(1_000 + 3_800);
    assert_eq!(stats.len(), 0);
}

#[test]
fn a_series_too_many_is_counted_and_not_kept() {
    let mut stats = Stats::default();
    for n in 0..=MAX_SERIES {
        let key = SeriesKey { route: format!("r{n}"), ..key(Side::Outbound, "web", "cart") };
        stats.record(WEB, &[series(key, 1, 8)], on_time(10));
    }
    assert_eq!((stats.len(), stats.overflow()), (MAX_SERIES, 1));
}
