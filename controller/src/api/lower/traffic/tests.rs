//! What a TrafficPolicy may say, what becomes of it, and what is told of one that cannot be used.

use std::time::Duration;

use mesh_model::name::Name;
use mesh_model::service::Protocol;
use mesh_model::traffic as model;
use mesh_model::traffic::Ppm;
use mesh_proto::convert::{self, ModelResource};

use super::*;
use crate::api::Object;
use crate::sources::documents::{Document, read_documents};

const FULL: &str = include_str!("full.yaml");

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: amime.io/v1alpha1, kind: TrafficPolicy, metadata: {{name: p, namespace: shop}}, spec: {spec}}}"
    )
}

/// A policy on a Service with these settings.
fn on_service(settings: &str) -> String {
    policy(&format!("{{targetRefs: [{{kind: Service, name: web}}], {settings}}}"))
}

/// What a good document says.
fn settings(yaml: &str) -> TrafficSettings {
    match read_documents(yaml.as_bytes()).remove(0) {
        Document::Good(read) => {
            let Object::TrafficPolicy(policy) = read.object else { panic!("not a policy") };
            lower(&policy).0
        }
        Document::Bad(problems) | Document::Closed(_, problems) => panic!("{problems:?}"),
    }
}

/// `FIELD: MESSAGE` of every fault of the one document.
fn faults(yaml: &str) -> Vec<String> {
    match read_documents(yaml.as_bytes()).remove(0) {
        Document::Good(_) => Vec::new(),
        Document::Bad(problems) | Document::Closed(_, problems) => {
            problems.into_iter().map(|problem| problem.fault.to_string()).collect()
        }
    }
}

#[test]
fn a_full_policy_says_all_that_it_says() {
    let all = settings(FULL);
    let every: Vec<&str> = fields(&all).into_iter().map(|(field, _)| field).collect();
    assert_eq!(every.len(), 17, "{every:?}");
    let seconds = |n| Some(Duration::from_secs(n));
    let timeouts = all.timeouts.unwrap();
    assert_eq!((timeouts.request, timeouts.attempt), (seconds(10), seconds(2)));
    assert_eq!((timeouts.idle, timeouts.stream), (seconds(300), None), "zero is no limit");
    assert_eq!(
        all.retries.unwrap(),
        model::Retries {
            attempts: 3,
            on: vec![model::RetryOn::ConnectFailure, model::RetryOn::Reset],
            statuses: vec![429, 503],
            grpc_statuses: vec![8, 14],
            methods: model::RetryMethods::All,
            attempt_timeout: Some(Duration::from_millis(500)),
            backoff: model::Backoff { base: Duration::from_millis(10), most: Duration::from_secs(1) },
            body_bytes: 131_072,
            pushback: model::Pushback::Honour(Duration::from_secs(5)),
        }
    );
    assert_eq!(all.bodies.unwrap(), model::BodyLimits { request: Some(1 << 20), response: Some(10 << 20) });
    assert_eq!(
        all.balancing.unwrap(),
        model::Balancing {
            algorithm: model::Algorithm::RingHash {
                key: model::HashKey::Header("x-user".to_owned()),
                ring_size: 2_048,
                bounded_load: Some(1_255),
            },
            slow_start: Some(model::SlowStart { window: Duration::from_secs(30), floor: Ppm(50_000) }),
            locality: model::Locality::Off,
            panic_threshold: Ppm(250_000),
            max_requests_per_endpoint: Some(100),
        }
    );
    let limits = all.rate_limits.unwrap();
    assert_eq!(
        limits[0].keys,
        [model::RateKey::ClientIdentity, model::RateKey::Header("x-tenant".to_owned())]
    );
    assert_eq!((limits[0].burst, limits[1].burst), (200, 5), "the burst is the rate unless it is written");
    assert_eq!(all.fault.unwrap().abort, Some((model::Abort::Grpc(14), Ppm(5_000))));
    assert_eq!((all.protocol, all.connect_timeout), (Some(Protocol::Http2), seconds(1)));
    assert_eq!(all.session.unwrap().name, "basket");
}

/// The proxy has bounds of its own; a policy that this controller takes must not fail there.
#[test]
fn what_is_accepted_here_can_be_read_by_proxies() {
    let extremes = [
        "connectTimeout: 1ms",
        "connectTimeout: 1m",
        "retries: {attempts: 0, retryOn: [], statuses: [], grpcStatuses: [], bodyBytes: 0, backoff: {base: 0s, max: 0s}, respectRetryAfter: false}",
        "retries: {attempts: 10, bodyBytes: 16Mi, maxRetryAfter: 1h, perTryTimeout: 1h, statuses: [400, 599]}",
        "hedging: {delay: 1ms, attempts: 4}",
        "fault: {delay: {duration: 1h, percent: 0}}",
        "directResponse: {status: 200}",
        "requestBodyLimit: 0",
        "loadBalancer: {type: RingHash, hashOn: {cookie: {name: s, ttl: 8760h}}, ringSize: 1048576, boundedLoad: 10000}",
        "loadBalancer: {type: Maglev, hashOn: {sourceAddress: true}, tableSize: 5000011, boundedLoad: 101}",
        "loadBalancer: {type: Maglev, hashOn: {header: X}, tableSize: 11}",
        "loadBalancer: {type: LeastRequest, choices: 16, slowStart: {window: 0s}, panicThreshold: 0}",
        "circuitBreaker: {maxPendingRequests: 0, maxRetries: 0, maxConnections: 1}",
        "retryBudget: {percent: 0, minPerSecond: 0}",
        "outlierDetection: {consecutiveErrors: 0, maxEjectionPercent: 100, successRate: {deviations: 0.1}, latency: {factor: 1.1}}",
        "healthCheck: {tcp: {}, interval: 100ms, timeout: 100ms}",
        "healthCheck: {grpc: {}}",
        "healthCheck: {http: {path: '/health?deep=1', host: a.example, expectedStatuses: {min: 200, max: 204}}}",
        "concurrency: {min: 1, max: 1, tolerance: 1.1, queue: 0}",
        "rateLimits: []",
        "sessionPersistence: {}",
        "timeouts: {}",
    ];
    let documents = extremes.map(on_service).into_iter().chain([FULL.to_owned()]);
    for document in documents {
        let policy = model::TrafficPolicy {
            name: Name::new("shop", "p").unwrap(),
            targets: vec![],
            created: 0,
            origin: String::new(),
            settings: settings(&document),
        };
        let resource = ModelResource::Policy(policy);
        assert_eq!(convert::decode(convert::encode(&resource)).expect(&document), resource, "{document}");
    }
}

#[test]
fn defaults_are_what_the_reference_says() {
    let retries = settings(&on_service("retries: {}")).retries.unwrap();
    assert_eq!(retries.attempts, 2);
    assert_eq!((retries.statuses, retries.grpc_statuses), (vec![503], vec![14]));
    assert_eq!(retries.methods, model::RetryMethods::Idempotent);
    let balancing = settings(&on_service("loadBalancer: {}")).balancing.unwrap();
    assert_eq!(balancing, model::Balancing::default());
    let outlier = settings(&on_service("outlierDetection: {}")).outlier.unwrap();
    assert_eq!(outlier, model::OutlierDetection::default());
    let budget = settings(&on_service("retryBudget: {}")).retry_budget.unwrap();
    assert_eq!(budget, model::RetryBudget::default());
}

#[test]
fn sizes_may_be_numbers_or_texts() {
    for (written, bytes) in [("65536", 65_536), ("'65536'", 65_536), ("64Ki", 65_536), ("1M", 1_000_000)] {
        let limits = settings(&on_service(&format!("requestBodyLimit: {written}"))).bodies.unwrap();
        assert_eq!(limits.request, Some(bytes), "{written}");
    }
}

#[test]
fn every_bad_target_is_told() {
    let table = [
        ("{timeouts: {request: 1s}}", "spec: missing field `targetRefs`"),
        (
            "{targetRefs: [], timeouts: {request: 1s}}",
            "spec.targetRefs: is empty; name a Service, an HTTPRoute or a GRPCRoute",
        ),
        (
            "{targetRefs: [{kind: Gateway, name: web}], timeouts: {request: 1s}}",
            "spec.targetRefs[0].kind: unknown variant `Gateway`, expected one of `Service`, `HTTPRoute`, `GRPCRoute`",
        ),
        (
            "{targetRefs: [{group: apps, kind: Service, name: web}], timeouts: {request: 1s}}",
            "spec.targetRefs[0].group: `apps` has no such kind; write `group: \"\"` or leave it out",
        ),
        (
            "{targetRefs: [{group: '', kind: HTTPRoute, name: web}], timeouts: {request: 1s}}",
            "spec.targetRefs[0].group: `` has no such kind; write `group: \"gateway.networking.k8s.io\"` or leave it out",
        ),
        (
            "{targetRefs: [{kind: HTTPRoute, name: web, port: 80}], timeouts: {request: 1s}}",
            "spec.targetRefs[0].port: only a Service has ports; a rule of a route is named by `sectionName`",
        ),
        (
            "{targetRefs: [{kind: Service, name: web, port: 80, sectionName: http}], timeouts: {request: 1s}}",
            "spec.targetRefs[0].port: `sectionName` names the port too; remove one of the two",
        ),
        (
            "{targetRefs: [{kind: Service, name: web}, {group: '', kind: Service, name: web}], timeouts: {request: 1s}}",
            "spec.targetRefs[1]: is there twice; remove one of the two",
        ),
        (
            "{targetRefs: [{kind: Service, name: web, namespace: shop}], timeouts: {request: 1s}}",
            "spec.targetRefs[0].namespace: TrafficPolicy has no such field",
        ),
        (
            "{targetRefs: [{kind: Service, name: web}]}",
            "spec: sets nothing; add a setting such as `retries`, or delete the policy",
        ),
        (
            "{targetRefs: [{kind: HTTPRoute, name: web}], circuitBreaker: {maxRequests: 5}}",
            "spec.circuitBreaker: has no effect on a route; target the Service that requests go to",
        ),
    ];
    for (spec, fault) in table {
        assert_eq!(faults(&policy(spec)), [fault], "{spec}");
    }
    let many = vec!["{kind: Service, name: web}"; 17].join(", ");
    let told = faults(&policy(&format!("{{targetRefs: [{many}], timeouts: {{request: 1s}}}}")));
    assert!(told.contains(&"spec.targetRefs: 17 entries, at most 16 are allowed".to_owned()), "{told:?}");
}

/// Settings and what is told of them.
const BAD_FOR_REQUESTS: &[(&str, &str)] = &[
    (
        "timeouts: {request: 1.5s}",
        "spec.timeouts.request: `1.5s` is not a duration: a number has no unit, or an unknown one; write one to four numbers of at most five digits, each with h, m, s or ms, such as 1m30s",
    ),
    ("timeouts: {request: 5}", "spec.timeouts.request: needs a text, found the number 5; write it in quotes"),
    ("timeouts: {total: 5s}", "spec.timeouts.total: TrafficPolicy has no such field"),
    ("timeouts: {request: 1s, attempt: 2s}", "spec.timeouts.attempt: longer than `request`; it must not be"),
    ("retries: {attempts: 11}", "spec.retries.attempts: 11 is out of bounds; use 0 to 10"),
    ("retries: {attempts: -1}", "spec.retries.attempts: invalid value: integer `-1`, expected u32"),
    ("retries: {statuses: [503, 200]}", "spec.retries.statuses[1]: 200 is out of bounds; use 400 to 599"),
    (
        "retries: {retryOn: [5xx]}",
        "spec.retries.retryOn[0]: unknown variant `5xx`, expected one of `ConnectFailure`, `RefusedStream`, `Reset`, `AttemptTimeout`, `GatewayError`, `ServerError`",
    ),
    ("retries: {perTryTimeout: 0s}", "spec.retries.perTryTimeout: `0s` is out of bounds; use 1ms to 1h"),
    (
        "retries: {backoff: {base: 2s, max: 1s}}",
        "spec.retries.backoff.base: longer than `max`; it must not be",
    ),
    (
        "retries: {bodyBytes: 17Mi}",
        "spec.retries.bodyBytes: `17Mi` is out of bounds; use 0 to 16777216 bytes",
    ),
    (
        "retries: {bodyBytes: 1.5Mi}",
        "spec.retries.bodyBytes: `1.5Mi` is not a size; write a number of bytes, or one with k, M, G, Ki, Mi or Gi",
    ),
    ("hedging: {delay: 2m}", "spec.hedging.delay: `2m` is out of bounds; use 1ms to 1m"),
    ("hedging: {delay: 2s, attempts: 5}", "spec.hedging.attempts: 5 is out of bounds; use 1 to 4"),
    ("fault: {}", "spec.fault: needs `delay`, `abort` or both"),
    ("fault: {abort: {percent: 5}}", "spec.fault.abort: needs either `httpStatus` or `grpcStatus`"),
    (
        "fault: {abort: {httpStatus: 503, percent: 101}}",
        "spec.fault.abort.percent: 101 is out of bounds; use 0 to 100",
    ),
    (
        "fault: {delay: {duration: 1s}, headers: [{name: A, value: b}, {name: a, value: c}]}",
        "spec.fault.headers[1].name: `a` is there twice; remove one of the two",
    ),
    ("directResponse: {status: 99}", "spec.directResponse.status: 99 is out of bounds; use 200 to 599"),
    (
        "requestBodyLimit: 10MB",
        "spec.requestBodyLimit: `10MB` is not a size; write a number of bytes, or one with k, M, G, Ki, Mi or Gi",
    ),
    (
        "requestBodyLimit: -1",
        "spec.requestBodyLimit: `-1` is not a size; write a number of bytes, or one with k, M, G, Ki, Mi or Gi",
    ),
    (
        "rateLimits: [{name: a, requests: 0}]",
        "spec.rateLimits[0].requests: 0 is out of bounds; use 1 to 1000000000",
    ),
    (
        "rateLimits: [{name: a, requests: 5, burst: 4}]",
        "spec.rateLimits[0].burst: below `requests`; it must not be",
    ),
    (
        "rateLimits: [{name: a, requests: 5}, {name: a, requests: 6}]",
        "spec.rateLimits[1].name: `a` is the name of another limit",
    ),
    (
        "rateLimits: [{name: A b, requests: 5}]",
        "spec.rateLimits[0].name: `A b` is not a valid name: only a-z, 0-9 and `-` are allowed, and `-` neither first nor last",
    ),
    (
        "rateLimits: [{name: a, requests: 5, keys: [{type: Header}]}]",
        "spec.rateLimits[0].keys[0].name: is missing; name the header",
    ),
    (
        "rateLimits: [{name: a, requests: 5, keys: [{type: Method, name: x}]}]",
        "spec.rateLimits[0].keys[0].name: is for type Header; remove it",
    ),
    (
        "sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}",
        "spec.sessionPersistence.absoluteTimeout: is needed for a permanent cookie",
    ),
    (
        "sessionPersistence: {type: Header, cookie: {}}",
        "spec.sessionPersistence.cookie: is for type Cookie; remove it or the type",
    ),
    (
        "sessionPersistence: {header: {name: x}}",
        "spec.sessionPersistence.header: is for type Header; remove it or set the type",
    ),
    (
        "sessionPersistence: {sessionName: 'a b'}",
        "spec.sessionPersistence.sessionName: `a b` is not a header name",
    ),
    (
        "sessionPersistence: {cookie: {path: /shop}}",
        "spec.sessionPersistence.cookie.path: only `/` is supported; remove it",
    ),
];

#[test]
fn every_bad_setting_of_requests_is_told() {
    for (spec, fault) in BAD_FOR_REQUESTS {
        assert_eq!(faults(&on_service(spec)), [*fault], "{spec}");
    }
}

/// Settings and what is told of them.
const BAD_FOR_BACKENDS: &[(&str, &str)] = &[
    (
        "loadBalancer: {type: Fastest}",
        "spec.loadBalancer.type: unknown variant `Fastest`, expected one of `PeakEWMA`, `LeastRequest`, `RoundRobin`, `Random`, `RingHash`, `Maglev`",
    ),
    (
        "loadBalancer: {type: RingHash}",
        "spec.loadBalancer.hashOn: is missing; name a `header`, a `cookie`, or `sourceAddress: true`",
    ),
    (
        "loadBalancer: {type: RoundRobin, hashOn: {header: x}}",
        "spec.loadBalancer.hashOn: is for type RingHash and Maglev; remove it or change the type",
    ),
    (
        "loadBalancer: {type: Maglev, hashOn: {header: x, sourceAddress: true}}",
        "spec.loadBalancer.hashOn: needs exactly one of `header`, `cookie` and `sourceAddress`",
    ),
    (
        "loadBalancer: {type: Maglev, hashOn: {header: x}, tableSize: 65536}",
        "spec.loadBalancer.tableSize: 65536 is not a prime; use 65537 or leave it out",
    ),
    (
        "loadBalancer: {type: Maglev, hashOn: {header: x}, boundedLoad: 100}",
        "spec.loadBalancer.boundedLoad: 100 is out of bounds; use 101 to 10000",
    ),
    (
        "loadBalancer: {slowStart: {minPercent: 0}}",
        "spec.loadBalancer.slowStart.minPercent: 0 is out of bounds; use 1 to 100",
    ),
    (
        "circuitBreaker: {maxConnections: 0}",
        "spec.circuitBreaker.maxConnections: 0 is out of bounds; use 1 to 1000000",
    ),
    ("retryBudget: {percent: 120}", "spec.retryBudget.percent: 120 is out of bounds; use 0 to 100"),
    (
        "outlierDetection: {baseEjectionTime: 10m}",
        "spec.outlierDetection.baseEjectionTime: longer than `maxEjectionTime`; it must not be",
    ),
    (
        "outlierDetection: {latency: {factor: 1}}",
        "spec.outlierDetection.latency.factor: 1 is out of bounds; use 1.1 to 100",
    ),
    ("healthCheck: {}", "spec.healthCheck: needs exactly one of `http`, `grpc` and `tcp`"),
    ("healthCheck: {tcp: {}, grpc: {}}", "spec.healthCheck: needs exactly one of `http`, `grpc` and `tcp`"),
    (
        "healthCheck: {tcp: {}, timeout: 11s}",
        "spec.healthCheck.timeout: longer than `interval`; it must not be",
    ),
    (
        "healthCheck: {http: {path: health}}",
        "spec.healthCheck.http.path: is not a path: it begins with `/`, has at most 1024 bytes, and no blanks, control characters or `#`",
    ),
    (
        "healthCheck: {http: {path: /, host: 'a:80'}}",
        "spec.healthCheck.http.host: is not a host name without port",
    ),
    (
        "healthCheck: {http: {path: /, expectedStatuses: {min: 300}}}",
        "spec.healthCheck.http.expectedStatuses.min: above `max`; it must not be",
    ),
    ("connectTimeout: 2m", "spec.connectTimeout: `2m` is out of bounds; use 1ms to 1m"),
    (
        "protocol: h2",
        "spec.protocol: unknown variant `h2`, expected one of `HTTP1`, `HTTP2`, `GRPC`, `TCP`, `TLS`",
    ),
    ("concurrency: {min: 20, max: 10}", "spec.concurrency.min: above `max`; it must not be"),
];

#[test]
fn every_bad_setting_of_backends_is_told() {
    for (spec, fault) in BAD_FOR_BACKENDS {
        assert_eq!(faults(&on_service(spec)), [*fault], "{spec}");
    }
}

#[test]
fn a_session_without_a_name_gets_one_that_stays_and_differs_by_policy() {
    let name = |yaml: &str| settings(yaml).session.unwrap().name;
    let first = on_service("sessionPersistence: {}");
    assert_eq!(name(&first), "amime-session-5fee1286");
    assert_ne!(name(&first), name(&first.replace("name: p", "name: q")));
}

#[test]
fn a_policy_may_not_have_the_name_of_another_kind() {
    let named = on_service("timeouts: {request: 1s}").replace("name: p", "name: xbackendtrafficpolicy.p");
    assert_eq!(
        faults(&named),
        [
            "metadata.name: begins with `xbackendtrafficpolicy.`, which the mesh needs itself; choose another one"
        ]
    );
}

#[test]
fn faults_of_the_gateway_apis_policy_are_told() {
    let policy = |spec: &str| {
        format!(
            "{{apiVersion: gateway.networking.x-k8s.io/v1alpha1, kind: XBackendTrafficPolicy, metadata: {{name: p, namespace: shop}}, spec: {spec}}}"
        )
    };
    let on =
        |rest: &str| policy(&format!("{{targetRefs: [{{group: '', kind: Service, name: web}}], {rest}}}"));
    let table = [
        (policy("{targetRefs: []}"), "spec.targetRefs: is empty; name a Service"),
        (
            on("retryConstraint: {budget: {percent: 101}}"),
            "spec.retryConstraint.budget.percent: 101 is out of bounds; use 0 to 100",
        ),
        (
            on("retryConstraint: {budget: {interval: 2h}}"),
            "spec.retryConstraint.budget.interval: `2h` is out of bounds; use 1s to 1h",
        ),
        (
            on("retryConstraint: {minRetryRate: {count: 0}}"),
            "spec.retryConstraint.minRetryRate.count: 0 is out of bounds; use 1 to 1000000",
        ),
        (
            on("sessionPersistence: {type: Header, cookieConfig: {}}"),
            "spec.sessionPersistence.cookieConfig: is for type Cookie; remove it or the type",
        ),
        (on("retry: {}"), "spec.retry: XBackendTrafficPolicy has no such field"),
    ];
    for (yaml, fault) in table {
        assert_eq!(faults(&yaml), [fault], "{yaml}");
    }
    assert_eq!(
        faults(&on("retryConstraint: {}, sessionPersistence: {sessionName: s}")),
        Vec::<String>::new()
    );
}
