//! The part of a policy that is about backends, from the wire. It must not know requests.

use mesh_model::traffic::{
    AdaptiveConcurrency, Algorithm, Balancing, CircuitBreaker, HashKey, HealthCheck, LatencyOutlier,
    Locality, OutlierDetection, Probe, RetryBudget, SlowStart, SuccessRate,
};

use super::super::field::{Field, Wrong};
use super::super::route::{header_name, hostname};
use super::UNKNOWN_KIND;
use crate::config::v1 as wire;
use crate::convert::bounds;

pub(super) fn balancing(field: &Field<'_>, balancing: wire::Balancing) -> Result<Balancing, Wrong> {
    let slow_start = |slow: wire::SlowStart| {
        let field = field.at("slow_start");
        Ok(SlowStart {
            window: field.at("window_ms").time(slow.window_ms)?,
            floor: field.at("floor_ppm").share(slow.floor_ppm)?,
        })
    };
    let locality = match wire::Locality::try_from(balancing.locality) {
        Ok(wire::Locality::Unspecified | wire::Locality::PreferZone) => Locality::PreferZone,
        Ok(wire::Locality::Off) => Locality::Off,
        Err(_) => return Err(field.at("locality").unknown(balancing.locality)),
    };
    Ok(Balancing {
        algorithm: algorithm(field, balancing.algorithm)?,
        slow_start: balancing.slow_start.map(slow_start).transpose()?,
        locality,
        panic_threshold: field.at("panic_threshold_ppm").share(balancing.panic_threshold_ppm)?,
        max_requests_per_endpoint: field
            .at("max_requests_per_endpoint")
            .at_least_one(balancing.max_requests_per_endpoint)?,
    })
}

fn algorithm(field: &Field<'_>, algorithm: Option<wire::balancing::Algorithm>) -> Result<Algorithm, Wrong> {
    use wire::balancing::Algorithm as A;
    match algorithm {
        Some(A::PeakEwma(wire::PeakEwma {})) => Ok(Algorithm::PeakEwma),
        Some(A::LeastRequest(wire::LeastRequest { choices })) => {
            let field = field.at("least_request");
            let choices = field.at("choices").between(choices, 2..=bounds::CHOICES)?;
            Ok(Algorithm::LeastRequest { choices })
        }
        Some(A::RoundRobin(wire::RoundRobin {})) => Ok(Algorithm::RoundRobin),
        Some(A::Random(wire::RandomChoice {})) => Ok(Algorithm::Random),
        Some(A::RingHash(ring)) => {
            let field = field.at("ring_hash");
            Ok(Algorithm::RingHash {
                key: hash_key(&field.at("key"), ring.key)?,
                ring_size: field.at("size").between(ring.size, 1..=bounds::RING)?,
                bounded_load: bounded_load(&field, ring.bounded_load)?,
            })
        }
        Some(A::Maglev(table)) => {
            let field = field.at("maglev");
            let size = field.at("size").between(table.size, 2..=bounds::MAGLEV)?;
            if !is_prime(size) {
                return Err(field.at("size").wrong(format!("is {size}, which is no prime")));
            }
            Ok(Algorithm::Maglev {
                key: hash_key(&field.at("key"), table.key)?,
                table_size: size,
                bounded_load: bounded_load(&field, table.bounded_load)?,
            })
        }
        None => Err(field.at("algorithm").wrong(UNKNOWN_KIND)),
    }
}

fn bounded_load(field: &Field<'_>, load: Option<u32>) -> Result<Option<u32>, Wrong> {
    load.map(|load| field.at("bounded_load").between(load, 1_001..=bounds::FACTOR)).transpose()
}

/// At most about 1,100 divisions: the number is below 5,000,012.
fn is_prime(number: u32) -> bool {
    number >= 2
        && (2..number).take_while(|d| d.saturating_mul(*d) <= number).all(|d| !number.is_multiple_of(d))
}

/// What of a request decides its share of a split.
pub(super) fn split_key(field: &Field<'_>, key: wire::HashKey) -> Result<HashKey, Wrong> {
    hash_key(field, Some(key))
}

fn hash_key(field: &Field<'_>, key: Option<wire::HashKey>) -> Result<HashKey, Wrong> {
    match key.and_then(|key| key.key) {
        Some(wire::hash_key::Key::Header(name)) => {
            header_name(&field.at("header"), &name).map(HashKey::Header)
        }
        Some(wire::hash_key::Key::Cookie(cookie)) => {
            let field = field.at("cookie");
            // Names of cookies are tokens, as those of headers, but their case counts.
            header_name(&field.at("name"), &cookie.name)?;
            Ok(HashKey::Cookie { name: cookie.name, ttl: field.at("ttl_ms").limit(cookie.ttl_ms)? })
        }
        Some(wire::hash_key::Key::SourceAddress(wire::SourceAddress {})) => Ok(HashKey::SourceAddress),
        None => Err(field.wrong(UNKNOWN_KIND)),
    }
}

/// No connection or no request at all is not a bound but an outage; no waiting and no retries are bounds.
pub(super) fn circuit_breaker(
    field: &Field<'_>,
    breaker: wire::CircuitBreaker,
) -> Result<CircuitBreaker, Wrong> {
    Ok(CircuitBreaker {
        connections: field.at("connections").at_least_one(breaker.connections)?,
        pending: breaker.pending,
        requests: field.at("requests").at_least_one(breaker.requests)?,
        streams: field.at("streams").at_least_one(breaker.streams)?,
        retries: breaker.retries,
    })
}

pub(super) fn retry_budget(field: &Field<'_>, budget: wire::RetryBudget) -> Result<RetryBudget, Wrong> {
    Ok(RetryBudget {
        share: field.at("share_ppm").share(budget.share_ppm)?,
        min_per_second: budget.min_per_second,
        window: field.at("window_ms").some_time(budget.window_ms)?,
    })
}

pub(super) fn outlier(field: &Field<'_>, outlier: wire::OutlierDetection) -> Result<OutlierDetection, Wrong> {
    let base_ejection = field.at("base_ejection_ms").some_time(outlier.base_ejection_ms)?;
    let max_ejection = field.at("max_ejection_ms").some_time(outlier.max_ejection_ms)?;
    if max_ejection < base_ejection {
        return Err(field.at("max_ejection_ms").wrong("is shorter than the first ejection"));
    }
    let success_rate = |rate: wire::SuccessRate| {
        let field = field.at("success_rate");
        Ok(SuccessRate {
            min_requests: field.at("min_requests").between(rate.min_requests, 1..=u32::MAX)?,
            min_endpoints: field.at("min_endpoints").between(rate.min_endpoints, 1..=u32::MAX)?,
            deviations: field.at("deviations").between(rate.deviations, 1..=bounds::FACTOR)?,
        })
    };
    let latency = |one: wire::LatencyOutlier| {
        let field = field.at("latency");
        Ok(LatencyOutlier {
            min_requests: field.at("min_requests").between(one.min_requests, 1..=u32::MAX)?,
            factor: field.at("factor").between(one.factor, 1_001..=bounds::FACTOR)?,
        })
    };
    Ok(OutlierDetection {
        consecutive_errors: field.at("consecutive_errors").at_least_one(outlier.consecutive_errors)?,
        interval: field.at("interval_ms").some_time(outlier.interval_ms)?,
        base_ejection,
        max_ejection,
        max_ejected: field.at("max_ejected_ppm").share(outlier.max_ejected_ppm)?,
        success_rate: outlier.success_rate.map(success_rate).transpose()?,
        latency: outlier.latency.map(latency).transpose()?,
    })
}

pub(super) fn health_check(field: &Field<'_>, check: wire::HealthCheck) -> Result<HealthCheck, Wrong> {
    let probe = match check.probe {
        Some(wire::health_check::Probe::Http(one)) => http_probe(&field.at("http"), one)?,
        Some(wire::health_check::Probe::Grpc(one)) => {
            Probe::Grpc { service: field.at("grpc").at("service").text(one.service)? }
        }
        Some(wire::health_check::Probe::Tcp(wire::TcpProbe {})) => Probe::Tcp,
        None => return Err(field.at("probe").wrong(UNKNOWN_KIND)),
    };
    Ok(HealthCheck {
        probe,
        interval: field.at("interval_ms").some_time(check.interval_ms)?,
        timeout: field.at("timeout_ms").some_time(check.timeout_ms)?,
        unhealthy_after: field.at("unhealthy_after").between(check.unhealthy_after, 1..=u32::MAX)?,
        healthy_after: field.at("healthy_after").between(check.healthy_after, 1..=u32::MAX)?,
    })
}

fn http_probe(field: &Field<'_>, probe: wire::HttpProbe) -> Result<Probe, Wrong> {
    let path = field.at("path").text(probe.path)?;
    if !path.starts_with('/') || path.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'#') {
        return Err(field.at("path").wrong("is not a path that can be asked for"));
    }
    let first = field.at("first_status").status(probe.first_status, 100..=599)?;
    let last = field.at("last_status").status(probe.last_status, first..=599)?;
    Ok(Probe::Http { path, host: hostname(&field.at("host"), probe.host)?, statuses: (first, last) })
}

pub(super) fn concurrency(
    field: &Field<'_>,
    concurrency: wire::AdaptiveConcurrency,
) -> Result<AdaptiveConcurrency, Wrong> {
    let min = field.at("min").between(concurrency.min, 1..=u32::MAX)?;
    Ok(AdaptiveConcurrency {
        min,
        max: field.at("max").between(concurrency.max, min..=u32::MAX)?,
        tolerance: field.at("tolerance").between(concurrency.tolerance, 1_001..=bounds::FACTOR)?,
        queue: concurrency.queue,
    })
}
