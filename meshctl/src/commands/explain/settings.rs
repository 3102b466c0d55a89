//! Settings in force as sentences: one row a setting, with who said so. Pure. It must not know which request they are for.

use std::time::Duration;

use mesh_model::asking::{Entry, GlobalRate, Part, Unanswered};
use mesh_model::compare::Compare;
use mesh_model::duration;
use mesh_model::traffic::effective::{BackendPolicy, RequestPolicy};
use mesh_model::traffic::{
    Abort, AdaptiveConcurrency, Algorithm, Balancing, BodyLimits, CircuitBreaker, DirectResponse, Fault,
    HashKey, HealthCheck, Hedging, Locality, Origin, OutlierDetection, Ppm, Probe, Pushback, RateKey,
    RateLimit, RequestTimeouts, Retries, RetryBudget, RetryMethods, RetryOn, SessionKind, SessionPersistence,
    Sourced,
};

use super::words::{self, count, kib, per_cent, protocol};
use crate::commands::error::grpc_name;

/// A setting in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

fn row<T>(name: &'static str, setting: &Sourced<T>, text: impl FnOnce(&T) -> String) -> Row {
    Row { name, text: text(&setting.value), origin: setting.origin.clone() }
}

/// Settings that are looked up by rule, route and called service, in the order in which a request meets them.
pub(crate) fn of_request(policy: &RequestPolicy) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(policy.direct_response.as_ref().map(|s| row("direct answer", s, direct_response)));
    rows.extend(policy.fault.as_ref().map(|s| row("fault", s, fault)));
    rows.extend(policy.rate_limits.as_ref().map(|s| row("rate limits", s, |limits| rate_limits(limits))));
    rows.extend(policy.global_rate.as_ref().map(|s| row("global limit", s, global_rate)));
    rows.extend(policy.bodies.as_ref().map(|s| row("bodies", s, bodies)));
    rows.push(row("timeouts", &policy.timeouts, timeouts));
    rows.extend(policy.retries.as_ref().map(|s| row("retries", s, retries)));
    rows.extend(policy.hedging.as_ref().map(|s| row("hedging", s, hedging)));
    rows.extend(policy.session.as_ref().map(|s| row("session", s, session)));
    rows.extend(policy.split.as_ref().map(|s| row("split", s, |key| format!("by {}", hash_key(key)))));
    rows.extend(policy.compare.as_ref().map(|s| row("compare", s, |it| compare(it))));
    rows
}

/// Settings that are looked up by the service that the request goes to.
pub(crate) fn of_backend(policy: &BackendPolicy) -> Vec<Row> {
    let mut rows = vec![
        row("balancing", &policy.balancing, balancing),
        row("circuit", &policy.circuit_breaker, circuit_breaker),
        row("retry budget", &policy.retry_budget, retry_budget),
        row("outliers", &policy.outlier, outlier),
    ];
    rows.extend(policy.health_check.as_ref().map(|s| row("health check", s, health_check)));
    rows.extend(
        policy
            .connect_timeout
            .as_ref()
            .map(|s| row("connect", s, |limit| format!("within {}", time(*limit)))),
    );
    rows.extend(policy.protocol.as_ref().map(|s| row("protocol", s, |p| protocol(*p).to_owned())));
    rows.extend(policy.concurrency.as_ref().map(|s| row("concurrency", s, concurrency)));
    rows
}

fn time(duration: Duration) -> String {
    duration::format(duration)
}

fn timeouts(timeouts: &RequestTimeouts) -> String {
    let parts = [
        ("whole request", timeouts.request),
        ("one attempt", timeouts.attempt),
        ("idle", timeouts.idle),
        ("stream", timeouts.stream),
    ];
    let parts = parts.into_iter().filter_map(|(name, limit)| Some(format!("{name} {}", time(limit?))));
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "none beside the caller's own deadline".to_owned() } else { parts.join(", ") }
}

fn retries(retries: &Retries) -> String {
    if retries.attempts == 0 {
        return "none, not even of connects that fail".to_owned();
    }
    let mut on: Vec<String> = retries.on.iter().map(|on| retry_on(*on).to_owned()).collect();
    let said = |status: &u16| retries.on.iter().any(|on| covers(*on, *status));
    on.extend(retries.statuses.iter().filter(|status| !said(status)).map(u16::to_string));
    on.extend(retries.grpc_statuses.iter().map(|status| format!("gRPC {}", grpc_name(*status))));
    let mut parts = vec![format!("{} on {}", more(retries.attempts), on.join(", "))];
    let unseen = |on: &RetryOn| matches!(on, RetryOn::ConnectFailure | RetryOn::RefusedStream);
    let only_unseen =
        retries.on.iter().all(unseen) && retries.statuses.is_empty() && retries.grpc_statuses.is_empty();
    match retries.methods {
        // What never reached the application is repeated whatever the method.
        RetryMethods::Idempotent if only_unseen => {}
        RetryMethods::Idempotent => {
            parts.push("once the application may have seen it, only methods that may be repeated".to_owned());
        }
        RetryMethods::All => parts.push("every method".to_owned()),
    }
    parts.extend(retries.attempt_timeout.map(|limit| format!("each within {}", time(limit))));
    if !retries.backoff.most.is_zero() {
        parts.push(format!("pauses {} to {}", time(retries.backoff.base), time(retries.backoff.most)));
    }
    parts.push(format!("bodies up to {}", kib(retries.body_bytes)));
    match retries.pushback {
        Pushback::Honour(most) => parts.push(format!("Retry-After up to {}", time(most))),
        Pushback::Ignore => parts.push("Retry-After not looked at".to_owned()),
    }
    parts.join("; ")
}

fn retry_on(on: RetryOn) -> &'static str {
    match on {
        RetryOn::ConnectFailure => "connect failure",
        RetryOn::RefusedStream => "refused stream",
        RetryOn::Reset => "reset",
        RetryOn::AttemptTimeout => "attempt timeout",
        RetryOn::GatewayError => "502, 503, 504",
        RetryOn::ServerError => "5xx",
    }
}

/// Whether a status is among those of a kind of failure.
fn covers(on: RetryOn, status: u16) -> bool {
    match on {
        RetryOn::GatewayError => matches!(status, 502..=504),
        RetryOn::ServerError => matches!(status, 500..=599),
        RetryOn::ConnectFailure | RetryOn::RefusedStream | RetryOn::Reset | RetryOn::AttemptTimeout => false,
    }
}

fn hedging(hedging: &Hedging) -> String {
    format!(
        "{}, each {} after the one before; the first answer counts",
        more(hedging.extra),
        time(hedging.delay)
    )
}

fn more(attempts: u32) -> String {
    if attempts == 1 { "1 more attempt".to_owned() } else { format!("{attempts} more attempts") }
}

fn fault(fault: &Fault) -> String {
    let mut parts = Vec::new();
    if let Some((pause, share)) = fault.delay {
        parts.push(format!("{} of requests wait {}", per_cent(share), time(pause)));
    }
    match fault.abort {
        Some((Abort::Http(status), share)) => {
            parts.push(format!("{} are answered {status}", per_cent(share)));
        }
        Some((Abort::Grpc(status), share)) => {
            parts.push(format!("{} are answered gRPC {}", per_cent(share), grpc_name(status)));
        }
        None => {}
    }
    with_headers(parts.join(", "), &fault.headers)
}

fn with_headers(text: String, headers: &[(String, String)]) -> String {
    if headers.is_empty() {
        return text;
    }
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{text}; only with {}", headers.join(", "))
}

fn direct_response(answer: &DirectResponse) -> String {
    let body = match answer.body.len() {
        0 => "without a body".to_owned(),
        bytes => format!("with {} of {}", count(bytes as u64, "byte"), answer.content_type),
    };
    format!("{} {body}; no backend is called", answer.status)
}

fn bodies(bodies: &BodyLimits) -> String {
    let part = |name: &str, limit: Option<u64>| limit.map(|limit| format!("{name} at most {}", kib(limit)));
    let parts: Vec<String> =
        [part("request", bodies.request), part("response", bodies.response)].into_iter().flatten().collect();
    if parts.is_empty() { "no bound".to_owned() } else { parts.join(", ") }
}

fn session(session: &SessionPersistence) -> String {
    let kind = match session.kind {
        SessionKind::SessionCookie => "session cookie",
        SessionKind::PermanentCookie => "permanent cookie",
        SessionKind::Header => "header",
    };
    let mut parts = vec![format!("by {kind} `{}`", session.name)];
    parts.extend(session.absolute_timeout.map(|limit| format!("at most {}", time(limit))));
    parts.extend(session.idle_timeout.map(|limit| format!("idle at most {}", time(limit))));
    parts.join(", ")
}

fn compare(compare: &Compare) -> String {
    let mut parts = vec![format!("{} of the copies that mirrors get: status", per_cent(compare.sample))];
    parts.extend(compare.headers.iter().map(|name| format!("header `{name}`")));
    parts.extend(compare.body.then(|| "body".to_owned()));
    parts.extend(compare.ignore.iter().map(|path| format!("without `{path}`")));
    parts.join(", ")
}

fn rate_limits(limits: &[RateLimit]) -> String {
    let one = |limit: &RateLimit| {
        let at_once = match limit.burst {
            burst if burst == limit.requests => String::new(),
            burst => format!(", {burst} at once"),
        };
        let keys: Vec<String> = limit.keys.iter().map(rate_key).collect();
        let each = if keys.is_empty() { String::new() } else { format!(" for each {}", keys.join(" and ")) };
        let text = format!("`{}` {} per {}{at_once}{each}", limit.name, limit.requests, time(limit.per));
        with_headers(text, &limit.headers)
    };
    let all: Vec<String> = limits.iter().map(one).collect();
    if all.is_empty() { "none".to_owned() } else { format!("{}; kept by the called side", all.join("; ")) }
}

fn global_rate(rate: &GlobalRate) -> String {
    let part = |part: &Part| match part {
        Part::Literal(value) => format!("`{value}`"),
        Part::Header(name) => format!("header {name}"),
        Part::Claim(path) => format!("claim {path}"),
        Part::Method => "method".to_owned(),
        Part::Path => "path".to_owned(),
        Part::Host => "host".to_owned(),
        Part::Route => "rule".to_owned(),
        Part::ClientIdentity => "client identity".to_owned(),
        Part::ClientNamespace => "client namespace".to_owned(),
        Part::ClientWorkload => "client workload".to_owned(),
    };
    let entry = |entry: &Entry| format!("{}: {}", entry.key, part(&entry.value));
    let descriptor =
        |entries: &Vec<Entry>| format!("({})", entries.iter().map(entry).collect::<Vec<_>>().join(", "));
    let descriptors: Vec<String> = rate.descriptors.iter().map(descriptor).collect();
    let unanswered = match rate.unanswered {
        Unanswered::Pass => "pass",
        Unanswered::Refuse => "are refused",
    };
    format!(
        "{} counts {} in domain `{}`; without an answer in {} requests {unanswered}; asked by the called side",
        words::target(&rate.target),
        descriptors.join(" and "),
        rate.domain,
        time(rate.timeout)
    )
}

fn rate_key(key: &RateKey) -> String {
    match key {
        RateKey::ClientIdentity => "client identity".to_owned(),
        RateKey::Header(name) => format!("value of header {name}"),
        RateKey::Route => "rule".to_owned(),
        RateKey::Method => "method".to_owned(),
    }
}

fn balancing(balancing: &Balancing) -> String {
    let mut parts = vec![algorithm(&balancing.algorithm)];
    parts.extend(
        balancing.slow_start.map(|slow| {
            format!("new endpoints grow from {} over {}", per_cent(slow.floor), time(slow.window))
        }),
    );
    parts.push(match balancing.locality {
        Locality::PreferZone => "own zone first".to_owned(),
        Locality::Off => "zones not looked at".to_owned(),
    });
    if balancing.panic_threshold == Ppm(0) {
        parts.push("no panic threshold".to_owned());
    } else {
        parts.push(format!("panic below {}", per_cent(balancing.panic_threshold)));
    }
    parts.extend(
        balancing.max_requests_per_endpoint.map(|most| format!("at most {most} requests an endpoint")),
    );
    parts.join("; ")
}

fn algorithm(algorithm: &Algorithm) -> String {
    let hashed = |name: &str, key: &HashKey, bounded: &Option<u32>| {
        let bound = bounded
            .map(|mille| format!(", at most {} times the mean load", times(mille)))
            .unwrap_or_default();
        format!("{name} by {}{bound}", hash_key(key))
    };
    match algorithm {
        Algorithm::PeakEwma => "the faster of two random endpoints (peak EWMA)".to_owned(),
        Algorithm::LeastRequest { choices } => format!("the least busy of {choices} random endpoints"),
        Algorithm::RoundRobin => "round robin".to_owned(),
        Algorithm::Random => "random".to_owned(),
        Algorithm::RingHash { key, bounded_load, .. } => hashed("ring hash", key, bounded_load),
        Algorithm::Maglev { key, bounded_load, .. } => hashed("Maglev hash", key, bounded_load),
    }
}

fn hash_key(key: &HashKey) -> String {
    match key {
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie { name, ttl: None } => format!("cookie {name}"),
        HashKey::Cookie { name, ttl: Some(ttl) } => {
            format!("cookie {name}, set for {} where missing", time(*ttl))
        }
        HashKey::SourceAddress => "source address".to_owned(),
    }
}

/// Per mille as a factor: 1250 is 1.25.
fn times(mille: u32) -> String {
    let text = format!("{}.{:03}", mille / 1000, mille % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn circuit_breaker(breaker: &CircuitBreaker) -> String {
    let parts = [
        (breaker.connections, "connection"),
        (breaker.pending, "waiting request"),
        (breaker.requests, "request"),
        (breaker.streams, "stream a connection"),
        (breaker.retries, "retry"),
    ];
    let part = |(limit, name): (Option<u32>, &str)| {
        let limit = limit?;
        Some(match name {
            "retry" if limit != 1 => format!("{limit} retries"),
            "stream a connection" if limit != 1 => format!("{limit} streams a connection"),
            name => count(limit.into(), name),
        })
    };
    let parts: Vec<String> = parts.into_iter().filter_map(part).collect();
    if parts.is_empty() {
        "only the proxy's own bounds".to_owned()
    } else {
        format!("at most {}", parts.join(", "))
    }
}

fn retry_budget(budget: &RetryBudget) -> String {
    format!(
        "retries up to {} of requests over {}, {} per second always",
        per_cent(budget.share),
        time(budget.window),
        budget.min_per_second
    )
}

fn outlier(outlier: &OutlierDetection) -> String {
    let mut parts = Vec::new();
    parts.extend(
        outlier.consecutive_errors.map(|errors| format!("{} in a row", count(errors.into(), "error"))),
    );
    parts.extend(
        outlier
            .success_rate
            .map(|rate| format!("success rate {} deviations below the mean", times(rate.deviations))),
    );
    parts
        .extend(outlier.latency.map(|latency| format!("latency {} times the median", times(latency.factor))));
    if parts.is_empty() {
        return "off".to_owned();
    }
    format!(
        "ejected after {}, for {} growing to {}, at most {} of endpoints",
        parts.join(" or "),
        time(outlier.base_ejection),
        time(outlier.max_ejection),
        per_cent(outlier.max_ejected)
    )
}

fn health_check(check: &HealthCheck) -> String {
    let probe = match &check.probe {
        Probe::Http { path, statuses: (from, to), .. } if from == to => format!("GET {path} is {from}"),
        Probe::Http { path, statuses: (from, to), .. } => format!("GET {path} is {from} to {to}"),
        Probe::Grpc { service } if service.is_empty() => "gRPC health of the server".to_owned(),
        Probe::Grpc { service } => format!("gRPC health of {service}"),
        Probe::Tcp => "a connection".to_owned(),
    };
    format!(
        "{probe}, every {}, within {}; unhealthy after {}, healthy after {}",
        time(check.interval),
        time(check.timeout),
        check.unhealthy_after,
        check.healthy_after
    )
}

fn concurrency(bound: &AdaptiveConcurrency) -> String {
    format!(
        "{} to {} requests at once while latency stays within {} times the unloaded one, {} wait; kept by the called side",
        bound.min,
        bound.max,
        times(bound.tolerance),
        bound.queue
    )
}

#[cfg(test)]
mod tests;
