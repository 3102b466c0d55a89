//! Arbitrary policies. Strategies are boxed: their trees would not fit on the stack of a test.

use mesh_model::traffic::{
    Abort, AdaptiveConcurrency, Algorithm, Backoff, Balancing, BodyLimits, CircuitBreaker, DirectResponse,
    Fault, HashKey, HealthCheck, Hedging, LatencyOutlier, Locality, OutlierDetection, PolicyTarget, Probe,
    Pushback, RateKey, RateLimit, RequestTimeouts, Retries, RetryBudget, RetryMethods, RetryOn, SessionKind,
    SessionPersistence, SlowStart, SuccessRate, TrafficSettings,
};

use super::*;

fn target() -> impl Strategy<Value = PolicyTarget> {
    let route = (select(vec![RouteKind::Http, RouteKind::Grpc]), service_name(), option::of("[a-z]{1,5}"));
    prop_oneof![
        (service_name(), option::of(port()))
            .prop_map(|(service, port)| PolicyTarget::Service { service, port }),
        route.prop_map(|(kind, name, rule)| PolicyTarget::Route {
            route: RouteId { kind, name: name.0 },
            rule
        }),
    ]
}

fn limit() -> impl Strategy<Value = Option<Duration>> {
    option::of(time())
}

fn some() -> impl Strategy<Value = u32> {
    1..=u32::MAX
}

fn factor() -> impl Strategy<Value = u32> {
    1_001..=bounds::FACTOR
}

fn timeouts() -> BoxedStrategy<RequestTimeouts> {
    (limit(), limit(), limit(), limit())
        .prop_map(|(request, attempt, idle, stream)| RequestTimeouts { request, attempt, idle, stream })
        .boxed()
}

fn retries() -> BoxedStrategy<Retries> {
    let kinds = vec![
        RetryOn::ConnectFailure,
        RetryOn::RefusedStream,
        RetryOn::Reset,
        RetryOn::AttemptTimeout,
        RetryOn::GatewayError,
        RetryOn::ServerError,
    ];
    let what = (
        0..=bounds::ATTEMPTS,
        vec(select(kinds), 0..4),
        vec(400_u16..=599, 0..3),
        vec(0_u8..=16, 0..3),
        select(vec![RetryMethods::Idempotent, RetryMethods::All]),
    );
    let pushback = prop_oneof![time().prop_map(Pushback::Honour), Just(Pushback::Ignore)];
    let backoff = (time(), time()).prop_map(|(a, b)| Backoff { base: a.min(b), most: a.max(b) });
    (what, limit(), backoff, 0..=bounds::REPLAY_BYTES, pushback)
        .prop_map(
            |(
                (attempts, on, statuses, grpc_statuses, methods),
                attempt_timeout,
                backoff,
                body_bytes,
                pushback,
            )| {
                Retries {
                    attempts,
                    on,
                    statuses,
                    grpc_statuses,
                    methods,
                    attempt_timeout,
                    backoff,
                    body_bytes,
                    pushback,
                }
            },
        )
        .boxed()
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("[a-z][a-z0-9-]{0,5}", "[ -~]{0,6}"), 0..3)
}

fn fault() -> BoxedStrategy<Fault> {
    let answer = prop_oneof![(200_u16..=599).prop_map(Abort::Http), (0_u8..=16).prop_map(Abort::Grpc)];
    (option::of((time(), share())), option::of((answer, share())), headers())
        .prop_map(|(delay, abort, headers)| Fault { delay, abort, headers })
        .boxed()
}

pub(super) fn session() -> BoxedStrategy<SessionPersistence> {
    let cookies = vec![SessionKind::SessionCookie, SessionKind::PermanentCookie];
    let name = prop_oneof![
        ("[a-zA-Z][a-zA-Z0-9_-]{0,6}", select(cookies)),
        ("[a-z][a-z0-9-]{0,6}", Just(SessionKind::Header)),
    ];
    (name, limit(), limit())
        .prop_map(|((name, kind), absolute_timeout, idle_timeout)| SessionPersistence {
            name,
            kind,
            absolute_timeout,
            idle_timeout,
        })
        .boxed()
}

fn rate_limits() -> BoxedStrategy<Vec<RateLimit>> {
    let key = prop_oneof![
        Just(RateKey::ClientIdentity),
        "[a-z][a-z-]{0,6}".prop_map(RateKey::Header),
        Just(RateKey::Route),
        Just(RateKey::Method),
    ];
    let one = ("[a-z]{1,6}", some(), time(), some(), vec(key, 0..3), headers()).prop_map(
        |(name, requests, per, burst, keys, headers)| RateLimit { name, requests, per, burst, keys, headers },
    );
    vec(one, 0..3)
        .prop_map(|mut limits| {
            limits.sort_by(|a, b| a.name.cmp(&b.name));
            limits.dedup_by(|a, b| a.name == b.name);
            limits
        })
        .boxed()
}

fn key() -> BoxedStrategy<HashKey> {
    prop_oneof![
        "[a-z][a-z-]{0,6}".prop_map(HashKey::Header),
        ("[a-zA-Z][a-zA-Z_]{0,6}", limit()).prop_map(|(name, ttl)| HashKey::Cookie { name, ttl }),
        Just(HashKey::SourceAddress),
    ]
    .boxed()
}

fn balancing() -> BoxedStrategy<Balancing> {
    let algorithm = prop_oneof![
        Just(Algorithm::PeakEwma),
        (2..=bounds::CHOICES).prop_map(|choices| Algorithm::LeastRequest { choices }),
        Just(Algorithm::RoundRobin),
        Just(Algorithm::Random),
        (key(), 1..=bounds::RING, option::of(factor()))
            .prop_map(|(key, ring_size, bounded_load)| Algorithm::RingHash { key, ring_size, bounded_load }),
        (key(), select(vec![2, 65_537, bounds::MAGLEV]), option::of(factor()))
            .prop_map(|(key, table_size, bounded_load)| Algorithm::Maglev { key, table_size, bounded_load }),
    ];
    let slow_start = (time(), share()).prop_map(|(window, floor)| SlowStart { window, floor });
    let locality = select(vec![Locality::PreferZone, Locality::Off]);
    (algorithm, option::of(slow_start), locality, share(), option::of(some()))
        .prop_map(|(algorithm, slow_start, locality, panic_threshold, max_requests_per_endpoint)| Balancing {
            algorithm,
            slow_start,
            locality,
            panic_threshold,
            max_requests_per_endpoint,
        })
        .boxed()
}

fn outlier() -> BoxedStrategy<OutlierDetection> {
    let success_rate =
        (some(), some(), 1..=bounds::FACTOR).prop_map(|(min_requests, min_endpoints, deviations)| {
            SuccessRate { min_requests, min_endpoints, deviations }
        });
    let latency =
        (some(), factor()).prop_map(|(min_requests, factor)| LatencyOutlier { min_requests, factor });
    let ejections = (time(), time()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    (option::of(some()), time(), ejections, share(), option::of(success_rate), option::of(latency))
        .prop_map(
            |(
                consecutive_errors,
                interval,
                (base_ejection, max_ejection),
                max_ejected,
                success_rate,
                latency,
            )| {
                OutlierDetection {
                    consecutive_errors,
                    interval,
                    base_ejection,
                    max_ejection,
                    max_ejected,
                    success_rate,
                    latency,
                }
            },
        )
        .boxed()
}

fn health_check() -> BoxedStrategy<HealthCheck> {
    let http = ("/[a-z?=]{0,6}", option::of("[a-z]{1,6}"), 100_u16..=300, 300_u16..=599);
    let probe = prop_oneof![
        http.prop_map(|(path, host, first, last)| Probe::Http { path, host, statuses: (first, last) }),
        "[a-z.]{0,8}".prop_map(|service| Probe::Grpc { service }),
        Just(Probe::Tcp),
    ];
    (probe, time(), time(), some(), some())
        .prop_map(|(probe, interval, timeout, unhealthy_after, healthy_after)| HealthCheck {
            probe,
            interval,
            timeout,
            unhealthy_after,
            healthy_after,
        })
        .boxed()
}

fn request_settings() -> BoxedStrategy<TrafficSettings> {
    let hedging = (time(), 1..=bounds::HEDGES).prop_map(|(delay, extra)| Hedging { delay, extra });
    let direct_response = (200_u16..=599, "\\PC{0,9}", "[a-z]{1,5}/[a-z]{1,5}")
        .prop_map(|(status, body, content_type)| DirectResponse { status, body, content_type });
    let bodies = (option::of(any::<u64>()), option::of(any::<u64>()))
        .prop_map(|(request, response)| BodyLimits { request, response });
    (
        (option::of(timeouts()), option::of(retries()), option::of(hedging), option::of(fault())),
        (
            option::of(direct_response),
            option::of(bodies),
            option::of(session()),
            option::of(rate_limits()),
            option::of(asking::global_rate()),
            option::of(key()),
            option::of(compare()),
        ),
    )
        .prop_map(
            |(
                (timeouts, retries, hedging, fault),
                (direct_response, bodies, session, rate_limits, global_rate, split, compare),
            )| {
                TrafficSettings {
                    timeouts,
                    retries,
                    hedging,
                    fault,
                    direct_response,
                    bodies,
                    session,
                    rate_limits,
                    global_rate,
                    split,
                    compare,
                    ..TrafficSettings::default()
                }
            },
        )
        .boxed()
}

fn settings() -> BoxedStrategy<TrafficSettings> {
    let breaker = (
        option::of(some()),
        option::of(any::<u32>()),
        option::of(some()),
        option::of(some()),
        option::of(any::<u32>()),
    )
        .prop_map(|(connections, pending, requests, streams, retries)| CircuitBreaker {
            connections,
            pending,
            requests,
            streams,
            retries,
        });
    let budget = (share(), any::<u32>(), time()).prop_map(|(share, min_per_second, window)| RetryBudget {
        share,
        min_per_second,
        window,
    });
    let concurrency = (some(), some(), factor(), any::<u32>()).prop_map(|(a, b, tolerance, queue)| {
        AdaptiveConcurrency { min: a.min(b), max: a.max(b), tolerance, queue }
    });
    (
        request_settings(),
        (option::of(balancing()), option::of(breaker), option::of(budget), option::of(outlier())),
        (option::of(health_check()), limit(), option::of(protocol()), option::of(concurrency)),
    )
        .prop_map(
            |(
                request,
                (balancing, circuit_breaker, retry_budget, outlier),
                (health_check, connect_timeout, protocol, concurrency),
            )| TrafficSettings {
                balancing,
                circuit_breaker,
                retry_budget,
                outlier,
                health_check,
                connect_timeout,
                protocol,
                concurrency,
                ..request
            },
        )
        .boxed()
}

pub(super) fn policy() -> BoxedStrategy<TrafficPolicy> {
    (service_name(), vec(target(), 0..3), any::<u64>(), "\\PC{0,20}", settings())
        .prop_map(|(name, targets, created, origin, settings)| TrafficPolicy {
            name: name.0,
            targets,
            created,
            origin,
            settings,
        })
        .boxed()
}
