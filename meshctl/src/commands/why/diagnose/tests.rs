//! Facts in, causes out.

use mesh_proto::inspect::v1::{
    Condition, EndpointView, ObjectStatus, PortView, ProxyCertificate, ProxySync, RejectedResource,
    ServiceView,
};
use mesh_proto::report::v1::ProxyState;

use super::*;

/// A failure as the caller's side tells it: web calls shop/cart, which is workload cart-1.
fn row(failure: &str, status: u32, edit: impl FnOnce(&mut SeriesKey, &mut Example)) -> FailureRow {
    let mut key = SeriesKey {
        side: Side::Outbound.into(),
        source_namespace: "shop".into(),
        source_workload: "web".into(),
        service_namespace: "shop".into(),
        service: "cart".into(),
        service_port: 80,
        destination_namespace: "shop".into(),
        destination_workload: "cart-1".into(),
        protocol: "http".into(),
        status,
        failure: failure.into(),
        security: Security::Mtls.into(),
        ..SeriesKey::default()
    };
    let mut example = Example {
        time_ms: 1_800_000_000_123,
        method: "GET".into(),
        path: "/cart".into(),
        detail: "what was said".into(),
        trace_id: vec![7; 16],
        endpoint: "10.0.0.7:8080".into(),
        duration_us: 2_340,
        attempts: 1,
        count: 3,
        ..Example::default()
    };
    edit(&mut key, &mut example);
    FailureRow { key: Some(key), count: 3, example: Some(example), requests: 12, ..FailureRow::default() }
}

/// The same as the callee's side tells it.
fn inbound(failure: &str, status: u32, edit: impl FnOnce(&mut SeriesKey, &mut Example)) -> FailureRow {
    row(failure, status, |key, example| {
        (key.side, key.service, key.service_namespace, key.service_port) =
            (Side::Inbound.into(), String::new(), String::new(), 0);
        edit(key, example);
    })
}

fn by_callee(failure: &str, status: u32) -> FailureRow {
    row(failure, status, |_, example| (example.by_callee, example.detail) = (true, String::new()))
}

fn because(reason: &'static str) -> impl FnOnce(&mut SeriesKey, &mut Example) {
    move |_, example| example.reason = reason.into()
}

fn codes(facts: &Facts) -> Vec<(&'static str, u64)> {
    diagnose(facts).causes.iter().map(|found| (found.cause.code, found.count)).collect()
}

fn of(failures: Vec<FailureRow>) -> Facts {
    let end = EndpointView { namespace: "shop".into(), workload: "cart-1".into(), ..EndpointView::default() };
    let port = PortView { port: 80, endpoints: vec![end], ..PortView::default() };
    let service = ServiceView { namespace: "shop".into(), name: "cart".into(), ports: vec![port] };
    let services = ServicesResponse { services: vec![service], workloads: vec![] };
    Facts { failures, services, now: 1_800_000_060, ..Facts::default() }
}

fn bad(object: &str, kind: &str, reason: &str, field: &str, message: &str) -> ObjectStatus {
    let condition = Condition {
        r#type: kind.into(),
        status: false,
        reason: reason.into(),
        field: field.into(),
        message: message.into(),
    };
    ObjectStatus {
        object: object.into(),
        origin: "a.yaml:3".into(),
        conditions: vec![condition],
        ..ObjectStatus::default()
    }
}

#[test]
fn both_sides_of_a_failure_are_one_cause_with_the_words_of_the_one_who_knows() {
    let refused = inbound("policy_denied", 403, |_, example| {
        (example.reason, example.policy) = ("not_allowed".into(), "shop/cart".into());
    });
    let report = diagnose(&of(vec![by_callee("policy_denied", 403), refused]));
    assert_eq!(report.causes.len(), 1);
    let found = &report.causes[0];
    assert_eq!((found.cause, found.count, report.failed), (cause::NOT_ALLOWED, 3, 3));
    assert_eq!(found.policy, Some(("shop/cart".into(), 0)));
    assert_eq!((found.service.name.as_str(), found.detail.as_str()), ("cart", "what was said"));
}

#[test]
fn of_several_at_the_callee_the_one_with_the_same_trace_or_path_is_meant() {
    let at = |path: &'static str, trace: u8, reason: &'static str| {
        inbound("policy_denied", 403, move |_, example| {
            (example.path, example.trace_id, example.reason) = (path.into(), vec![trace; 16], reason.into());
        })
    };
    for (others, code) in [
        (vec![at("/cart", 1, "deny_rule"), at("/other", 7, "not_allowed")], "not_allowed"),
        (vec![at("/cart", 1, "deny_rule"), at("/other", 2, "not_allowed")], "deny_rule"),
    ] {
        let facts = Facts {
            about: "shop/cart".into(),
            ..of([vec![by_callee("policy_denied", 403)], others].concat())
        };
        assert_eq!(codes(&facts), [(code, 3)]);
    }
}

#[test]
fn a_connection_that_is_reset_is_told_by_the_callee() {
    let tcp = |key: &mut SeriesKey| (key.protocol, key.status) = ("tcp".into(), 0);
    let broke = row("upstream_reset", 0, |key, _| {
        tcp(key);
    });
    let refused = inbound("policy_denied", 0, |key, example| {
        tcp(key);
        (example.reason, example.policy, example.rule) = ("deny_rule".into(), "shop/db".into(), 2);
    });
    assert_eq!(codes(&of(vec![broke.clone(), refused.clone()])), [("deny_rule", 3)]);
    assert_eq!(codes(&of(vec![broke])), [("connection_broken", 3)]);
    // Of two that could be meant it is the one of that time.
    let other = inbound("policy_undecided", 0, |key, example| {
        tcp(key);
        example.time_ms += 10;
    });
    let later = row("upstream_reset", 0, |key, example| {
        tcp(key);
        example.time_ms += 9;
    });
    assert_eq!(codes(&of(vec![later, other, refused])), [("policy_undecided", 3)]);
}

#[test]
fn an_error_of_the_application_is_counted_once() {
    let facts = of(vec![row("", 500, |_, _| {}), inbound("", 500, |_, _| {})]);
    assert_eq!(codes(&facts), [("application_error", 3)]);
}

#[test]
fn a_client_that_gave_up_is_no_failure_of_the_callee() {
    let slow = row("request_timeout", 504, |_, _| {});
    let left = inbound("", 499, because("client_gone"));
    assert_eq!(codes(&of(vec![slow, left])), [("application_slow", 3)]);
    let report = diagnose(&of(vec![row("", 499, because("client_gone"))]));
    assert_eq!((report.failed, report.causes[0].cause), (0, cause::CLIENT_GONE));
}

#[test]
fn what_only_the_callee_saw_is_told() {
    let plain = inbound("plaintext_refused", 0, |key, _| {
        (key.source_workload, key.source_namespace) = (String::new(), String::new());
    });
    assert_eq!(codes(&of(vec![plain.clone()])), [("plaintext_refused", 3)]);
    let mut asked = row("no_route", 404, |_, _| {});
    asked.count = 1;
    let both = Facts { about: "cart".into(), ..of(vec![plain, asked]) };
    assert_eq!(
        codes(&both),
        [("no_route", 1), ("plaintext_refused", 3)],
        "what came by the service is told first"
    );
    // By which service it was called is not known there; its callers tell.
    let elsewhere = inbound("policy_denied", 403, |_, _| {});
    assert_eq!(codes(&Facts { about: "cart".into(), ..of(vec![elsewhere.clone()]) }), []);
    assert_eq!(codes(&of(vec![elsewhere])), [("not_allowed", 3)]);
}

#[test]
fn one_cause_between_the_same_two_is_one_with_the_newest_example() {
    let older = row("connect_failed", 503, |_, example| (example.time_ms, example.path) = (5, "/old".into()));
    let report = diagnose(&of(vec![row("connect_failed", 502, |_, _| {}), older]));
    assert_eq!((report.causes.len(), report.causes[0].count), (1, 6));
    assert_eq!(report.causes[0].example.as_ref().unwrap().path, "/cart");
}

#[test]
fn an_object_that_explains_a_failure_stands_with_it() {
    let nobody = || row("no_endpoints", 503, because("no_endpoint"));
    let port = bad(
        "Service shop/cart",
        "ResolvedRefs",
        "PortNotFound",
        "spec.ports[0].targetPort",
        "no port named `htpp`",
    );
    let facts = Facts { objects: vec![port.clone()], ..of(vec![nobody()]) };
    let report = diagnose(&facts);
    assert_eq!(codes(&facts), [("target_port_unknown", 3)]);
    assert_eq!(
        (report.causes[0].objects.len(), report.causes[0].detail.as_str()),
        (1, "no port named `htpp`")
    );
    // Without a failure it is a cause by itself.
    assert_eq!(codes(&Facts { objects: vec![port], ..of(vec![]) }), [("target_port_unknown", 0)]);

    let route = bad(
        "HTTPRoute shop/cart",
        "ResolvedRefs",
        "BackendNotFound",
        "spec.rules[0].backendRefs[0]",
        "no Service shop/x",
    );
    let missing = row("backend_invalid", 500, |key, _| key.route = "httproute/shop/cart#0".into());
    let facts = Facts { objects: vec![route], ..of(vec![missing]) };
    assert_eq!(codes(&facts), [("backend_missing", 3)]);
}

#[test]
fn a_reference_that_no_request_needed_is_a_cause_by_itself_where_it_concerns() {
    let mirror = bad(
        "HTTPRoute shop/r",
        "ResolvedRefs",
        "BackendNotFound",
        "spec.rules[0].filters[0]",
        "no Service shop/x",
    );
    let row = StatRow { requests: 5, route: "httproute/shop/r#0".into(), ..StatRow::default() };
    let facts = Facts { objects: vec![mirror], about: "shop/cart".into(), traffic: vec![row], ..of(vec![]) };
    assert_eq!(codes(&facts), [("reference_unresolved", 0)]);
    assert_eq!(codes(&Facts { traffic: vec![], ..facts.clone() }), []);
    assert_eq!(codes(&Facts { about: String::new(), ..facts.clone() }), [("reference_unresolved", 0)]);
    assert_eq!(codes(&Facts { about: String::new(), namespace: "bank".into(), ..facts }), []);
}

#[test]
fn sidecars_tell_of_themselves() {
    let proxy = |workload: &str, connected| ProxySync {
        namespace: "shop".into(),
        workload: workload.into(),
        instance: workload.into(),
        connected,
        ..ProxySync::default()
    };
    let reject = RejectedResource {
        resource: "httproute/shop/r".into(),
        field: "rules[0]".into(),
        reason: "unknown".into(),
    };
    let rejects = ProxySync { rejects: vec![reject], ..proxy("web", true) };
    let certificate = |workload: &str, not_after, renewal_failures| ProxyCertificate {
        namespace: "shop".into(),
        workload: workload.into(),
        instance: workload.into(),
        state: Some(ProxyState {
            not_before: 1_800_000_000 - 3_600,
            not_after,
            renewal_failures,
            ..ProxyState::default()
        }),
        reported_ms: 1,
    };
    let workload = ObjectStatus { object: "Workload shop/cart-1".into(), ..ObjectStatus::default() };
    let facts = Facts {
        proxies: vec![
            rejects,
            proxy("cart-1", false),
            proxy("ended", false),
            proxy("old", true),
            proxy("new", true),
        ],
        objects: vec![workload],
        certificates: vec![
            certificate("old", 1_800_000_000, 4),
            certificate("new", 1_800_000_100, 4),
            certificate("ended", 5, 0),
        ],
        ..of(vec![])
    };
    assert_eq!(
        codes(&facts),
        [
            ("configuration_rejected", 0),
            ("sidecar_disconnected", 0),
            ("own_certificate_over", 0),
            ("renewal_fails", 0)
        ]
    );
    let web = Facts { about: "web".into(), services: ServicesResponse::default(), ..facts };
    assert_eq!(codes(&web), [("configuration_rejected", 0)]);
}

/// One of each kind, for what is shown.
pub(crate) fn sample() -> Report {
    let denied = inbound("policy_denied", 403, |_, example| {
        (example.reason, example.policy, example.detail) =
            ("not_allowed".into(), "shop/cart".into(), "no policy of the called workload allows it".into());
    });
    let nobody = row("no_endpoints", 503, |key, example| {
        (example.reason, example.time_ms) = ("no_endpoint".into(), 1_800_000_001_000);
        (key.service, key.destination_workload, key.destination_namespace) =
            ("stock".into(), String::new(), String::new());
    });
    let port = bad(
        "Service shop/stock",
        "ResolvedRefs",
        "PortNotFound",
        "spec.ports[0].targetPort",
        "Workload shop/stock is selected but has no port named `htpp`",
    );
    let mirror = bad(
        "HTTPRoute shop/r",
        "ResolvedRefs",
        "BackendNotFound",
        "spec.rules[0].filters[0]",
        "there is no Service shop/x",
    );
    let traffic = vec![StatRow { requests: 312, ..StatRow::default() }];
    let facts = Facts {
        objects: vec![port, mirror],
        traffic,
        ..of(vec![by_callee("policy_denied", 403), denied, nobody])
    };
    diagnose(&facts)
}
