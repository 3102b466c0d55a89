//! Every kind of setting in words.

use super::*;
use mesh_model::asking::{Entry, GlobalRate, Part, Unanswered};
use mesh_model::compare::Compare;
use mesh_model::name::ServiceName;
use mesh_model::route::BackendTarget;

fn sourced<T>(value: T) -> Sourced<T> {
    let origin = Origin::Object { object: "trafficpolicy/shop/all".into(), field: "spec.x".into() };
    Sourced { value, origin }
}

fn lines(rows: &[Row]) -> String {
    rows.iter().map(|row| [&format!("{:13}  ", row.name), row.text.as_str(), "\n"].concat()).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn defaults() {
    let text = lines(&of_request(&RequestPolicy::default())) + &lines(&of_backend(&BackendPolicy::default()));
    insta::assert_snapshot!(text);
}

#[test]
fn every_setting_of_a_request() {
    let header = || vec![("x-test".to_owned(), "1".to_owned())];
    let limit = RateLimit {
        name: "all".into(),
        requests: 100,
        per: SECOND,
        burst: 200,
        keys: vec![
            RateKey::ClientIdentity,
            RateKey::Header("x-user".into()),
            RateKey::Route,
            RateKey::Method,
        ],
        headers: header(),
    };
    let policy = RequestPolicy {
        timeouts: sourced(RequestTimeouts {
            request: Some(10 * SECOND),
            attempt: Some(SECOND),
            idle: Some(60 * SECOND),
            stream: Some(3600 * SECOND),
        }),
        retries: Some(sourced(Retries {
            attempts: 1,
            on: vec![RetryOn::Reset, RetryOn::GatewayError, RetryOn::ServerError, RetryOn::AttemptTimeout],
            statuses: vec![429],
            grpc_statuses: vec![14],
            methods: RetryMethods::All,
            attempt_timeout: Some(SECOND),
            backoff: mesh_model::traffic::Backoff { base: SECOND / 40, most: SECOND / 4 },
            body_bytes: 65_536,
            pushback: Pushback::Ignore,
        })),
        hedging: Some(sourced(Hedging { delay: SECOND / 10, extra: 2 })),
        fault: Some(sourced(Fault {
            delay: Some((SECOND, Ppm(100_000))),
            abort: Some((Abort::Http(503), Ppm(5_000))),
            headers: header(),
        })),
        direct_response: Some(sourced(DirectResponse {
            status: 200,
            body: "hi".into(),
            content_type: "text/plain".into(),
        })),
        bodies: Some(sourced(BodyLimits { request: Some(1 << 20), response: Some(1000) })),
        session: Some(sourced(SessionPersistence {
            name: "sid".into(),
            kind: SessionKind::PermanentCookie,
            absolute_timeout: Some(3600 * SECOND),
            idle_timeout: Some(60 * SECOND),
        })),
        rate_limits: Some(sourced(vec![limit])),
        global_rate: Some(sourced(GlobalRate {
            target: BackendTarget::Service {
                service: ServiceName::new("auth", "limiter").unwrap(),
                port: 8081,
            },
            domain: "shop".into(),
            descriptors: vec![vec![
                Entry { key: "user".into(), value: Part::Header("x-user".into()) },
                Entry { key: "kind".into(), value: Part::Literal("search".into()) },
            ]],
            timeout: SECOND / 5,
            unanswered: Unanswered::Pass,
        })),
        split: Some(sourced(HashKey::Header("x-user".into()))),
        compare: Some(sourced(std::sync::Arc::new(Compare {
            ignore: vec!["$.items[*].id".parse().unwrap()],
            ..Compare::default()
        }))),
    };
    insta::assert_snapshot!(lines(&of_request(&policy)));
}

#[test]
fn every_setting_of_a_backend() {
    let policy = BackendPolicy {
        balancing: sourced(Balancing {
            algorithm: Algorithm::RingHash {
                key: HashKey::Cookie { name: "sid".into(), ttl: Some(60 * SECOND) },
                ring_size: 1024,
                bounded_load: Some(1250),
            },
            slow_start: None,
            locality: Locality::Off,
            panic_threshold: Ppm(0),
            max_requests_per_endpoint: Some(10),
        }),
        circuit_breaker: sourced(CircuitBreaker {
            connections: Some(1),
            pending: Some(2),
            requests: Some(3),
            streams: Some(4),
            retries: Some(5),
        }),
        retry_budget: sourced(RetryBudget::default()),
        outlier: sourced(OutlierDetection {
            consecutive_errors: None,
            success_rate: Some(mesh_model::traffic::SuccessRate {
                min_requests: 100,
                min_endpoints: 5,
                deviations: 1900,
            }),
            latency: Some(mesh_model::traffic::LatencyOutlier { min_requests: 100, factor: 3000 }),
            ..OutlierDetection::default()
        }),
        health_check: Some(sourced(HealthCheck {
            probe: Probe::Http { path: "/healthz".into(), host: None, statuses: (200, 299) },
            interval: 10 * SECOND,
            timeout: SECOND,
            unhealthy_after: 3,
            healthy_after: 2,
        })),
        connect_timeout: Some(sourced(SECOND)),
        protocol: Some(sourced(mesh_model::service::Protocol::Http2)),
        concurrency: Some(sourced(AdaptiveConcurrency { min: 4, max: 1000, tolerance: 1500, queue: 10 })),
    };
    insta::assert_snapshot!(lines(&of_backend(&policy)));
}

#[test]
fn algorithms_and_probes() {
    let texts = [
        algorithm(&Algorithm::PeakEwma),
        algorithm(&Algorithm::LeastRequest { choices: 3 }),
        algorithm(&Algorithm::RoundRobin),
        algorithm(&Algorithm::Random),
        algorithm(&Algorithm::Maglev { key: HashKey::SourceAddress, table_size: 65_537, bounded_load: None }),
        algorithm(&Algorithm::RingHash {
            key: HashKey::Header("x-user".into()),
            ring_size: 1,
            bounded_load: None,
        }),
        retries(&Retries { attempts: 0, ..mesh_model::traffic::default_retries() }),
        outlier(&OutlierDetection { consecutive_errors: None, ..OutlierDetection::default() }),
        fault(&Fault { abort: Some((Abort::Grpc(14), Ppm(1_000_000))), ..Fault::default() }),
        rate_limits(&[]),
        bodies(&BodyLimits::default()),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}
