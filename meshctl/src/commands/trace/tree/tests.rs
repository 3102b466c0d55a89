//! Trees of whole and of broken traces.

use mesh_proto::report::v1::{Attempt, Security, Timings};

use super::*;

fn span(id: u8, parent: u8, side: Side, from: &str, to: (&str, &str), time: (u64, u64)) -> Span {
    Span {
        trace_id: vec![0xab; 16].into(),
        span_id: vec![id; 8].into(),
        parent_span_id: if parent == 0 { Vec::new().into() } else { vec![parent; 8].into() },
        side: side.into(),
        source_namespace: "shop".into(),
        source_workload: from.into(),
        service_namespace: "shop".into(),
        service: to.0.into(),
        destination_namespace: "shop".into(),
        destination_workload: to.1.into(),
        method: "GET".into(),
        path: "/".into(),
        status: 200,
        security: Security::Mtls.into(),
        start_us: 1_000_000 + time.0,
        duration_us: time.1,
        ..Span::default()
    }
}

/// A visit: web asks reviews, then the cart, which asks stock.
pub(crate) fn shop() -> Vec<Span> {
    use Side::{Inbound, Outbound};
    let mut reviews = span(3, 2, Outbound, "web", ("reviews", "reviews-v1"), (500, 1500));
    reviews.route = "httproute/shop/reviews#0".into();
    let mut cart = span(5, 2, Outbound, "web", ("cart", "cart"), (2100, 5000));
    cart.grpc_status = Some(14);
    vec![
        span(1, 0, Outbound, "visitor", ("web", "web"), (0, 9000)),
        span(2, 1, Inbound, "visitor", ("", "web"), (300, 8200)),
        reviews,
        span(4, 3, Inbound, "web", ("", "reviews-v1"), (800, 900)),
        cart,
        span(6, 5, Inbound, "web", ("", "cart"), (2500, 4100)),
        span(7, 6, Outbound, "cart", ("stock", "stock"), (2600, 2000)),
        span(8, 7, Inbound, "cart", ("", "stock"), (3000, 1000)),
    ]
}

/// A call that a connect failed for and another endpoint answered.
pub(crate) fn retried() -> Span {
    let attempt = |endpoint: &str, start_us, status, failure: &str| Attempt {
        endpoint: endpoint.into(),
        workload: "shop/cart".into(),
        start_us,
        duration_us: 8_000,
        status,
        failure: failure.into(),
        ..Attempt::default()
    };
    let timings = Timings {
        retry_us: 7_000,
        connect_us: 4_000,
        tls_us: 2_500,
        upstream_us: 9_000,
        ..Timings::default()
    };
    Span {
        protocol: "http".into(),
        service_port: 80,
        request_bytes: 12,
        response_bytes: 340,
        peer: "127.0.0.1".into(),
        endpoint: "10.0.0.2:80".into(),
        instance: "1-2".into(),
        first_byte_us: 20_000,
        timings: Some(timings),
        attempts: vec![
            attempt("10.0.0.1:80", 0, 0, "connect_failed"),
            attempt("10.0.0.2:80", 7_000, 200, ""),
        ],
        attempts_made: 2,
        ejected: vec!["10.0.0.1:80".into()],
        ..span(9, 0, Side::Outbound, "web", ("cart", "cart"), (0, 21_000))
    }
}

fn names(hops: &[Hop<'_>]) -> Vec<String> {
    let mut all = Vec::new();
    for hop in hops {
        let span = hop.span().unwrap();
        all.push(format!("{}>{}", span.source_workload, span.destination_workload));
        all.extend(names(&hop.children));
    }
    all
}

#[test]
fn both_views_of_a_request_are_one_hop_and_its_consequences_are_below() {
    let spans = shop();
    let roots = build(&spans);
    assert_eq!(roots.len(), 1);
    assert_eq!(names(&roots), ["visitor>web", "web>reviews-v1", "web>cart", "cart>stock"]);
    assert_eq!(roots[0].children.len(), 2);
    assert!(roots[0].inbound.is_some());
}

#[test]
fn the_order_of_spans_does_not_matter() {
    let mut spans = shop();
    spans.reverse();
    assert_eq!(names(&build(&spans)), ["visitor>web", "web>reviews-v1", "web>cart", "cart>stock"]);
}

#[test]
fn a_missing_hop_leaves_what_is_below_it_as_a_root() {
    let mut spans = shop();
    spans.remove(1);
    let roots = build(&spans);
    assert_eq!(roots.len(), 3);
}

#[test]
fn spans_that_name_each_other_as_parents_end() {
    let mut spans = shop();
    spans[0].parent_span_id = vec![8; 8].into();
    assert!(build(&spans).is_empty());
    spans.push(span(9, 77, Side::Outbound, "a", ("b", "b"), (0, 1)));
    let last = spans.len() - 1;
    spans[0].parent_span_id = vec![9; 8].into();
    spans[last].parent_span_id = vec![66; 8].into();
    assert_eq!(names(&build(&spans)).len(), 5);
}

#[test]
fn expected_hops_are_looked_for_on_both_sides() {
    let expected = [("visitor", "web"), ("web", "reviews"), ("web", "cart"), ("cart", "stock")];
    let mut spans = shop();
    assert_eq!(missing_hops(&spans, &expected), Vec::<String>::new());
    spans.remove(3);
    assert_eq!(missing_hops(&spans, &expected), ["web → reviews, as its callee saw it"]);
    assert_eq!(missing_hops(&spans, &[("web", "recommend")]).len(), 2);
}
