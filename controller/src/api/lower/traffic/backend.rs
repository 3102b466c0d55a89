//! Settings about a backend. They must not know requests.

use std::time::Duration;

use mesh_model::service::Protocol;
use mesh_model::traffic as model;

use super::super::Findings;
use super::super::matches::check_header_name;
use super::super::scalars::{
    DAY, HOUR, MILLISECOND, MINUTE, SECOND, YEAR, duration, number, optional, optional_number, per_mille,
    percent, scaled,
};
use crate::api::traffic::{
    BackendProtocol, CircuitBreaker, Concurrency, HashOn, HealthCheck, HttpProbe, LoadBalancer,
    LoadBalancerType, LocalityMode, OutlierDetection, RetryBudget, SlowStart,
};

/// Points on a ring where nothing is written.
const RING_SIZE: u32 = 1_024;
/// Entries of a Maglev table where nothing is written; a prime.
const TABLE_SIZE: u32 = 65_537;
/// The most that any count may say.
const MANY: u32 = 1_000_000;

pub(super) fn balancing(it: &LoadBalancer, findings: &mut Findings) -> model::Balancing {
    let at = "spec.loadBalancer";
    check_parts(it, findings);
    let choices = optional_number(it.choices, &format!("{at}.choices"), 2..=16, findings);
    // Written in percent.
    let bounded_load = it
        .bounded_load
        .map(|load| scaled(load, 10.0, &format!("{at}.boundedLoad"), 101.0..=10_000.0, findings));
    let key = it.hash_on.as_ref().and_then(|key| hash_key(key, "spec.loadBalancer.hashOn", findings));
    let key = key.unwrap_or(model::HashKey::SourceAddress);
    let algorithm = match it.kind {
        LoadBalancerType::PeakEwma => model::Algorithm::PeakEwma,
        LoadBalancerType::LeastRequest => model::Algorithm::LeastRequest { choices: choices.unwrap_or(2) },
        LoadBalancerType::RoundRobin => model::Algorithm::RoundRobin,
        LoadBalancerType::Random => model::Algorithm::Random,
        LoadBalancerType::RingHash => {
            let ring_size = it.ring_size.unwrap_or(RING_SIZE);
            let ring_size = number(ring_size, &format!("{at}.ringSize"), 64..=1_048_576, findings);
            model::Algorithm::RingHash { key, ring_size, bounded_load }
        }
        LoadBalancerType::Maglev => {
            let table_size = it.table_size.unwrap_or(TABLE_SIZE);
            let table_size = number(table_size, &format!("{at}.tableSize"), 11..=5_000_011, findings);
            if !is_prime(table_size) {
                findings.fault(
                    format!("{at}.tableSize"),
                    format!("{table_size} is not a prime; use {} or leave it out", next_prime(table_size)),
                );
            }
            model::Algorithm::Maglev { key, table_size, bounded_load }
        }
    };
    let bounds = 1..=MANY;
    model::Balancing {
        algorithm,
        slow_start: match &it.slow_start {
            Some(given) => slow_start(given, findings),
            None => model::Balancing::default().slow_start,
        },
        locality: match it.locality {
            LocalityMode::PreferZone => model::Locality::PreferZone,
            LocalityMode::Ignore => model::Locality::Off,
        },
        panic_threshold: percent(it.panic_threshold, &format!("{at}.panicThreshold"), 0.0..=100.0, findings),
        max_requests_per_endpoint: optional_number(
            it.max_requests_per_endpoint,
            &format!("{at}.maxRequestsPerEndpoint"),
            bounds,
            findings,
        ),
    }
}

/// Parts that belong to other types than the one that is written.
fn check_parts(it: &LoadBalancer, findings: &mut Findings) {
    let hashes = matches!(it.kind, LoadBalancerType::RingHash | LoadBalancerType::Maglev);
    let (ring, maglev) = (it.kind == LoadBalancerType::RingHash, it.kind == LoadBalancerType::Maglev);
    let least = it.kind == LoadBalancerType::LeastRequest;
    for (part, there, fits, kinds) in [
        ("hashOn", it.hash_on.is_some(), hashes, "RingHash and Maglev"),
        ("boundedLoad", it.bounded_load.is_some(), hashes, "RingHash and Maglev"),
        ("ringSize", it.ring_size.is_some(), ring, "RingHash"),
        ("tableSize", it.table_size.is_some(), maglev, "Maglev"),
        ("choices", it.choices.is_some(), least, "LeastRequest"),
    ] {
        if there && !fits {
            findings.fault(
                format!("spec.loadBalancer.{part}"),
                format!("is for type {kinds}; remove it or change the type"),
            );
        }
    }
    if hashes && it.hash_on.is_none() {
        findings.fault(
            "spec.loadBalancer.hashOn",
            "is missing; name a `header`, a `cookie`, or `sourceAddress: true`",
        );
    }
}

/// What of a request is hashed, as the field `at` says it.
pub(super) fn hash_key(it: &HashOn, at: &str, findings: &mut Findings) -> Option<model::HashKey> {
    match (&it.header, &it.cookie, it.source_address) {
        (Some(name), None, None) => {
            check_header_name(name, &format!("{at}.header"), findings);
            Some(model::HashKey::Header(name.to_ascii_lowercase()))
        }
        (None, Some(cookie), None) => {
            check_header_name(&cookie.name, &format!("{at}.cookie.name"), findings);
            let ttl = optional(cookie.ttl.as_ref(), &format!("{at}.cookie.ttl"), SECOND..=YEAR, findings);
            Some(model::HashKey::Cookie { name: cookie.name.clone(), ttl })
        }
        (None, None, Some(true)) => Some(model::HashKey::SourceAddress),
        (None, None, Some(false)) => {
            findings.fault(format!("{at}.sourceAddress"), "is `true` or absent");
            None
        }
        _ => {
            findings.fault(at, "needs exactly one of `header`, `cookie` and `sourceAddress`");
            None
        }
    }
}

fn is_prime(number: u32) -> bool {
    let mut divisors = (2..).take_while(|n| n * n <= number);
    number > 1 && divisors.all(|divisor| !number.is_multiple_of(divisor))
}

fn next_prime(number: u32) -> u32 {
    (number..=5_000_011).find(|number| is_prime(*number)).unwrap_or(TABLE_SIZE)
}

fn slow_start(it: &SlowStart, findings: &mut Findings) -> Option<model::SlowStart> {
    let at = "spec.loadBalancer.slowStart";
    let window = duration(&it.window, &format!("{at}.window"), Duration::ZERO..=HOUR, findings);
    let floor = percent(it.min_percent, &format!("{at}.minPercent"), 1.0..=100.0, findings);
    (!window.is_zero()).then_some(model::SlowStart { window, floor })
}

pub(super) fn circuit_breaker(it: &CircuitBreaker, findings: &mut Findings) -> model::CircuitBreaker {
    let mut read = |value: Option<u32>, part: &str, least: u32| {
        optional_number(value, &format!("spec.circuitBreaker.{part}"), least..=MANY, findings)
    };
    model::CircuitBreaker {
        connections: read(it.max_connections, "maxConnections", 1),
        pending: read(it.max_pending_requests, "maxPendingRequests", 0),
        requests: read(it.max_requests, "maxRequests", 1),
        streams: read(it.max_streams_per_connection, "maxStreamsPerConnection", 1),
        retries: read(it.max_retries, "maxRetries", 0),
    }
}

pub(super) fn retry_budget(it: &RetryBudget, findings: &mut Findings) -> model::RetryBudget {
    model::RetryBudget {
        share: percent(it.percent, "spec.retryBudget.percent", 0.0..=100.0, findings),
        min_per_second: number(it.min_per_second, "spec.retryBudget.minPerSecond", 0..=MANY, findings),
        window: duration(&it.window, "spec.retryBudget.window", SECOND..=HOUR, findings),
    }
}

pub(super) fn outlier(it: &OutlierDetection, findings: &mut Findings) -> model::OutlierDetection {
    let at = "spec.outlierDetection";
    let least = Duration::from_millis(100);
    let base = duration(&it.base_ejection_time, &format!("{at}.baseEjectionTime"), least..=DAY, findings);
    let most = duration(&it.max_ejection_time, &format!("{at}.maxEjectionTime"), least..=DAY, findings);
    if base > most {
        findings.fault(format!("{at}.baseEjectionTime"), "longer than `maxEjectionTime`; it must not be");
    }
    let in_a_row = number(it.consecutive_errors, &format!("{at}.consecutiveErrors"), 0..=1_000, findings);
    model::OutlierDetection {
        consecutive_errors: Some(in_a_row).filter(|n| *n > 0),
        interval: duration(&it.interval, &format!("{at}.interval"), least..=HOUR, findings),
        base_ejection: base,
        max_ejection: most,
        max_ejected: percent(
            it.max_ejection_percent,
            &format!("{at}.maxEjectionPercent"),
            0.0..=100.0,
            findings,
        ),
        success_rate: it.success_rate.as_ref().map(|it| {
            let at = format!("{at}.successRate");
            model::SuccessRate {
                min_requests: number(it.min_requests, &format!("{at}.minRequests"), 1..=MANY, findings),
                min_endpoints: number(it.min_endpoints, &format!("{at}.minEndpoints"), 2..=10_000, findings),
                deviations: per_mille(it.deviations, &format!("{at}.deviations"), 0.1..=10.0, findings),
            }
        }),
        latency: it.latency.as_ref().map(|it| {
            let at = format!("{at}.latency");
            model::LatencyOutlier {
                min_requests: number(it.min_requests, &format!("{at}.minRequests"), 1..=MANY, findings),
                factor: per_mille(it.factor, &format!("{at}.factor"), 1.1..=100.0, findings),
            }
        }),
    }
}

pub(super) fn health_check(it: &HealthCheck, findings: &mut Findings) -> Option<model::HealthCheck> {
    let at = "spec.healthCheck";
    let interval =
        duration(&it.interval, &format!("{at}.interval"), Duration::from_millis(100)..=HOUR, findings);
    let timeout = duration(&it.timeout, &format!("{at}.timeout"), MILLISECOND..=MINUTE, findings);
    if timeout > interval {
        findings.fault(format!("{at}.timeout"), "longer than `interval`; it must not be");
    }
    let unhealthy_after =
        number(it.unhealthy_threshold, &format!("{at}.unhealthyThreshold"), 1..=100, findings);
    let healthy_after = number(it.healthy_threshold, &format!("{at}.healthyThreshold"), 1..=100, findings);
    let probe = match (&it.http, &it.grpc, it.tcp) {
        (Some(http), None, None) => http_probe(http, findings),
        (None, Some(grpc), None) => {
            let visible = |b: u8| (0x21..0x7f).contains(&b);
            if grpc.service.len() > 256 || !grpc.service.bytes().all(visible) {
                findings.fault(format!("{at}.grpc.service"), "is not the name of a gRPC service");
            }
            model::Probe::Grpc { service: grpc.service.clone() }
        }
        (None, None, Some(_)) => model::Probe::Tcp,
        _ => {
            findings.fault(at, "needs exactly one of `http`, `grpc` and `tcp`");
            return None;
        }
    };
    Some(model::HealthCheck { probe, interval, timeout, unhealthy_after, healthy_after })
}

fn http_probe(it: &HttpProbe, findings: &mut Findings) -> model::Probe {
    let at = "spec.healthCheck.http";
    let visible = |b: u8| (0x21..0x7f).contains(&b) && b != b'#';
    if !it.path.starts_with('/') || it.path.len() > 1_024 || !it.path.bytes().all(visible) {
        findings.fault(
            format!("{at}.path"),
            "is not a path: it begins with `/`, has at most 1024 bytes, and no blanks, control characters or `#`",
        );
    }
    let label = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if let Some(host) = &it.host
        && (host.is_empty() || host.len() > 253 || !host.bytes().all(label))
    {
        findings.fault(format!("{at}.host"), "is not a host name without port");
    }
    let range = it.expected_statuses;
    let min = number(range.min, &format!("{at}.expectedStatuses.min"), 100..=599, findings);
    let max = number(range.max, &format!("{at}.expectedStatuses.max"), 100..=599, findings);
    if min > max {
        findings.fault(format!("{at}.expectedStatuses.min"), "above `max`; it must not be");
    }
    model::Probe::Http { path: it.path.clone(), host: it.host.clone(), statuses: (min, max) }
}

pub(super) fn protocol(it: BackendProtocol) -> Protocol {
    match it {
        BackendProtocol::Http1 => Protocol::Http1,
        BackendProtocol::Http2 => Protocol::Http2,
        BackendProtocol::Grpc => Protocol::Grpc,
        BackendProtocol::Tcp => Protocol::Tcp,
        BackendProtocol::Tls => Protocol::Tls,
    }
}

pub(super) fn concurrency(it: &Concurrency, findings: &mut Findings) -> model::AdaptiveConcurrency {
    let at = "spec.concurrency";
    let min = number(it.min, &format!("{at}.min"), 1..=MANY, findings);
    let max = number(it.max, &format!("{at}.max"), 1..=MANY, findings);
    if min > max {
        findings.fault(format!("{at}.min"), "above `max`; it must not be");
    }
    model::AdaptiveConcurrency {
        min,
        max,
        tolerance: per_mille(it.tolerance, &format!("{at}.tolerance"), 1.1..=10.0, findings),
        queue: number(it.queue, &format!("{at}.queue"), 0..=100_000, findings),
    }
}
