//! Suggestions and checks against a table of reports, and log lines of audit policies. They must not start a mesh.

use mesh_controller::sources::state::{Contents, DirState};
use mesh_proto::inspect::v1::{FailureCount, StatResponse, StatRow};
use mesh_proto::report::v1::Security;

use super::observed::{Scope, Seen, observed};
use super::*;

const OBJECTS: &str = include_str!("tests/objects.yaml");

fn compiled(texts: &[&str]) -> Objects {
    let files = texts.iter().enumerate();
    let files =
        files.map(|(at, text)| (format!("{at}.yaml").into(), Contents::Bytes(text.as_bytes().to_vec())));
    Objects::of(DirState::default(), files.collect(), "objects".to_owned()).unwrap()
}

fn row(source: &str, workload: &str, requests: u64) -> StatRow {
    let (source_namespace, source_workload) = source.split_once('/').unwrap_or(("", ""));
    StatRow {
        side: Side::Inbound.into(),
        source_namespace: source_namespace.into(),
        source_workload: source_workload.into(),
        destination_namespace: "shop".into(),
        destination_workload: workload.into(),
        protocol: "http".into(),
        security: if source.is_empty() { Security::Plaintext } else { Security::Mtls }.into(),
        requests,
        ..StatRow::default()
    }
}

fn stat() -> StatResponse {
    let codes = vec![FailureCount { code: "policy_denied".into(), count: 4 }];
    let rows = vec![
        row("shop/web", "orders-1", 20),
        row("shop/web", "orders-2", 22),
        row("shop/orders", "reviews-v1", 5),
        row("other/gone", "reviews-v2", 7),
        row("", "orders-1", 3),
        StatRow { failure_codes: codes.clone(), ..row("shop/evil", "orders-1", 4) },
        StatRow { failure_codes: codes, ..row("shop/billing", "orders-1", 6) },
        StatRow { protocol: "tcp".into(), ..row("shop/orders", "db-1", 2) },
        row("shop/web", "alone-1", 9),
    ];
    StatResponse { window_seconds: 600, rows, ..StatResponse::default() }
}

fn yaml(objects: &Objects, scope: &Scope) -> (String, Seen) {
    let seen = observed(objects, &stat(), &[], scope);
    (suggest::yaml(&suggest::policies(objects, &seen, scope), &seen), seen)
}

#[test]
fn policies_say_what_was_observed_and_what_was_not() {
    let objects = compiled(&[OBJECTS]);
    let (text, seen) = yaml(&objects, &Scope::default());
    insta::assert_snapshot!("suggested", text);
    insta::assert_snapshot!("callers", suggest::table(&seen).render(Paint::Plain));
    let one = Scope { namespace: None, service: ServiceName::new("shop", "reviews").ok() };
    insta::assert_snapshot!("one_service", yaml(&objects, &one).0);
}

#[test]
fn applied_they_admit_everything_observed_and_nobody_else() {
    let all = |scope: &Scope| {
        let before = compiled(&[OBJECTS]);
        let (text, seen) = yaml(&before, scope);
        let after = compiled(&[OBJECTS, &text]);
        assert!(after.problems.is_empty(), "{:?}", after.problems);
        (after, seen)
    };
    let of = |name| Scope { namespace: None, service: ServiceName::new("shop", name).ok() };
    let in_shop = Scope { namespace: Some("shop".into()), service: None };
    for scope in [Scope::default(), in_shop, of("orders"), of("reviews"), of("reviews-v1"), of("db")] {
        let (after, seen) = all(&scope);
        assert!(!seen.edges.is_empty(), "{scope:?}");
        let rows = check::judged(&after, &seen);
        for row in &rows {
            assert!(row.said.is_allowed() && row.said.policy().is_some(), "{scope:?}: {row:?}");
        }
        // Somebody who never called, at the same places.
        let mut stranger = seen.clone();
        for edge in &mut stranger.edges {
            edge.source = mesh_model::name::Name::new("shop", "stranger").unwrap();
        }
        for row in check::judged(&after, &stranger) {
            assert!(row.is_refused(), "{scope:?}: {row:?}");
        }
    }
    // Who was refused before is a stranger as well.
    let (after, mut seen) = all(&Scope::default());
    seen.edges.retain(|edge| edge.workload.0.name() == "orders-1");
    for edge in &mut seen.edges {
        edge.source = mesh_model::name::Name::new("shop", "evil").unwrap();
    }
    assert!(check::judged(&after, &seen).iter().all(check::Row::is_refused));
}

#[test]
fn a_check_names_what_the_policies_there_would_refuse() {
    let policy = "
apiVersion: amime.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: tight, namespace: shop }
spec:
  targetRefs: [{ kind: Service, name: orders }]
  action: Allow
  rules:
    - from: [{ serviceAccounts: [web] }]
      to: [{ methods: [GET] }]
";
    let objects = compiled(&[OBJECTS, policy]);
    let seen = observed(&objects, &stat(), &[], &Scope::default());
    let rows = check::judged(&objects, &seen);
    insta::assert_snapshot!("check", check::text(&rows, &seen, Paint::Plain));
    let json = check::json(&rows, &seen);
    let of = |source: &str| {
        let all = json["rows"].as_array().unwrap().iter();
        all.clone().find(|row| row["source"] == source && row["workload"] == "shop/orders-1").unwrap()["verdict"].clone()
    };
    assert_eq!((of("shop/web"), of("shop/billing")), ("depends".into(), "deny".into()));
}

#[test]
fn audit_verdicts_are_counted_by_caller_and_policy_and_a_path_cannot_forge_them() {
    let line = |source: &str, rule: &str| {
        format!(
            "2026-01-01T00:00:00.123Z inbound GET url=orders/a=b 200 - 1.200ms 0/5 http mtls source={source} destination=shop/orders-1 service=- verdict=audit policy=shop/next rule={rule} trace=-"
        )
    };
    let mut counts = audit::Counts::default();
    let lines = [
        line("shop/web", "-"),
        line("shop/web", "-"),
        line("-", "1"),
        line("shop/web", "-").replace("orders-1", "other-1"),
        line("shop/web", "-").replace("destination", "to"),
        "time inbound GET url=orders/\\x20verdict=audit\\x20policy=shop/forged source=shop/x destination=shop/orders-1 verdict=allow policy=shop/a".to_owned(),
        "2026 INFO access: source=\"shop/x\" destination=\"shop/orders-1\" path=\"/ verdict=\\\"audit\\\" policy=\\\"shop/forged\\\"\" verdict=\"allow\" policy=\"shop/a\"".to_owned(),
        r#"{"time":"2026-01-01T00:00:00.123Z","side":"inbound","source":"shop/web","destination":"shop/orders-1","verdict":"audit","policy":"shop/next","rule":1}"#.to_owned(),
        "verdict=\"audit".to_owned(),
        String::new(),
    ];
    for line in &lines {
        counts.take(line, |destination| destination == "shop/orders-1");
    }
    insta::assert_snapshot!("audit", audit::table(&counts).render(Paint::Plain));
    assert_eq!(
        audit::json(&counts)["rows"][0],
        serde_json::json!({"source": "shop/web", "workload": "shop/orders-1", "policy": "shop/next", "rule": null, "calls": 2})
    );
}

#[test]
fn a_window_is_one_second_to_an_hour() {
    assert_eq!(window("90s").unwrap(), Duration::from_secs(90));
    for text in ["0s", "2h", "soon"] {
        assert!(window(text).is_err(), "{text}");
    }
}

#[test]
fn a_rule_names_the_port_that_was_called_where_callers_account_for_all_calls() {
    let objects = compiled(&[OBJECTS]);
    let (service, ports) = objects
        .compiled
        .services
        .iter()
        .map(|(name, (own, _))| (name.clone(), own.ports.iter().map(|port| port.port).collect::<Vec<_>>()))
        .find(|(_, ports)| ports.len() > 1)
        .expect("a Service with two ports");
    let (_, endpoints) = &objects.compiled.services[&service];
    let (places, _) = callee::places(&objects, &service, ports[0], endpoints.port(ports[0]));
    let (to, port) = (places[0].workload.clone(), places[0].port);
    let (caller, account) = callee::standing::known(&objects)
        .into_iter()
        .find_map(|(name, peer)| Some((name, peer.identity?)))
        .expect("a member");
    let row = |side: Side, source: &str, requests: u64| StatRow {
        side: side.into(),
        source_namespace: caller.0.namespace().into(),
        source_workload: source.into(),
        service_namespace: service.0.namespace().into(),
        service: service.0.name().into(),
        service_port: ports[0].into(),
        destination_namespace: to.0.namespace().into(),
        destination_workload: to.0.name().into(),
        protocol: "http".into(),
        requests,
        ..StatRow::default()
    };
    let arrived = row(Side::Inbound, account.service_account(), 10);
    let stat = StatResponse { window_seconds: 60, rows: vec![arrived], ..StatResponse::default() };
    let told = row(Side::Outbound, caller.0.name(), 10);
    let seen = |series: &[StatRow]| observed(&objects, &stat, series, &Scope::default());
    let ports_of = |series: &[StatRow]| {
        let seen = seen(series);
        seen.ports_of(&seen.edges[0]).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(ports_of(std::slice::from_ref(&told)), [port]);
    for (case, series) in [
        ("nobody tells", vec![]),
        ("not all of them", vec![StatRow { requests: 9, ..told.clone() }]),
        ("a route may lead elsewhere", vec![StatRow { route: "httproute/a/b#0".into(), ..told.clone() }]),
        ("an own address", vec![told.clone(), StatRow { service: String::new(), ..told.clone() }]),
        ("the called side", vec![StatRow { side: Side::Inbound.into(), ..told.clone() }]),
    ] {
        assert!(ports_of(&series).len() > 1, "{case}");
        assert_eq!(seen(&series).unclear(), 1, "{case}");
    }
    assert_eq!(seen(&[told]).unclear(), 0);
}
