//! Policies from the wire. It must not decide which of them is in force. What a later version adds to a choice is an error: half a
//! policy could be the opposite of the whole one.

mod backend;

use std::time::Duration;

use mesh_model::name::Name;
use mesh_model::route::{RouteId, RouteKind};
use mesh_model::traffic::{
    Abort, Backoff, BodyLimits, DirectResponse, Fault, Hedging, PolicyTarget, Pushback, RateKey, RateLimit,
    RequestTimeouts, Retries, RetryMethods, RetryOn, SessionKind, SessionPersistence, TrafficPolicy,
    TrafficSettings,
};

use super::asking::global_rate;
use super::field::{Field, Wrong, all};
use super::route::{compare, header_name, header_value};
use super::{protocol, route_kind, service_name};
use crate::config::v1 as wire;
use crate::convert::bounds;

const UNKNOWN_KIND: &str = "is absent or of a kind that this version does not know";

pub(super) fn policy(policy: wire::TrafficPolicy) -> Result<TrafficPolicy, Wrong> {
    let root = Field::root();
    let name = Name::new(&policy.namespace, &policy.name).map_err(|e| root.at(e.what).refused(&e))?;
    let settings = policy.settings.ok_or_else(|| root.at("settings").wrong("is absent"))?;
    Ok(TrafficPolicy {
        name,
        targets: all(root.at("targets"), bounds::TARGETS, policy.targets, target)?,
        created: policy.created,
        origin: root.at("origin").text(policy.origin)?,
        settings: self::settings(&root.at("settings"), settings)?,
    })
}

fn target(field: &Field<'_>, target: wire::PolicyTarget) -> Result<PolicyTarget, Wrong> {
    match target.target {
        Some(wire::policy_target::Target::Service(one)) => {
            let field = field.at("service");
            Ok(PolicyTarget::Service {
                service: service_name(&field, &one.namespace, &one.name)?,
                port: field.at("port").optional_port(one.port)?,
            })
        }
        Some(wire::policy_target::Target::Route(one)) => {
            let field = field.at("route");
            let kind: RouteKind = route_kind(&field.at("kind"), one.kind)?;
            let name = Name::new(&one.namespace, &one.name).map_err(|e| field.at(e.what).refused(&e))?;
            Ok(PolicyTarget::Route {
                route: RouteId { kind, name },
                rule: field.at("rule").optional_text(one.rule)?,
            })
        }
        None => Err(field.wrong(UNKNOWN_KIND)),
    }
}

fn settings(field: &Field<'_>, s: wire::TrafficSettings) -> Result<TrafficSettings, Wrong> {
    /// Decodes a setting that is there.
    fn each<W, M>(
        field: Field<'_>,
        setting: Option<W>,
        one: impl FnOnce(&Field<'_>, W) -> Result<M, Wrong>,
    ) -> Result<Option<M>, Wrong> {
        setting.map(|setting| one(&field, setting)).transpose()
    }
    Ok(TrafficSettings {
        timeouts: each(field.at("timeouts"), s.timeouts, timeouts)?,
        retries: each(field.at("retries"), s.retries, retries)?,
        hedging: each(field.at("hedging"), s.hedging, hedging)?,
        fault: each(field.at("fault"), s.fault, fault)?,
        direct_response: each(field.at("direct_response"), s.direct_response, direct_response)?,
        bodies: s
            .bodies
            .map(|bodies| BodyLimits { request: bodies.request_bytes, response: bodies.response_bytes }),
        session: each(field.at("session"), s.session, session)?,
        rate_limits: each(field.at("rate_limits"), s.rate_limits, rate_limits)?,
        global_rate: each(field.at("global_rate"), s.global_rate, global_rate)?,
        split: each(field.at("split"), s.split, backend::split_key)?,
        compare: each(field.at("compare"), s.compare, compare)?,
        balancing: each(field.at("balancing"), s.balancing, backend::balancing)?,
        circuit_breaker: each(field.at("circuit_breaker"), s.circuit_breaker, backend::circuit_breaker)?,
        retry_budget: each(field.at("retry_budget"), s.retry_budget, backend::retry_budget)?,
        outlier: each(field.at("outlier"), s.outlier, backend::outlier)?,
        health_check: each(field.at("health_check"), s.health_check, backend::health_check)?,
        connect_timeout: each(field.at("connect_timeout_ms"), s.connect_timeout_ms, some_time)?,
        protocol: match wire::Protocol::try_from(s.protocol) {
            Ok(known) => protocol(known),
            Err(_) => return Err(field.at("protocol").unknown(s.protocol)),
        },
        concurrency: each(field.at("concurrency"), s.concurrency, backend::concurrency)?,
    })
}

fn some_time(field: &Field<'_>, millis: u64) -> Result<Duration, Wrong> {
    field.some_time(millis)
}

fn grpc_status(field: &Field<'_>, status: u32) -> Result<u8, Wrong> {
    field.grpc_status(status)
}

fn timeouts(field: &Field<'_>, timeouts: wire::RequestTimeouts) -> Result<RequestTimeouts, Wrong> {
    Ok(RequestTimeouts {
        request: field.at("request_ms").limit(timeouts.request_ms)?,
        attempt: field.at("attempt_ms").limit(timeouts.attempt_ms)?,
        idle: field.at("idle_ms").limit(timeouts.idle_ms)?,
        stream: field.at("stream_ms").limit(timeouts.stream_ms)?,
    })
}

fn retries(field: &Field<'_>, retries: wire::Retries) -> Result<Retries, Wrong> {
    let on = |field: &Field<'_>, on: i32| match wire::RetryOn::try_from(on) {
        Ok(wire::RetryOn::ConnectFailure) => Ok(RetryOn::ConnectFailure),
        Ok(wire::RetryOn::RefusedStream) => Ok(RetryOn::RefusedStream),
        Ok(wire::RetryOn::Reset) => Ok(RetryOn::Reset),
        Ok(wire::RetryOn::AttemptTimeout) => Ok(RetryOn::AttemptTimeout),
        Ok(wire::RetryOn::GatewayError) => Ok(RetryOn::GatewayError),
        Ok(wire::RetryOn::ServerError) => Ok(RetryOn::ServerError),
        Ok(wire::RetryOn::Unspecified) | Err(_) => Err(field.unknown(on)),
    };
    let methods = match wire::RetryMethods::try_from(retries.methods) {
        Ok(wire::RetryMethods::Unspecified | wire::RetryMethods::Idempotent) => RetryMethods::Idempotent,
        Ok(wire::RetryMethods::All) => RetryMethods::All,
        Err(_) => return Err(field.at("methods").unknown(retries.methods)),
    };
    let base = field.at("backoff_base_ms").time(retries.backoff_base_ms)?;
    let most = field.at("backoff_most_ms").time(retries.backoff_most_ms)?;
    if most < base {
        return Err(field.at("backoff_most_ms").wrong("is shorter than the first pause"));
    }
    Ok(Retries {
        attempts: field.at("attempts").at_most(retries.attempts, bounds::ATTEMPTS)?,
        on: all(field.at("on"), bounds::STATUSES, retries.on, on)?,
        statuses: statuses(field.at("statuses"), retries.statuses)?,
        grpc_statuses: all(field.at("grpc_statuses"), bounds::STATUSES, retries.grpc_statuses, grpc_status)?,
        methods,
        attempt_timeout: field.at("attempt_timeout_ms").limit(retries.attempt_timeout_ms)?,
        backoff: Backoff { base, most },
        body_bytes: field.at("body_bytes").at_most(retries.body_bytes, bounds::REPLAY_BYTES)?,
        pushback: match retries.pushback_ms {
            Some(most) => Pushback::Honour(field.at("pushback_ms").time(most)?),
            None => Pushback::Ignore,
        },
    })
}

/// Statuses that are retried, of a policy or of a rule: those of errors. Source: GEP-1731.
pub(super) fn statuses(field: Field<'_>, statuses: Vec<u32>) -> Result<Vec<u16>, Wrong> {
    all(field, bounds::STATUSES, statuses, |field, status| field.status(status, 400..=599))
}

fn hedging(field: &Field<'_>, hedging: wire::Hedging) -> Result<Hedging, Wrong> {
    Ok(Hedging {
        delay: field.at("delay_ms").time(hedging.delay_ms)?,
        extra: field.at("extra").between(hedging.extra, 1..=bounds::HEDGES)?,
    })
}

fn fault(field: &Field<'_>, fault: wire::Fault) -> Result<Fault, Wrong> {
    let delay = |delay: wire::FaultDelay| {
        let field = field.at("delay");
        Ok((field.at("delay_ms").time(delay.delay_ms)?, field.at("share_ppm").share(delay.share_ppm)?))
    };
    let abort = |abort: wire::FaultAbort| {
        let field = field.at("abort");
        let answer = match abort.answer {
            Some(wire::fault_abort::Answer::HttpStatus(status)) => {
                Abort::Http(field.at("http_status").status(status, 200..=599)?)
            }
            Some(wire::fault_abort::Answer::GrpcStatus(status)) => {
                Abort::Grpc(field.at("grpc_status").grpc_status(status)?)
            }
            None => return Err(field.at("answer").wrong(UNKNOWN_KIND)),
        };
        Ok((answer, field.at("share_ppm").share(abort.share_ppm)?))
    };
    Ok(Fault {
        delay: fault.delay.map(delay).transpose()?,
        abort: fault.abort.map(abort).transpose()?,
        headers: all(field.at("headers"), bounds::CONDITIONS, fault.headers, header)?,
    })
}

fn header(field: &Field<'_>, header: wire::Header) -> Result<(String, String), Wrong> {
    Ok((header_name(&field.at("name"), &header.name)?, header_value(&field.at("value"), header.value)?))
}

fn direct_response(field: &Field<'_>, answer: wire::DirectResponse) -> Result<DirectResponse, Wrong> {
    if answer.body.len() > bounds::DIRECT_BODY {
        let (have, limit) = (answer.body.len(), bounds::DIRECT_BODY);
        return Err(field.at("body").wrong(format!("has {have} bytes, more than {limit}")));
    }
    Ok(DirectResponse {
        status: field.at("status").status(answer.status, 200..=599)?,
        body: answer.body,
        content_type: header_value(&field.at("content_type"), answer.content_type)?,
    })
}

/// Of a policy or of a rule. The name is a token, which names of cookies and of headers are; that of a header becomes lower case.
pub(super) fn session(
    field: &Field<'_>,
    session: wire::SessionPersistence,
) -> Result<SessionPersistence, Wrong> {
    let kind = match wire::SessionKind::try_from(session.kind) {
        Ok(wire::SessionKind::Unspecified | wire::SessionKind::SessionCookie) => SessionKind::SessionCookie,
        Ok(wire::SessionKind::PermanentCookie) => SessionKind::PermanentCookie,
        Ok(wire::SessionKind::Header) => SessionKind::Header,
        Err(_) => return Err(field.at("kind").unknown(session.kind)),
    };
    let lower = header_name(&field.at("name"), &session.name)?;
    Ok(SessionPersistence {
        name: if kind == SessionKind::Header { lower } else { session.name },
        kind,
        absolute_timeout: field.at("absolute_timeout_ms").limit(session.absolute_timeout_ms)?,
        idle_timeout: field.at("idle_timeout_ms").limit(session.idle_timeout_ms)?,
    })
}

fn rate_limits(field: &Field<'_>, limits: wire::RateLimits) -> Result<Vec<RateLimit>, Wrong> {
    let limits = all(field.at("limits"), bounds::RATE_LIMITS, limits.limits, rate_limit)?;
    for (at, limit) in limits.iter().enumerate() {
        if limits.iter().take(at).any(|other| other.name == limit.name) {
            return Err(field.at("limits").wrong(format!("has two with the name `{}`", limit.name)));
        }
    }
    Ok(limits)
}

fn rate_limit(field: &Field<'_>, limit: wire::RateLimit) -> Result<RateLimit, Wrong> {
    // It stands in response headers.
    header_name(&field.at("name"), &limit.name)?;
    Ok(RateLimit {
        name: limit.name,
        requests: field.at("requests").between(limit.requests, 1..=u32::MAX)?,
        per: field.at("per_ms").some_time(limit.per_ms)?,
        burst: field.at("burst").between(limit.burst, 1..=u32::MAX)?,
        keys: all(field.at("keys"), bounds::RATE_KEYS, limit.keys, rate_key)?,
        headers: all(field.at("headers"), bounds::CONDITIONS, limit.headers, header)?,
    })
}

fn rate_key(field: &Field<'_>, key: wire::RateKey) -> Result<RateKey, Wrong> {
    match key.key {
        Some(wire::rate_key::Key::Header(name)) => {
            header_name(&field.at("header"), &name).map(RateKey::Header)
        }
        Some(wire::rate_key::Key::Part(part)) => match wire::RateKeyPart::try_from(part) {
            Ok(wire::RateKeyPart::ClientIdentity) => Ok(RateKey::ClientIdentity),
            Ok(wire::RateKeyPart::Route) => Ok(RateKey::Route),
            Ok(wire::RateKeyPart::Method) => Ok(RateKey::Method),
            Ok(wire::RateKeyPart::Unspecified) | Err(_) => Err(field.at("part").unknown(part)),
        },
        None => Err(field.wrong(UNKNOWN_KIND)),
    }
}
