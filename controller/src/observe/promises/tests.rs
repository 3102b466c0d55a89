//! What counts for which promise, and when somebody is told.

use mesh_model::name::ServiceName;
use mesh_model::route::{RouteId, RouteKind};

use super::*;

const MONTH: Duration = Duration::from_hours(30 * 24);

fn promise(targets: Vec<PolicyTarget>, availability: f64) -> Promise {
    let latency = Some((Duration::from_micros(1 << 18), 0.9));
    Promise {
        policy: Name::new("shop", "promise").unwrap(),
        targets,
        slo: Slo { availability: Some(availability), latency, window: MONTH },
    }
}

fn service(port: Option<u16>) -> PolicyTarget {
    PolicyTarget::Service { service: ServiceName::new("shop", "cart").unwrap(), port }
}

fn route(rule: Option<&str>) -> PolicyTarget {
    let route = RouteId { kind: RouteKind::Http, name: Name::new("shop", "r").unwrap() };
    PolicyTarget::Route { route, rule: rule.map(str::to_owned) }
}

fn key() -> SeriesKey {
    SeriesKey {
        side: Side::Outbound.into(),
        service_namespace: "shop".into(),
        service: "cart".into(),
        service_port: 80,
        route: "httproute/shop/r#pay".into(),
        protocol: "http".into(),
        status: 200,
        security: Security::Mtls.into(),
        ..SeriesKey::default()
    }
}

/// Half of them took 2^17 to 2^17.125 microseconds, half 2^19 and more.
fn series(key: SeriesKey, requests: u64) -> Series {
    let latency =
        mesh_proto::report::v1::Histogram { indices: vec![136, 152], counts: vec![requests / 2; 2] };
    Series { key: Some(key), requests, latency: Some(latency), ..Series::default() }
}

/// Requests and bad ones in the last hour, availability first.
fn counted(target: PolicyTarget, key: SeriesKey) -> Vec<(u64, u64)> {
    let mut promises = Promises::default();
    promises.set(&[promise(vec![target], 0.99)]);
    promises.record(&[series(key, 100)], 1_000);
    let (objectives, _) = promises.objectives("", 1_000);
    objectives.iter().map(|o| (o.burns[2].requests, o.burns[2].bad)).collect()
}

#[test]
fn a_request_counts_for_its_service_port_route_and_rule() {
    let all = vec![(100, 0), (100, 50)];
    let none = vec![(0, 0); 2];
    for (target, expected) in [
        (service(None), &all),
        (service(Some(80)), &all),
        (service(Some(81)), &none),
        (route(None), &all),
        (route(Some("pay")), &all),
        (route(Some("pa")), &none),
    ] {
        assert_eq!(&counted(target.clone(), key()), expected, "{target:?}");
    }
}

#[test]
fn failures_and_connections_and_sides() {
    let bad = vec![(100, 100), (100, 50)];
    let good = vec![(100, 0), (100, 50)];
    let tcp =
        |failure: &str| SeriesKey { protocol: "tcp".into(), status: 0, failure: failure.into(), ..key() };
    let inbound =
        |security: Security| SeriesKey { side: Side::Inbound.into(), security: security.into(), ..key() };
    for (key, expected) in [
        (SeriesKey { status: 503, ..key() }, bad.clone()),
        (SeriesKey { status: 404, ..key() }, good.clone()),
        (SeriesKey { grpc_status: Some(14), ..key() }, bad),
        (SeriesKey { grpc_status: Some(5), ..key() }, good.clone()),
        (tcp(""), vec![(100, 0), (0, 0)]),
        (tcp("connect_refused"), vec![(100, 100), (0, 0)]),
        // The caller's proxy told of it.
        (inbound(Security::Mtls), vec![(0, 0); 2]),
        (inbound(Security::Plaintext), good),
        (SeriesKey { service: "other".into(), ..key() }, vec![(0, 0); 2]),
    ] {
        assert_eq!(counted(service(None), key.clone()), expected, "{key:?}");
    }
}

#[test]
fn rates_and_what_is_to_be_done_about_them() {
    // (requests, bad) of the last five minutes, and of the rest of the hour.
    for (recent, before, burn, alert) in [
        ((0, 0), (0, 0), [0.0, 0.0], BurnAlert::Unspecified),
        ((100, 0), (1_100, 0), [0.0, 0.0], BurnAlert::Unspecified),
        ((1_000, 1), (11_000, 11), [1.0, 1.0], BurnAlert::Slow),
        ((1_000, 15), (11_000, 165), [15.0, 15.0], BurnAlert::Fast),
        // It is over.
        ((1_000, 0), (11_000, 600), [0.0, 50.0], BurnAlert::Unspecified),
        // It has just begun, and is not worth waking anybody.
        ((1_000, 100), (119_000, 0), [100.0, 0.8333], BurnAlert::Unspecified),
        ((1_000, 1_000), (11_000, 0), [1_000.0, 83.33], BurnAlert::Fast),
    ] {
        let burns = [(300, recent), (1_800, recent), (3_600, (recent.0 + before.0, recent.1 + before.1))];
        let burns =
            burns.map(|(window_seconds, (requests, bad))| Burn { window_seconds, requests, bad, rate: 0.0 });
        let objective = Objective {
            ratio: 0.999,
            window_seconds: MONTH.as_secs(),
            burns: burns.to_vec(),
            ..Objective::default()
        };
        let told = &together(vec![vec![objective]])[0];
        let rates = [told.burns[0].rate, told.burns[2].rate];
        let near = rates.iter().zip(burn).all(|(a, b): (&f64, f64)| (a - b).abs() <= 0.001 * b);
        assert!(near && told.alert() == alert, "{recent:?} {before:?}: {rates:?} {:?}", told.alert());
    }
}

#[test]
fn replicas_are_added_up() {
    let of = |requests, bad| {
        let mut promises = Promises::default();
        promises.set(&[promise(vec![service(None), route(None)], 0.99)]);
        promises
            .record(&[series(SeriesKey { status: 500, ..key() }, bad), series(key(), requests - bad)], 1_000);
        promises.objectives("", 1_000).0
    };
    let told = together(vec![of(100, 2), of(300, 4)]);
    assert_eq!(told.len(), 4);
    let burn = &told[0].burns[0];
    assert_eq!((burn.requests, burn.bad), (400, 6));
    assert!((burn.rate - 1.5).abs() < 1e-9, "{}", burn.rate);
}

#[test]
fn windows_are_minutes_and_an_hour_is_kept() {
    let mut promises = Promises::default();
    promises.set(&[promise(vec![service(None)], 0.99)]);
    for minute in 0..300 {
        promises.record(&[series(key(), 2)], minute * 60);
    }
    let (objectives, since) = promises.objectives("shop", 299 * 60 + 59);
    let requests: Vec<_> = objectives[0].burns.iter().map(|burn| burn.requests).collect();
    assert_eq!((requests, since), (vec![10, 60, 120], 3600));
    assert!(promises.known.values().all(|kept| kept.slots.len() <= 61));
    assert_eq!(promises.objectives("elsewhere", 0).0, Vec::new());
    // All since the start is what is scraped.
    assert_eq!(promises.exported()[0].requests, 600);
}

#[test]
fn counts_go_on_when_the_promise_changes_and_end_with_it() {
    let mut promises = Promises::default();
    promises.set(&[promise(vec![service(None)], 0.99)]);
    promises.record(&[series(key(), 10)], 0);
    promises.set(&[promise(vec![service(None)], 0.5)]);
    let exported = promises.exported();
    assert_eq!((exported[0].requests, exported[0].objective.ratio), (10, 0.5));
    promises.set(&[]);
    assert!(promises.is_empty());
}

#[test]
fn more_than_there_is_room_for_is_counted() {
    let mut promises = Promises::default();
    let each = |n: usize| {
        let service = ServiceName::new("shop", &format!("s{n}")).unwrap();
        PolicyTarget::Service { service, port: None }
    };
    promises.set(&[promise((0..MAX_OBJECTIVES).map(each).collect(), 0.9)]);
    assert_eq!((promises.len(), promises.overflow()), (MAX_OBJECTIVES, MAX_OBJECTIVES as u64));
}
