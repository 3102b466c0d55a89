//! From our records to `mesh.report.v1`, and what it asks for. It must not know streams.

use std::time::{Duration, SystemTime};

use mesh_model::name::Name;
use mesh_proto::report::v1 as wire;

use super::compared::{Compared, Comparisons};
use super::example::Examples;
use super::histogram::Histogram;
use super::span::{AttemptRecord, Spent};
use super::tap::{Filter, TapRecord, Wish};
use super::worker::SeriesDelta;
use super::{ExampleRecord, Failure, Security, SeriesKey, Side, SpanRecord, Trial, TrialWay, Tried, Way};
use mesh_compare::{Kind, Tally};

pub(super) fn series(key: &SeriesKey, delta: &SeriesDelta) -> wire::Series {
    wire::Series {
        key: Some(self::key(key)),
        requests: delta.requests,
        latency_sum_us: delta.latency_sum_us,
        latency: Some(histogram(&delta.latency)),
        bytes_in: delta.bytes_in,
        bytes_out: delta.bytes_out,
    }
}

pub(super) fn histogram(latency: &Histogram) -> wire::Histogram {
    let (indices, counts) =
        latency.iter().map(|(index, count)| (u32::try_from(index).unwrap_or(u32::MAX), count)).unzip();
    wire::Histogram { indices, counts }
}

fn key(key: &SeriesKey) -> wire::SeriesKey {
    let (source_namespace, source_workload) = name(key.source.as_ref().map(|w| &w.0));
    let (service_namespace, service) = name(key.service.as_ref().map(|(s, _)| &s.0));
    let (destination_namespace, destination_workload) = name(key.destination.as_ref().map(|w| &w.0));
    wire::SeriesKey {
        side: side(key.side).into(),
        source_namespace,
        source_workload,
        service_namespace,
        service,
        service_port: key.service.as_ref().map_or(0, |(_, port)| u32::from(*port)),
        destination_namespace,
        destination_workload,
        route: key.route.as_deref().unwrap_or_default().to_owned(),
        protocol: key.protocol.label().to_owned(),
        status: u32::from(key.status),
        grpc_status: key.grpc_status.map(u32::from),
        failure: failure(key.failure),
        security: security(key.security).into(),
    }
}

pub(super) fn span(span: SpanRecord) -> wire::Span {
    let timings = timings(&span.spent);
    let attempts: Vec<wire::Attempt> = span.attempts.iter().map(attempt).collect();
    let (source_namespace, source_workload) = name(span.source.as_ref().map(|w| &w.0));
    let (service_namespace, service) = name(span.service.as_ref().map(|s| &s.0));
    let (destination_namespace, destination_workload) = name(span.destination.as_ref().map(|w| &w.0));
    // A connection has no trace.
    let traced = span.trace_id != [0; 16];
    let id = |bytes: &[u8]| if traced { bytes.to_vec().into() } else { bytes::Bytes::new() };
    wire::Span {
        trace_id: id(&span.trace_id),
        span_id: id(&span.span_id),
        parent_span_id: span.parent_id.map(|id| id.to_vec()).unwrap_or_default().into(),
        side: side(span.side).into(),
        source_namespace,
        source_workload,
        service_namespace,
        service,
        destination_namespace,
        destination_workload,
        route: span.route.as_deref().unwrap_or_default().to_owned(),
        method: span.method,
        path: span.path,
        status: u32::from(span.status),
        grpc_status: span.grpc_status.map(u32::from),
        failure: failure(span.failure),
        security: security(span.security).into(),
        start_us: since_epoch(span.start),
        duration_us: us(span.duration),
        // 0 says that there was none.
        first_byte_us: span.first_byte.map_or(0, |d| us(d).max(1)),
        protocol: span.protocol.label().to_owned(),
        service_port: span.service_port.into(),
        request_bytes: span.bytes_in,
        response_bytes: span.bytes_out,
        peer: span.peer.map(|ip| ip.to_string()).unwrap_or_default(),
        endpoint: span.endpoint.map(|address| address.to_string()).unwrap_or_default(),
        timings: Some(timings),
        hedged: attempts.iter().any(|attempt| attempt.hedged),
        attempts,
        attempts_made: span.attempts_made,
        detail: span.detail,
        // The controller knows whose stream it is.
        instance: String::new(),
        ejected: span.ejected.iter().map(ToString::to_string).collect(),
    }
}

fn timings(spent: &Spent) -> wire::Timings {
    wire::Timings {
        discover_us: us(spent.discover),
        queue_us: us(spent.queue),
        check_us: us(spent.check),
        connect_us: us(spent.connect),
        tls_us: us(spent.tls),
        upstream_us: us(spent.upstream),
        retry_us: us(spent.retry),
        fault_us: us(spent.fault),
    }
}

fn attempt(attempt: &AttemptRecord) -> wire::Attempt {
    wire::Attempt {
        endpoint: attempt.endpoint.to_string(),
        workload: attempt.workload.as_ref().map(ToString::to_string).unwrap_or_default(),
        start_us: us(attempt.start),
        duration_us: attempt.duration.map_or(0, us),
        status: attempt.status.into(),
        failure: failure(attempt.failure),
        connect_us: us(attempt.connect),
        tls_us: us(attempt.tls),
        hedged: attempt.hedged,
    }
}

pub(super) fn tapped(record: TapRecord) -> wire::TapEvent {
    let headers = record.headers.into_iter();
    let headers = headers.map(|header| wire::Header {
        name: header.name,
        redacted: header.value.is_none(),
        value: header.value.unwrap_or_default(),
    });
    wire::TapEvent { taps: record.ids, headers: headers.collect(), span: Some(span(record.span)) }
}

pub(super) fn compared(comparisons: Comparisons) -> wire::Compared {
    let kind = |kind: Kind| match kind {
        Kind::Value => wire::DifferenceKind::Value,
        Kind::Type => wire::DifferenceKind::Type,
        Kind::Missing => wire::DifferenceKind::Missing,
        Kind::Added => wire::DifferenceKind::Added,
        Kind::Length => wire::DifferenceKind::Length,
    };
    let one = |(of, tally): (Compared, Tally)| wire::Comparison {
        route: of.route.map(|route| route.to_string()).unwrap_or_default(),
        stable_namespace: of.stable.0.0.namespace().to_owned(),
        stable: of.stable.0.0.name().to_owned(),
        stable_port: of.stable.1.into(),
        candidate_namespace: of.candidate.0.0.namespace().to_owned(),
        candidate: of.candidate.0.0.name().to_owned(),
        candidate_port: of.candidate.1.into(),
        compared: tally.compared,
        equal: tally.equal,
        twins: tally.twins,
        differences: tally
            .places
            .into_iter()
            .map(|((place, of), counts)| wire::Difference {
                place,
                kind: kind(of).into(),
                raw: counts.raw,
                noise: counts.noise,
                stable: counts.stable,
                candidate: counts.candidate,
            })
            .collect(),
        dropped: tally.dropped,
    };
    let dropped = comparisons.dropped;
    wire::Compared { comparisons: comparisons.into_iter().map(one).collect(), dropped }
}

pub(super) fn examples(examples: Examples) -> wire::Examples {
    let dropped = examples.dropped;
    let example = |((key, why), example): ((SeriesKey, Way), ExampleRecord)| wire::Example {
        key: Some(self::key(&key)),
        time_ms: since_epoch(example.at) / 1_000,
        method: example.method,
        path: example.path,
        detail: example.detail,
        trace_id: example.trace_id.map(|id| id.to_vec()).unwrap_or_default(),
        endpoint: example.endpoint.map(|address| address.to_string()).unwrap_or_default(),
        duration_us: us(example.duration),
        count: example.count,
        reason: why.reason.map(|reason| reason.code().to_owned()).unwrap_or_default(),
        policy: why.policy.map(|policy| policy.to_string()).unwrap_or_default(),
        rule: u32::try_from(example.rule).unwrap_or(u32::MAX),
        by_callee: why.by_callee,
        attempts: example.attempts,
    };
    wire::Examples { examples: examples.into_iter().map(example).collect(), dropped }
}

/// What the controller asks for, within this proxy's bounds. A side or a failure that this version does not know is of no request.
pub(super) fn wishes(set: wire::SetTaps) -> Vec<Wish> {
    let wish = |tap: wire::Tap| {
        let filter = tap.filter.unwrap_or_default();
        let side = match filter.side() {
            wire::Side::Unspecified => None,
            wire::Side::Outbound => Some(Side::Outbound),
            wire::Side::Inbound => Some(Side::Inbound),
        };
        let header = (!filter.header_name.is_empty())
            .then(|| (filter.header_name.to_ascii_lowercase(), filter.header_value));
        let lasts = if tap.duration_ms == 0 { TAP_LASTS } else { tap.duration_ms.min(TAP_LONGEST) };
        Wish {
            id: tap.id,
            filter: Filter {
                side,
                source: filter.source,
                destination: filter.destination,
                namespace: filter.namespace,
                method: filter.method,
                path_prefix: filter.path_prefix,
                status: u16::try_from(filter.status).unwrap_or(u16::MAX),
                header,
                failed_only: filter.failed_only,
                failure: filter.failure,
            },
            max_rps: if tap.max_rps == 0 { TAP_RPS } else { tap.max_rps.min(TAP_MAX_RPS) },
            lasts: Duration::from_millis(lasts.into()),
            headers: tap.headers,
        }
    };
    set.taps.into_iter().map(wish).collect()
}

pub(super) fn trial(trial: wire::Trial) -> Trial {
    let headers = trial.headers.into_iter().map(|header| (header.name, header.value));
    Trial {
        id: trial.id,
        method: trial.method,
        authority: trial.authority,
        target: trial.target,
        headers: headers.collect(),
        trace_id: trial.trace_id,
        parent_id: trial.parent_span_id,
    }
}

pub(super) fn tried(id: u64, tried: Tried) -> wire::Tried {
    let (way, status, failure) = match tried {
        Tried::Refused(refused) => return wire::Tried { id, refused, ..wire::Tried::default() },
        Tried::Sent { way, status, failure } => (way, status, failure),
    };
    let (way, address) = match way {
        TrialWay::Capture(address) => (wire::TrialWay::Capture, address.to_string()),
        TrialWay::HttpProxy => (wire::TrialWay::HttpProxy, String::new()),
    };
    wire::Tried { id, refused: String::new(), way: way.into(), address, status: status.into(), failure }
}

/// Requests a second, and milliseconds, of a session that does not say; and at most.
const TAP_RPS: u32 = 100;
const TAP_MAX_RPS: u32 = 1_000;
const TAP_LASTS: u32 = 60_000;
const TAP_LONGEST: u32 = 3_600_000;

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn since_epoch(at: SystemTime) -> u64 {
    at.duration_since(std::time::UNIX_EPOCH).map_or(0, us)
}

fn name(name: Option<&Name>) -> (String, String) {
    name.map_or_else(Default::default, |name| (name.namespace().to_owned(), name.name().to_owned()))
}

fn side(side: Side) -> wire::Side {
    match side {
        Side::Outbound => wire::Side::Outbound,
        Side::Inbound => wire::Side::Inbound,
    }
}

fn security(security: Security) -> wire::Security {
    match security {
        Security::Mtls => wire::Security::Mtls,
        Security::Tls => wire::Security::Tls,
        Security::Plaintext => wire::Security::Plaintext,
        Security::None => wire::Security::Unspecified,
    }
}

fn failure(failure: Option<Failure>) -> String {
    failure.map_or_else(String::new, |failure| failure.code().to_owned())
}
