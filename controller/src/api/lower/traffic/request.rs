//! Settings about a request. They must not know endpoints.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_model::traffic as model;

use super::super::matches::{check_header_name, check_header_value};
use super::super::scalars::{
    DAY, HOUR, MILLISECOND, MINUTE, duration, limit, number, optional, optional_number, percent, size,
};
use super::super::{Findings, MAX_LIST};
use crate::api::scalars::Size;
use crate::api::traffic::{
    DirectResponse, FaultInjection, GrpcStatus, HeaderIs, Hedging, RateKey, RateKeyKind, RateLimit,
    RequestTimeouts, Retries, RetryMethods, RetryOn,
};

/// The most of a body that a retry may keep.
const MAX_RETRY_BODY: u64 = 16 << 20;
/// The largest bound on a body; beyond it a bound bounds nothing.
const MAX_BODY: u64 = 1 << 40;
/// The longest body of an answer without a backend.
const MAX_ANSWER: usize = 4_096;
/// The most requests that a rate may say.
const MAX_REQUESTS: u32 = 1_000_000_000;

pub(super) fn timeouts(it: &RequestTimeouts, findings: &mut Findings) -> model::RequestTimeouts {
    let request = limit(it.request.as_ref(), "spec.timeouts.request", findings);
    let attempt = limit(it.attempt.as_ref(), "spec.timeouts.attempt", findings);
    if let (Some(whole), Some(attempt)) = (request, attempt)
        && attempt > whole
    {
        findings.fault("spec.timeouts.attempt", "longer than `request`; it must not be");
    }
    model::RequestTimeouts {
        request,
        attempt,
        idle: limit(it.idle.as_ref(), "spec.timeouts.idle", findings),
        stream: limit(it.stream.as_ref(), "spec.timeouts.stream", findings),
    }
}

pub(super) fn retries(it: &Retries, findings: &mut Findings) -> model::Retries {
    let base = duration(&it.backoff.base, "spec.retries.backoff.base", Duration::ZERO..=MINUTE, findings);
    let most = duration(&it.backoff.max, "spec.retries.backoff.max", Duration::ZERO..=HOUR, findings);
    if base > most {
        findings.fault("spec.retries.backoff.base", "longer than `max`; it must not be");
    }
    findings.limit("spec.retries.retryOn", it.retry_on.len(), MAX_LIST);
    findings.limit("spec.retries.statuses", it.statuses.len(), 32);
    findings.limit("spec.retries.grpcStatuses", it.grpc_statuses.len(), MAX_LIST);
    for (index, status) in it.statuses.iter().enumerate() {
        number(*status, &format!("spec.retries.statuses[{index}]"), 400..=599, findings);
    }
    let pause = duration(&it.max_retry_after, "spec.retries.maxRetryAfter", Duration::ZERO..=HOUR, findings);
    model::Retries {
        attempts: number(it.attempts, "spec.retries.attempts", 0..=10, findings),
        on: sorted(it.retry_on.iter().map(|on| match on {
            RetryOn::ConnectFailure => model::RetryOn::ConnectFailure,
            RetryOn::RefusedStream => model::RetryOn::RefusedStream,
            RetryOn::Reset => model::RetryOn::Reset,
            RetryOn::AttemptTimeout => model::RetryOn::AttemptTimeout,
            RetryOn::GatewayError => model::RetryOn::GatewayError,
            RetryOn::ServerError => model::RetryOn::ServerError,
        })),
        statuses: sorted(it.statuses.iter().copied()),
        grpc_statuses: sorted(it.grpc_statuses.iter().map(|status| code(*status))),
        methods: match it.methods {
            RetryMethods::Idempotent => model::RetryMethods::Idempotent,
            RetryMethods::All => model::RetryMethods::All,
        },
        attempt_timeout: optional(
            it.per_try_timeout.as_ref(),
            "spec.retries.perTryTimeout",
            MILLISECOND..=HOUR,
            findings,
        ),
        backoff: model::Backoff { base, most },
        body_bytes: size(&it.body_bytes, "spec.retries.bodyBytes", 0..=MAX_RETRY_BODY, findings),
        pushback: if it.respect_retry_after {
            model::Pushback::Honour(pause)
        } else {
            model::Pushback::Ignore
        },
    }
}

/// In order and without repetition, so that settings are equal when their meaning is.
fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    values.collect::<BTreeSet<T>>().into_iter().collect()
}

/// The number of a gRPC status. Source: gRPC, status codes.
fn code(status: GrpcStatus) -> u8 {
    match status {
        GrpcStatus::Cancelled => 1,
        GrpcStatus::Unknown => 2,
        GrpcStatus::InvalidArgument => 3,
        GrpcStatus::DeadlineExceeded => 4,
        GrpcStatus::NotFound => 5,
        GrpcStatus::AlreadyExists => 6,
        GrpcStatus::PermissionDenied => 7,
        GrpcStatus::ResourceExhausted => 8,
        GrpcStatus::FailedPrecondition => 9,
        GrpcStatus::Aborted => 10,
        GrpcStatus::OutOfRange => 11,
        GrpcStatus::Unimplemented => 12,
        GrpcStatus::Internal => 13,
        GrpcStatus::Unavailable => 14,
        GrpcStatus::DataLoss => 15,
        GrpcStatus::Unauthenticated => 16,
    }
}

pub(super) fn hedging(it: &Hedging, findings: &mut Findings) -> model::Hedging {
    model::Hedging {
        delay: duration(&it.delay, "spec.hedging.delay", MILLISECOND..=MINUTE, findings),
        extra: number(it.attempts, "spec.hedging.attempts", 1..=4, findings),
    }
}

pub(super) fn fault(it: &FaultInjection, findings: &mut Findings) -> model::Fault {
    if it.delay.is_none() && it.abort.is_none() {
        findings.fault("spec.fault", "needs `delay`, `abort` or both");
    }
    let delay = it.delay.as_ref().map(|delay| {
        let time = duration(&delay.duration, "spec.fault.delay.duration", MILLISECOND..=HOUR, findings);
        (time, percent(delay.percent, "spec.fault.delay.percent", 0.0..=100.0, findings))
    });
    let abort = it.abort.as_ref().map(|abort| {
        let answer = match (abort.http_status, abort.grpc_status) {
            (Some(status), None) => {
                model::Abort::Http(number(status, "spec.fault.abort.httpStatus", 200..=599, findings))
            }
            (None, Some(status)) => model::Abort::Grpc(code(status)),
            (Some(_), Some(_)) | (None, None) => {
                findings.fault("spec.fault.abort", "needs either `httpStatus` or `grpcStatus`");
                model::Abort::Http(503)
            }
        };
        (answer, percent(abort.percent, "spec.fault.abort.percent", 0.0..=100.0, findings))
    });
    model::Fault { delay, abort, headers: headers(&it.headers, "spec.fault.headers", findings) }
}

fn headers(headers: &[HeaderIs], at: &str, findings: &mut Findings) -> Vec<(String, String)> {
    findings.limit(at, headers.len(), MAX_LIST);
    let mut lowered: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for (index, header) in headers.iter().enumerate() {
        check_header_name(&header.name, &format!("{at}[{index}].name"), findings);
        check_header_value(&header.value, &format!("{at}[{index}].value"), findings);
        let name = header.name.to_ascii_lowercase();
        if lowered.iter().any(|(other, _)| *other == name) {
            findings.fault(
                format!("{at}[{index}].name"),
                format!("`{name}` is there twice; remove one of the two"),
            );
        }
        lowered.push((name, header.value.clone()));
    }
    lowered
}

pub(super) fn direct_response(it: &DirectResponse, findings: &mut Findings) -> model::DirectResponse {
    let at = "spec.directResponse";
    if it.body.len() > MAX_ANSWER {
        findings.fault(
            format!("{at}.body"),
            format!("{} bytes, at most {MAX_ANSWER} are allowed", it.body.len()),
        );
    }
    let plain = |b: u8| (0x20..0x7f).contains(&b);
    if it.content_type.is_empty() || it.content_type.len() > 128 || !it.content_type.bytes().all(plain) {
        findings.fault(format!("{at}.contentType"), "is not a media type such as `text/plain`");
    }
    model::DirectResponse {
        status: number(it.status, &format!("{at}.status"), 200..=599, findings),
        body: it.body.clone(),
        content_type: it.content_type.clone(),
    }
}

pub(super) fn bodies(
    request: Option<&Size>,
    response: Option<&Size>,
    findings: &mut Findings,
) -> Option<model::BodyLimits> {
    let request = request.map(|limit| size(limit, "spec.requestBodyLimit", 0..=MAX_BODY, findings));
    let response = response.map(|limit| size(limit, "spec.responseBodyLimit", 0..=MAX_BODY, findings));
    (request.is_some() || response.is_some()).then_some(model::BodyLimits { request, response })
}

pub(super) fn rate_limits(limits: &[RateLimit], findings: &mut Findings) -> Vec<model::RateLimit> {
    findings.limit("spec.rateLimits", limits.len(), MAX_LIST);
    let mut one = |(index, it): (usize, &RateLimit)| {
        let at = format!("spec.rateLimits[{index}]");
        if let Err(error) = mesh_model::name::Name::new(&it.name, "x") {
            findings.fault(format!("{at}.name"), error.to_string().replacen("namespace", "name", 1));
        } else if limits.iter().take(index).any(|other| other.name == it.name) {
            findings.fault(format!("{at}.name"), format!("`{}` is the name of another limit", it.name));
        }
        let requests = number(it.requests, &format!("{at}.requests"), 1..=MAX_REQUESTS, findings);
        let burst = optional_number(it.burst, &format!("{at}.burst"), 1..=MAX_REQUESTS, findings);
        if burst.is_some_and(|burst| burst < requests) {
            findings.fault(format!("{at}.burst"), "below `requests`; it must not be");
        }
        findings.limit(&format!("{at}.keys"), it.keys.len(), 4);
        let keys = it.keys.iter().enumerate();
        model::RateLimit {
            name: it.name.clone(),
            requests,
            per: duration(&it.per, &format!("{at}.per"), MILLISECOND..=DAY, findings),
            burst: burst.unwrap_or(requests).max(requests),
            keys: keys.filter_map(|(n, key)| rate_key(key, &format!("{at}.keys[{n}]"), findings)).collect(),
            headers: headers(&it.headers, &format!("{at}.headers"), findings),
        }
    };
    limits.iter().enumerate().map(&mut one).collect()
}

fn rate_key(key: &RateKey, at: &str, findings: &mut Findings) -> Option<model::RateKey> {
    let field = format!("{at}.name");
    match (key.kind, &key.name) {
        (RateKeyKind::Header, Some(name)) => {
            check_header_name(name, &field, findings);
            return Some(model::RateKey::Header(name.to_ascii_lowercase()));
        }
        (RateKeyKind::Header, None) => {
            findings.fault(field, "is missing; name the header");
            return None;
        }
        (_, Some(_)) => findings.fault(field, "is for type Header; remove it"),
        (_, None) => {}
    }
    match key.kind {
        RateKeyKind::ClientIdentity => Some(model::RateKey::ClientIdentity),
        RateKeyKind::Route => Some(model::RateKey::Route),
        RateKeyKind::Method => Some(model::RateKey::Method),
        RateKeyKind::Header => None,
    }
}
