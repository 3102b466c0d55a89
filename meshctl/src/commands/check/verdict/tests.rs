//! Every reason for which the check fails, and that it passes without one.

use super::*;

fn good() -> Measured {
    Measured {
        requests: 8000,
        failed: 0,
        skipped: 0,
        failures: Vec::new(),
        split: [5040, 560],
        mtls_requests: 30_000,
        plaintext_requests: 0,
        p50_ms: 2.5,
        p99_ms: 14.25,
        first_request: Duration::from_millis(1234),
        weight_change: Some(Duration::from_millis(210)),
        traces_seen: 160,
        traces_incomplete: 0,
        trace_gaps: Vec::new(),
        app_failures: 98,
        sync: Vec::new(),
        sidecars: Memory { median_kib: 9000, max_kib: 11_000 },
        controller_kib: 20_000,
    }
}

#[test]
fn good_numbers_have_no_problem() {
    assert_eq!(problems(&good()), Vec::<String>::new());
    insta::assert_snapshot!(text(&good(), &[], Paint::Plain));
    insta::assert_json_snapshot!(json(&good(), &[]));
}

#[test]
fn each_fault_alone_is_a_problem_that_says_what_it_is() {
    type Spoil = fn(&mut Measured);
    let cases: [(Spoil, &str); 12] = [
        (
            |m| {
                m.failed = 1;
                m.failures = vec!["GET /: 503 no_endpoints".into()];
            },
            "1 of 8000 requests failed; the first: GET /: 503 no_endpoints",
        ),
        (|m| m.split = [4860, 740], "v1 got 86.8 % of 5600 requests"),
        (|m| m.split = [5264, 336], "v1 got 94.0 % of 5600 requests"),
        (|m| m.split = [0, 5600], "v1 got 0.0 % of 5600 requests"),
        (|m| m.split = [810, 90], "only 900 requests came"),
        (|m| m.split = [0, 0], "only 0 requests came"),
        (|m| m.plaintext_requests = 1, "1 requests between sidecars were not encrypted"),
        (|m| m.mtls_requests = 7999, "sidecars reported 7999 requests with mutual TLS"),
        (|m| m.weight_change = None, "did not come into force"),
        (|m| m.traces_seen = 0, "no trace was seen"),
        (
            |m| {
                m.traces_incomplete = 2;
                m.trace_gaps = vec!["web → cart".into()];
            },
            "2 of 160 traces lack a hop: web → cart",
        ),
        (|m| m.sync = vec!["web.shop: behind".into()], "not up to date: web.shop: behind"),
    ];
    for (spoil, expected) in cases {
        let mut measured = good();
        spoil(&mut measured);
        let found = problems(&measured);
        assert_eq!(found.len(), 1, "{expected}: {found:?}");
        assert!(found[0].contains(expected), "{expected}: {found:?}");
    }
}

#[test]
fn three_points_off_are_accepted_and_no_more() {
    let at = |v1: u64| problems(&Measured { split: [v1, 10_000 - v1], ..good() }).is_empty();
    assert_eq!([8699, 8700, 9300, 9301].map(at), [false, true, true, false]);
}

#[test]
fn failures_of_the_application_itself_are_no_problem() {
    assert_eq!(problems(&Measured { app_failures: 5000, ..good() }), Vec::<String>::new());
}

#[test]
fn a_change_that_never_came_is_null_in_json() {
    let measured = Measured { weight_change: None, traces_seen: 0, ..good() };
    let json = json(&measured, &problems(&measured));
    assert_eq!(json["weight_change_ms"], Value::Null);
    assert_eq!(json["traces_complete"], false);
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(2));
}
