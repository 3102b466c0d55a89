//! What is asked about rows of one replica or several.

use mesh_proto::inspect::v1::Reporter;
use mesh_proto::report::v1::Histogram as WireHistogram;

use super::super::super::members::Member;
use super::*;

fn row(side: Side, source: &str, service: &str, to: &str, requests: u64) -> StatRow {
    let namespace = |name: &str| if name.is_empty() { String::new() } else { "shop".to_owned() };
    StatRow {
        side: side.into(),
        source_namespace: namespace(source),
        source_workload: source.into(),
        service_namespace: namespace(service),
        service: service.into(),
        destination_namespace: namespace(to),
        destination_workload: to.into(),
        protocol: "http".into(),
        security: Security::Mtls.into(),
        requests,
        latency: Some(WireHistogram { indices: vec![80], counts: vec![requests] }),
        ..StatRow::default()
    }
}

fn reporter(workload: &str, account: &str) -> Reporter {
    Reporter { namespace: "shop".into(), workload: workload.into(), service_account: account.into() }
}

fn of(rows: Vec<StatRow>, reporters: Vec<Reporter>) -> StatResponse {
    StatResponse { window_seconds: 10, rows, reporters, ..StatResponse::default() }
}

/// Two pods of web call cart, which has one pod with a proxy and one without; somebody outside calls web.
fn members() -> Members {
    let mut members = Members::default();
    for (name, owner, sidecar) in [
        ("web-1-a", "web", true),
        ("web-1-b", "web", true),
        ("cart-1-a", "cart", true),
        ("cart-1-b", "cart", false),
    ] {
        let member = Member { owner: owner.into(), account: owner.into(), sidecar };
        members.add("shop", name, member);
    }
    members
}

fn answers() -> Vec<StatResponse> {
    use Side::{Inbound, Outbound};
    let plain = |row| StatRow { security: Security::Plaintext.into(), ..row };
    let first = of(
        vec![
            row(Outbound, "web-1-a", "cart", "cart-1-a", 30),
            plain(row(Outbound, "web-1-a", "cart", "cart-1-b", 10)),
        ],
        vec![reporter("web-1-a", "web")],
    );
    let second = of(
        vec![
            row(Outbound, "web-1-b", "cart", "cart-1-a", 20),
            // As cart's proxy names its callers: by their account.
            row(Inbound, "web", "", "cart-1-a", 50),
            plain(row(Inbound, "", "", "web-1-b", 7)),
        ],
        vec![reporter("web-1-b", "web"), reporter("cart-1-a", "cart")],
    );
    vec![first, second]
}

fn ask(request: StatRequest) -> Vec<(String, u64, String)> {
    let members = members();
    let behind: Behind<'_> = [(("shop", "cart"), [("shop", "cart-1-a"), ("shop", "cart-1-b")].into())].into();
    let world = World { members: &members, services: &behind };
    let answer = answer(together(answers()), &request, world);
    let name = |row: &StatRow| {
        let all = [&row.source_workload, &row.service, &row.destination_workload, &row.destination_namespace];
        all.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default()
    };
    let rows = answer.rows.iter();
    rows.map(|row| (name(row), row.requests, format!("{}/{}", row.meshed, row.meshed_of))).collect()
}

fn told(rows: &[(&str, u64, &str)]) -> Vec<(String, u64, String)> {
    rows.iter()
        .map(|(name, requests, meshed)| ((*name).to_owned(), *requests, (*meshed).to_owned()))
        .collect()
}

#[test]
fn each_request_is_counted_once_also_when_its_proxies_report_to_different_replicas() {
    let rows = ask(StatRequest::default());
    let total: u64 = rows.iter().map(|(_, requests, _)| requests).sum();
    assert_eq!(total, 30 + 10 + 20 + 7, "{rows:?}");
}

#[test]
fn deployments_pods_services_and_namespaces() {
    let by = |group: Group| ask(StatRequest { group: group.into(), ..StatRequest::default() });
    assert_eq!(by(Group::Workload), told(&[("cart", 60, "1/2"), ("web", 7, "2/2")]));
    assert_eq!(
        by(Group::Pod),
        told(&[
            ("cart-1-a", 50, "1/1"),
            ("cart-1-b", 10, "0/1"),
            ("web-1-a", 0, "1/1"),
            ("web-1-b", 7, "1/1")
        ])
    );
    assert_eq!(by(Group::Service), told(&[("cart", 60, "1/2")]));
    assert_eq!(by(Group::Namespace), told(&[("shop", 67, "3/4")]));
}

#[test]
fn one_of_them_and_what_it_asked_of_whom() {
    let workload = |request: StatRequest| ask(StatRequest { group: Group::Workload.into(), ..request });
    let named = |name: &str| StatRequest { name: name.into(), ..StatRequest::default() };
    assert_eq!(workload(named("cart")), told(&[("cart", 60, "1/2")]));
    assert_eq!(workload(named("shop/web")), told(&[("web", 7, "2/2")]));
    assert_eq!(workload(named("bank/web")), []);
    let to = StatRequest { to: "cart".into(), ..StatRequest::default() };
    assert_eq!(workload(to), told(&[("web", 60, "2/2")]));
}

#[test]
fn quantiles_of_rows_put_together_are_those_of_all_their_requests() {
    let with = |index, requests| StatRow {
        latency: Some(WireHistogram { indices: vec![index], counts: vec![requests] }),
        ..row(Side::Outbound, "web-1-a", "cart", "cart-1-a", requests)
    };
    let all = together(vec![of(vec![with(80, 98)], vec![]), of(vec![with(160, 2)], vec![])]);
    let members = members();
    let world = World { members: &members, services: &Behind::new() };
    let row = answer(all, &StatRequest::default(), world).rows.remove(0);
    assert_eq!((row.requests, row.latency), (100, None));
    assert!(row.p95_ms < 1.2, "{}", row.p95_ms);
    assert!(row.p99_ms > 1_000.0, "{}", row.p99_ms);
    assert!((row.rps - 10.0).abs() < f64::EPSILON);
}
