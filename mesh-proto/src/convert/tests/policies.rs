//! What is refused of policies, of endpoints' weights and of what a workload serves.

use mesh_model::traffic::TrafficSettings;

use super::*;

fn decode_settings(settings: wire::TrafficSettings) -> Result<TrafficSettings, Invalid> {
    let policy = wire::TrafficPolicy {
        namespace: "shop".to_owned(),
        name: "p".to_owned(),
        settings: Some(settings),
        ..wire::TrafficPolicy::default()
    };
    match decode(resource("trafficpolicy/shop/p", wire::resource::Body::Policy(policy)))? {
        ModelResource::Policy(policy) => Ok(policy.settings),
        other => panic!("a policy became {other:?}"),
    }
}

/// Good values for what is looked at below.
fn good_settings() -> wire::TrafficSettings {
    let key = wire::HashKey { key: Some(wire::hash_key::Key::Header("X-User".to_owned())) };
    let table = wire::HashTable { key: Some(key), size: 65_537, bounded_load: Some(1_250) };
    let probe = wire::HttpProbe {
        path: "/".to_owned(),
        first_status: 200,
        last_status: 299,
        ..wire::HttpProbe::default()
    };
    let limit = wire::RateLimit {
        name: "a".to_owned(),
        requests: 1,
        per_ms: 1,
        burst: 1,
        ..wire::RateLimit::default()
    };
    let abort = wire::FaultAbort { answer: Some(wire::fault_abort::Answer::GrpcStatus(14)), share_ppm: 5 };
    wire::TrafficSettings {
        retries: Some(wire::Retries { statuses: vec![503], on: vec![1], ..wire::Retries::default() }),
        hedging: Some(wire::Hedging { delay_ms: 1, extra: 1 }),
        fault: Some(wire::Fault { abort: Some(abort), ..wire::Fault::default() }),
        direct_response: Some(wire::DirectResponse { status: 200, ..wire::DirectResponse::default() }),
        session: Some(wire::SessionPersistence {
            name: "S".to_owned(),
            ..wire::SessionPersistence::default()
        }),
        rate_limits: Some(wire::RateLimits { limits: vec![limit] }),
        balancing: Some(wire::Balancing {
            algorithm: Some(wire::balancing::Algorithm::Maglev(table)),
            ..wire::Balancing::default()
        }),
        circuit_breaker: Some(wire::CircuitBreaker { requests: Some(1), ..wire::CircuitBreaker::default() }),
        retry_budget: Some(wire::RetryBudget { share_ppm: 1, min_per_second: 0, window_ms: 1 }),
        outlier: Some(wire::OutlierDetection {
            interval_ms: 1,
            base_ejection_ms: 1,
            max_ejection_ms: 1,
            ..wire::OutlierDetection::default()
        }),
        health_check: Some(wire::HealthCheck {
            probe: Some(wire::health_check::Probe::Http(probe)),
            interval_ms: 1,
            timeout_ms: 1,
            unhealthy_after: 1,
            healthy_after: 1,
        }),
        concurrency: Some(wire::AdaptiveConcurrency { min: 1, max: 2, tolerance: 1_001, queue: 0 }),
        ..wire::TrafficSettings::default()
    }
}

fn maglev(settings: &mut wire::TrafficSettings) -> &mut wire::HashTable {
    match settings.balancing.as_mut().unwrap().algorithm.as_mut().unwrap() {
        wire::balancing::Algorithm::Maglev(table) => table,
        other => panic!("the good one is Maglev, not {other:?}"),
    }
}

#[test]
fn the_good_settings_are_good() {
    let settings = decode_settings(good_settings()).unwrap();
    assert!(settings.timeouts.is_none() && settings.protocol.is_none());
    assert!(settings.balancing.is_some_and(|balancing| format!("{balancing:?}").contains("x-user")));
}

type Change = fn(&mut wire::TrafficSettings);

#[test]
fn bad_settings_are_named_by_their_path() {
    let changes: &[(&str, Change)] = &[
        ("retries.attempts", |s| s.retries.as_mut().unwrap().attempts = bounds::ATTEMPTS + 1),
        ("retries.on[0]", |s| s.retries.as_mut().unwrap().on = vec![0]),
        ("retries.on[0]", |s| s.retries.as_mut().unwrap().on = vec![99]),
        ("retries.statuses[1]", |s| s.retries.as_mut().unwrap().statuses = vec![500, 200]),
        ("retries.grpc_statuses[0]", |s| s.retries.as_mut().unwrap().grpc_statuses = vec![17]),
        ("retries.methods", |s| s.retries.as_mut().unwrap().methods = 9),
        ("retries.backoff_most_ms", |s| s.retries.as_mut().unwrap().backoff_base_ms = 1),
        ("retries.body_bytes", |s| s.retries.as_mut().unwrap().body_bytes = u64::MAX),
        ("hedging.extra", |s| s.hedging.as_mut().unwrap().extra = 0),
        ("fault.abort.answer", |s| s.fault.as_mut().unwrap().abort.as_mut().unwrap().answer = None),
        ("fault.abort.share_ppm", |s| {
            s.fault.as_mut().unwrap().abort.as_mut().unwrap().share_ppm = 1_000_001;
        }),
        ("direct_response.status", |s| s.direct_response.as_mut().unwrap().status = 100),
        ("direct_response.body", |s| {
            s.direct_response.as_mut().unwrap().body = "x".repeat(bounds::DIRECT_BODY + 1);
        }),
        ("direct_response.content_type", |s| {
            s.direct_response.as_mut().unwrap().content_type = "a\r\nb: c".to_owned();
        }),
        ("session.name", |s| s.session.as_mut().unwrap().name = "a=b".to_owned()),
        ("session.kind", |s| s.session.as_mut().unwrap().kind = 9),
        ("rate_limits.limits[0].requests", |s| s.rate_limits.as_mut().unwrap().limits[0].requests = 0),
        ("rate_limits.limits[0].per_ms", |s| s.rate_limits.as_mut().unwrap().limits[0].per_ms = 0),
        ("rate_limits.limits", |s| {
            let limits = &mut s.rate_limits.as_mut().unwrap().limits;
            limits.push(limits[0].clone());
        }),
        ("rate_limits.limits[0].keys[0].part", |s| {
            let key = Some(wire::rate_key::Key::Part(9));
            s.rate_limits.as_mut().unwrap().limits[0].keys = vec![wire::RateKey { key }];
        }),
        ("balancing.algorithm", |s| s.balancing.as_mut().unwrap().algorithm = None),
        ("balancing.maglev.size", |s| maglev(s).size = 65_536),
        ("balancing.maglev.size", |s| maglev(s).size = bounds::MAGLEV + 1),
        ("balancing.maglev.key", |s| maglev(s).key = None),
        ("balancing.maglev.bounded_load", |s| maglev(s).bounded_load = Some(1_000)),
        ("balancing.locality", |s| s.balancing.as_mut().unwrap().locality = 9),
        ("circuit_breaker.requests", |s| s.circuit_breaker.as_mut().unwrap().requests = Some(0)),
        ("retry_budget.window_ms", |s| s.retry_budget.as_mut().unwrap().window_ms = 0),
        ("outlier.max_ejection_ms", |s| s.outlier.as_mut().unwrap().base_ejection_ms = 2),
        ("health_check.probe", |s| s.health_check.as_mut().unwrap().probe = None),
        ("health_check.interval_ms", |s| s.health_check.as_mut().unwrap().interval_ms = 0),
        ("health_check.healthy_after", |s| s.health_check.as_mut().unwrap().healthy_after = 0),
        ("connect_timeout_ms", |s| s.connect_timeout_ms = Some(0)),
        ("protocol", |s| s.protocol = 99),
        ("concurrency.max", |s| s.concurrency.as_mut().unwrap().min = 3),
        ("timeouts.idle_ms", |s| {
            s.timeouts =
                Some(wire::RequestTimeouts { idle_ms: Some(u64::MAX), ..wire::RequestTimeouts::default() });
        }),
    ];
    for (at, (field, change)) in changes.iter().enumerate() {
        let mut settings = good_settings();
        change(&mut settings);
        let invalid = decode_settings(settings).expect_err("the change makes it invalid");
        assert_eq!(invalid.resource, "trafficpolicy/shop/p");
        assert_eq!(invalid.field, format!("settings.{field}"), "change number {at}: {}", invalid.reason);
    }
}

#[test]
fn mirrors_and_cross_origin_rules_are_checked() {
    use wire::filter::Filter as F;
    let service = wire::ServiceTarget { namespace: "shop".to_owned(), name: "a".to_owned(), port: 80 };
    let mirror = |target, share_ppm| F::Mirror(wire::Mirror { target, share_ppm, compare: None });
    let origin =
        |text: &str| F::Cors(wire::Cors { allow_origins: vec![text.to_owned()], ..wire::Cors::default() });
    for (field, filter) in [
        ("mirror.target", mirror(None, 1)),
        ("mirror.share_ppm", mirror(Some(wire::mirror::Target::Service(service)), 1_000_001)),
        ("cors.allow_origins[0]", origin("a.com")),
        ("cors.allow_origins[0]", origin("https://a.com\r\nx: y")),
        (
            "cors.allow_methods[0]",
            F::Cors(wire::Cors { allow_methods: vec!["A B".to_owned()], ..wire::Cors::default() }),
        ),
        (
            "cors.expose_headers[0]",
            F::Cors(wire::Cors { expose_headers: vec![String::new()], ..wire::Cors::default() }),
        ),
    ] {
        let (at, _) = refused(|route| set_filter(route, filter));
        assert_eq!(at, format!("rules[0].filters[0].{field}"));
    }
}

#[test]
fn a_weight_that_is_not_said_is_one() {
    let endpoint = |weight, priority| wire::Endpoint {
        address: "10.0.0.1:80".to_owned(),
        weight,
        priority,
        ..wire::Endpoint::default()
    };
    for (weight, expected) in [(0, 1), (1, 1), (7, 7)] {
        assert_eq!(decode_endpoint(endpoint(weight, 0)).unwrap().weight, expected);
    }
    assert_eq!(decode_endpoint(endpoint(u32::MAX, 0)).unwrap_err().field, "ports[0].endpoints[0].weight");
    assert_eq!(decode_endpoint(endpoint(1, 128)).unwrap_err().field, "ports[0].endpoints[0].priority");
}

#[test]
fn what_a_workload_serves_is_sorted_and_bounded() {
    let port = |address: &str| wire::OwnPort {
        address: address.to_owned(),
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        port: 80,
    };
    let own = |ports| decode(resource("own", wire::resource::Body::Own(wire::OwnServices { ports })));
    let Ok(ModelResource::Own(read)) = own(vec![port("10.0.0.2:1"), port("10.0.0.1:1"), port("10.0.0.2:1")])
    else {
        panic!("it is good");
    };
    assert_eq!(
        read.ports.iter().map(|port| port.address.to_string()).collect::<Vec<_>>(),
        ["10.0.0.1:1", "10.0.0.2:1"]
    );
    assert_eq!(own(vec![port("10.0.0.1:0")]).unwrap_err().field, "ports[0].address");
    assert_eq!(own(vec![port("10.0.0.1:1"); bounds::OWN + 1]).unwrap_err().field, "ports");
}
