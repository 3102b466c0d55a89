//! Policies to the wire. It must not decide which of them is in force.

use std::time::Duration;

use mesh_model::traffic::{
    Abort, Algorithm, Balancing, Fault, HashKey, HealthCheck, Locality, OutlierDetection, PolicyTarget,
    Probe, Pushback, RateKey, RateLimit, RequestTimeouts, Retries, RetryMethods, RetryOn, SessionKind,
    SessionPersistence, TrafficPolicy, TrafficSettings,
};

use super::asking::global_rate;
use super::{compare, headers, millis, protocol, route_kind};
use crate::config::v1 as wire;

/// A policy.
pub fn policy(policy: &TrafficPolicy) -> wire::TrafficPolicy {
    wire::TrafficPolicy {
        namespace: policy.name.namespace().to_owned(),
        name: policy.name.name().to_owned(),
        targets: policy.targets.iter().map(target).collect(),
        created: policy.created,
        origin: policy.origin.clone(),
        settings: Some(settings(&policy.settings)),
    }
}

fn target(target: &PolicyTarget) -> wire::PolicyTarget {
    let target = match target {
        PolicyTarget::Service { service, port } => {
            wire::policy_target::Target::Service(wire::ServicePolicyTarget {
                namespace: service.0.namespace().to_owned(),
                name: service.0.name().to_owned(),
                port: port.unwrap_or(0).into(),
            })
        }
        PolicyTarget::Route { route, rule } => wire::policy_target::Target::Route(wire::RoutePolicyTarget {
            kind: route_kind(route.kind).into(),
            namespace: route.name.namespace().to_owned(),
            name: route.name.name().to_owned(),
            rule: rule.clone().unwrap_or_default(),
        }),
    };
    wire::PolicyTarget { target: Some(target) }
}

fn settings(settings: &TrafficSettings) -> wire::TrafficSettings {
    let s = settings;
    wire::TrafficSettings {
        timeouts: s.timeouts.as_ref().map(timeouts),
        retries: s.retries.as_ref().map(retries),
        hedging: s.hedging.map(|h| wire::Hedging { delay_ms: millis(h.delay), extra: h.extra }),
        fault: s.fault.as_ref().map(fault),
        direct_response: s.direct_response.as_ref().map(|answer| wire::DirectResponse {
            status: answer.status.into(),
            body: answer.body.clone(),
            content_type: answer.content_type.clone(),
        }),
        bodies: s.bodies.map(|bodies| wire::BodyLimits {
            request_bytes: bodies.request,
            response_bytes: bodies.response,
        }),
        session: s.session.as_ref().map(session),
        rate_limits: s
            .rate_limits
            .as_ref()
            .map(|limits| wire::RateLimits { limits: limits.iter().map(rate_limit).collect() }),
        global_rate: s.global_rate.as_ref().map(global_rate),
        split: s.split.as_ref().map(hash_key),
        compare: s.compare.as_deref().map(compare),
        balancing: s.balancing.as_ref().map(balancing),
        circuit_breaker: s.circuit_breaker.map(|c| wire::CircuitBreaker {
            connections: c.connections,
            pending: c.pending,
            requests: c.requests,
            streams: c.streams,
            retries: c.retries,
        }),
        retry_budget: s.retry_budget.map(|budget| wire::RetryBudget {
            share_ppm: budget.share.0,
            min_per_second: budget.min_per_second,
            window_ms: millis(budget.window),
        }),
        outlier: s.outlier.as_ref().map(outlier),
        health_check: s.health_check.as_ref().map(health_check),
        connect_timeout_ms: s.connect_timeout.map(millis),
        protocol: protocol(s.protocol).into(),
        concurrency: s.concurrency.map(|c| wire::AdaptiveConcurrency {
            min: c.min,
            max: c.max,
            tolerance: c.tolerance,
            queue: c.queue,
        }),
    }
}

fn timeouts(timeouts: &RequestTimeouts) -> wire::RequestTimeouts {
    let limit = |limit: Option<Duration>| limit.map(millis);
    wire::RequestTimeouts {
        request_ms: limit(timeouts.request),
        attempt_ms: limit(timeouts.attempt),
        idle_ms: limit(timeouts.idle),
        stream_ms: limit(timeouts.stream),
    }
}

fn retries(retries: &Retries) -> wire::Retries {
    let on = |on: &RetryOn| match on {
        RetryOn::ConnectFailure => wire::RetryOn::ConnectFailure.into(),
        RetryOn::RefusedStream => wire::RetryOn::RefusedStream.into(),
        RetryOn::Reset => wire::RetryOn::Reset.into(),
        RetryOn::AttemptTimeout => wire::RetryOn::AttemptTimeout.into(),
        RetryOn::GatewayError => wire::RetryOn::GatewayError.into(),
        RetryOn::ServerError => wire::RetryOn::ServerError.into(),
    };
    let methods = match retries.methods {
        RetryMethods::Idempotent => wire::RetryMethods::Idempotent,
        RetryMethods::All => wire::RetryMethods::All,
    };
    wire::Retries {
        attempts: retries.attempts,
        on: retries.on.iter().map(on).collect(),
        statuses: retries.statuses.iter().copied().map(u32::from).collect(),
        grpc_statuses: retries.grpc_statuses.iter().copied().map(u32::from).collect(),
        methods: methods.into(),
        attempt_timeout_ms: retries.attempt_timeout.map(millis),
        backoff_base_ms: millis(retries.backoff.base),
        backoff_most_ms: millis(retries.backoff.most),
        body_bytes: retries.body_bytes,
        pushback_ms: match retries.pushback {
            Pushback::Honour(most) => Some(millis(most)),
            Pushback::Ignore => None,
        },
    }
}

fn fault(fault: &Fault) -> wire::Fault {
    let abort = |abort: Abort| match abort {
        Abort::Http(status) => wire::fault_abort::Answer::HttpStatus(status.into()),
        Abort::Grpc(status) => wire::fault_abort::Answer::GrpcStatus(status.into()),
    };
    wire::Fault {
        delay: fault
            .delay
            .map(|(delay, share)| wire::FaultDelay { delay_ms: millis(delay), share_ppm: share.0 }),
        abort: fault
            .abort
            .map(|(answer, share)| wire::FaultAbort { answer: Some(abort(answer)), share_ppm: share.0 }),
        headers: headers(&fault.headers),
    }
}

/// Of a policy or of a rule.
pub(super) fn session(session: &SessionPersistence) -> wire::SessionPersistence {
    let kind = match session.kind {
        SessionKind::SessionCookie => wire::SessionKind::SessionCookie,
        SessionKind::PermanentCookie => wire::SessionKind::PermanentCookie,
        SessionKind::Header => wire::SessionKind::Header,
    };
    wire::SessionPersistence {
        name: session.name.clone(),
        kind: kind.into(),
        absolute_timeout_ms: session.absolute_timeout.map(millis),
        idle_timeout_ms: session.idle_timeout.map(millis),
    }
}

fn rate_limit(limit: &RateLimit) -> wire::RateLimit {
    let key = |key: &RateKey| {
        let part = |part: wire::RateKeyPart| wire::rate_key::Key::Part(part.into());
        let key = match key {
            RateKey::ClientIdentity => part(wire::RateKeyPart::ClientIdentity),
            RateKey::Header(name) => wire::rate_key::Key::Header(name.clone()),
            RateKey::Route => part(wire::RateKeyPart::Route),
            RateKey::Method => part(wire::RateKeyPart::Method),
        };
        wire::RateKey { key: Some(key) }
    };
    wire::RateLimit {
        name: limit.name.clone(),
        requests: limit.requests,
        per_ms: millis(limit.per),
        burst: limit.burst,
        keys: limit.keys.iter().map(key).collect(),
        headers: headers(&limit.headers),
    }
}

fn balancing(balancing: &Balancing) -> wire::Balancing {
    let table = |key: &HashKey, size: u32, bounded_load: Option<u32>| wire::HashTable {
        key: Some(hash_key(key)),
        size,
        bounded_load,
    };
    let algorithm = match &balancing.algorithm {
        Algorithm::PeakEwma => wire::balancing::Algorithm::PeakEwma(wire::PeakEwma {}),
        Algorithm::LeastRequest { choices } => {
            wire::balancing::Algorithm::LeastRequest(wire::LeastRequest { choices: *choices })
        }
        Algorithm::RoundRobin => wire::balancing::Algorithm::RoundRobin(wire::RoundRobin {}),
        Algorithm::Random => wire::balancing::Algorithm::Random(wire::RandomChoice {}),
        Algorithm::RingHash { key, ring_size, bounded_load } => {
            wire::balancing::Algorithm::RingHash(table(key, *ring_size, *bounded_load))
        }
        Algorithm::Maglev { key, table_size, bounded_load } => {
            wire::balancing::Algorithm::Maglev(table(key, *table_size, *bounded_load))
        }
    };
    let locality = match balancing.locality {
        Locality::PreferZone => wire::Locality::PreferZone,
        Locality::Off => wire::Locality::Off,
    };
    wire::Balancing {
        algorithm: Some(algorithm),
        slow_start: balancing
            .slow_start
            .map(|slow| wire::SlowStart { window_ms: millis(slow.window), floor_ppm: slow.floor.0 }),
        locality: locality.into(),
        panic_threshold_ppm: balancing.panic_threshold.0,
        max_requests_per_endpoint: balancing.max_requests_per_endpoint,
    }
}

fn hash_key(key: &HashKey) -> wire::HashKey {
    let key = match key {
        HashKey::Header(name) => wire::hash_key::Key::Header(name.clone()),
        HashKey::Cookie { name, ttl } => {
            wire::hash_key::Key::Cookie(wire::HashCookie { name: name.clone(), ttl_ms: ttl.map(millis) })
        }
        HashKey::SourceAddress => wire::hash_key::Key::SourceAddress(wire::SourceAddress {}),
    };
    wire::HashKey { key: Some(key) }
}

fn outlier(outlier: &OutlierDetection) -> wire::OutlierDetection {
    wire::OutlierDetection {
        consecutive_errors: outlier.consecutive_errors,
        interval_ms: millis(outlier.interval),
        base_ejection_ms: millis(outlier.base_ejection),
        max_ejection_ms: millis(outlier.max_ejection),
        max_ejected_ppm: outlier.max_ejected.0,
        success_rate: outlier.success_rate.map(|rate| wire::SuccessRate {
            min_requests: rate.min_requests,
            min_endpoints: rate.min_endpoints,
            deviations: rate.deviations,
        }),
        latency: outlier
            .latency
            .map(|one| wire::LatencyOutlier { min_requests: one.min_requests, factor: one.factor }),
    }
}

fn health_check(check: &HealthCheck) -> wire::HealthCheck {
    let probe = match &check.probe {
        Probe::Http { path, host, statuses: (first, last) } => {
            wire::health_check::Probe::Http(wire::HttpProbe {
                path: path.clone(),
                host: host.clone().unwrap_or_default(),
                first_status: (*first).into(),
                last_status: (*last).into(),
            })
        }
        Probe::Grpc { service } => {
            wire::health_check::Probe::Grpc(wire::GrpcProbe { service: service.clone() })
        }
        Probe::Tcp => wire::health_check::Probe::Tcp(wire::TcpProbe {}),
    };
    wire::HealthCheck {
        probe: Some(probe),
        interval_ms: millis(check.interval),
        timeout_ms: millis(check.timeout),
        unhealthy_after: check.unhealthy_after,
        healthy_after: check.healthy_after,
    }
}
