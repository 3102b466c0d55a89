//! Traces put together, whole and not.

use proptest::prelude::*;

use super::*;

const WEB: Reporter<'_> = Reporter { namespace: "shop", workload: "web" };
const CART: Reporter<'_> = Reporter { namespace: "shop", workload: "cart" };

fn span(trace: u8, id: u8, parent: u8, side: Side, start: u64) -> Span {
    Span {
        trace_id: vec![trace; 16].into(),
        span_id: vec![id; 8].into(),
        parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] }.into(),
        side: side.into(),
        source_workload: "web".into(),
        destination_workload: "cart".into(),
        method: "GET".into(),
        path: "/".into(),
        security: Security::Mtls.into(),
        start_us: start,
        duration_us: 10,
        ..Span::default()
    }
}

/// web → cart → db: two hops of two spans.
fn whole() -> Vec<Span> {
    vec![
        span(1, 1, 0, Side::Outbound, 1_000_000),
        span(1, 2, 1, Side::Inbound, 1_000_001),
        span(1, 3, 2, Side::Outbound, 1_000_002),
        span(1, 4, 3, Side::Inbound, 1_000_003),
    ]
}

#[test]
fn a_whole_trace_is_handed_on_after_a_quiet_while() {
    let mut traces = Traces::default();
    for (n, span) in whole().into_iter().rev().enumerate() {
        traces.record(
            if span.side == Side::Outbound as i32 { WEB } else { CART },
            "i",
            vec![span],
            1_000 + n as u64,
        );
    }
    assert_eq!(traces.settle(1_003 + QUIET_MS - 1, 0), []);
    let done = traces.settle(1_003 + QUIET_MS, 0);
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].missing, Vec::<String>::new());
    let starts: Vec<u64> = done[0].spans.iter().map(|span| span.start_us).collect();
    assert_eq!(starts, [1_000_000, 1_000_001, 1_000_002, 1_000_003]);
    assert_eq!(traces.open(), 0);
}

#[test]
fn every_missing_hop_is_told() {
    assert_eq!(missing(&whole()), Vec::<String>::new());
    for (lost, told) in [
        (0, vec!["the caller's span of the call from web to cart (GET /)"]),
        (
            1,
            vec![
                "the callee's span of the call from web to cart (GET /)",
                "what came before the call from web to cart (GET /)",
            ],
        ),
        (2, vec!["the caller's span of the call from web to cart (GET /)"]),
        (3, vec!["the callee's span of the call from web to cart (GET /)"]),
    ] {
        let mut spans = whole();
        spans.remove(lost);
        assert_eq!(missing(&spans), told, "without span {lost}");
    }
}

#[test]
fn a_trace_that_a_caller_outside_began_is_whole() {
    let mut spans = whole();
    spans[0].parent_span_id = vec![99; 8].into();
    assert_eq!(missing(&spans), Vec::<String>::new());
    let mut plain = span(1, 2, 99, Side::Inbound, 1);
    plain.security = Security::Plaintext.into();
    assert_eq!(missing(&[plain]), Vec::<String>::new());
}

#[test]
fn a_call_that_never_arrived_needs_no_span_of_its_callee() {
    let failed = Span { failure: "connect_failed".into(), ..span(1, 1, 0, Side::Outbound, 1) };
    assert_eq!(missing(&[failed]), Vec::<String>::new());
}

#[test]
fn an_incomplete_trace_waits_longer_and_then_says_what_is_missing() {
    let mut traces = Traces::default();
    traces.record(WEB, "i", whole()[..1].to_vec(), 1_000);
    assert_eq!(traces.settle(1_000 + PATIENCE_MS - 1, 0), []);
    let done = traces.settle(1_000 + PATIENCE_MS, 0);
    assert_eq!(done[0].missing.len(), 1);
    traces.record(CART, "i", whole()[1..2].to_vec(), 20_000);
    assert_eq!((traces.open(), traces.dropped()), (0, 1), "too late");
}

#[test]
fn a_trace_from_before_all_proxies_reported_is_not_called_incomplete() {
    let mut traces = Traces::default();
    // Begins at 1000 ms; more traces are wanted since 500 ms.
    traces.record(WEB, "i", whole()[..1].to_vec(), 1_000);
    assert_eq!(traces.settle(1_000 + PATIENCE_MS, 500), []);
    assert_eq!(traces.open(), 0);
}

#[test]
fn bounds_are_kept_and_counted() {
    let mut traces = Traces::default();
    let many = |n: usize| -> Vec<Span> {
        (0..n)
            .map(|i| Span {
                span_id: (i as u64).to_be_bytes().to_vec().into(),
                ..span(1, 1, 0, Side::Outbound, 1)
            })
            .collect()
    };
    traces.record(WEB, "i", many(MAX_SPANS + 3), 1);
    assert_eq!(traces.dropped(), 3);
    let others = (0..MAX_OPEN + 5).map(|i| {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&(i as u64).to_be_bytes());
        Span { trace_id: id.to_vec().into(), ..span(1, 1, 0, Side::Outbound, 1) }
    });
    traces.record(WEB, "i", others.collect(), 1);
    assert_eq!((traces.open(), traces.dropped()), (MAX_OPEN, 3 + 6));
    traces.record(WEB, "i", vec![Span { trace_id: vec![1; 3].into(), ..Span::default() }], 1);
    assert_eq!(traces.dropped(), 10, "a trace id that is none");
}

#[test]
fn a_proxy_speaks_for_itself_only() {
    let mut traces = Traces::default();
    traces.record(CART, "i", vec![span(1, 1, 0, Side::Outbound, 1)], 1);
    let done = traces.settle(1 + PATIENCE_MS, 0);
    assert_eq!(done[0].spans[0].source_workload, "cart");
}

proptest! {
    /// A chain of any length is whole, and without any one of its spans it is not.
    #[test]
    fn chains_are_whole_and_broken_chains_are_not(hops in 1_u8..20, lost in 0_usize..40) {
        let spans: Vec<Span> = (0..hops * 2)
            .map(|n| span(1, n + 1, n, if n % 2 == 0 { Side::Outbound } else { Side::Inbound }, n.into()))
            .collect();
        prop_assert!(missing(&spans).is_empty());
        let mut broken = spans.clone();
        broken.remove(lost % spans.len());
        prop_assert!(!missing(&broken).is_empty());
    }
}
