//! Spans as OTLP has them, by OpenTelemetry's conventions for HTTP and RPC. It must not know which spans are told.
//!
//! Sources: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>, <https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/>.

use std::time::Duration;

use mesh_proto::otlp::v1::{
    Event, ExportTraces, ResourceSpans, ScopeSpans, Span, SpanKind, SpanStatus, StatusCode,
};
use prost::Message as _;

use super::Resource;
use super::value::{Attributes, nanos, scope};
use crate::telemetry::conventions::{Outcome, address, error_type, scheme, status_name};
use crate::telemetry::span::{AttemptRecord, Recorded, SpanRecord, failed};
use crate::telemetry::{AppProtocol, Failure, KnownMethod, Side};

/// W3C's flag `sampled`, and that the caller's context came from elsewhere (bits 8 and 9 of OTLP's flags).
const SAMPLED: u32 = 1;
const HAS_IS_REMOTE: u32 = 1 << 8;
const IS_REMOTE: u32 = 1 << 9;

pub(super) fn message(spans: Vec<SpanRecord>, resource: &Resource) -> Vec<u8> {
    let spans = spans.into_iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans }];
    let all = ResourceSpans { resource: Some(resource.message()), scope_spans, schema_url: String::new() };
    ExportTraces { resource_spans: vec![all] }.encode_to_vec()
}

fn span(span: SpanRecord) -> Span {
    let kind = match span.side {
        Side::Outbound => SpanKind::Client,
        Side::Inbound => SpanKind::Server,
    };
    let outcome = Outcome {
        side: span.side,
        protocol: span.protocol,
        status: span.status,
        grpc_status: span.grpc_status,
        failure: span.failure,
    };
    let error = error_type(&outcome);
    // Without an error nothing is said, as the conventions ask for.
    let status = (!error.is_empty())
        .then(|| SpanStatus { message: span.detail.clone(), code: StatusCode::Error.into() });
    let mut flags = HAS_IS_REMOTE;
    if span.parent_id.is_some() {
        flags |= IS_REMOTE;
    }
    if span.recorded == Recorded::Sampled {
        flags |= SAMPLED;
    }
    let mut attributes = Attributes::default();
    who(&span, &mut attributes);
    what(&span, &mut attributes);
    attributes.text("error.type", &error);
    mesh(&span, &mut attributes);
    let (start, end) = (nanos(span.start), nanos(span.start + span.duration));
    Span {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        parent_span_id: span.parent_id.map(|id| id.to_vec()).unwrap_or_default(),
        name: name(&span),
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes.0,
        events: events(&span, start),
        dropped_events_count: span
            .attempts_made
            .saturating_sub(u32::try_from(span.attempts.len()).unwrap_or(u32::MAX)),
        status,
        flags,
    }
}

/// A method of gRPC, or the method of HTTP: nothing of a path that a client may make up.
fn name(span: &SpanRecord) -> String {
    match span.protocol {
        AppProtocol::Grpc => span.path.trim_start_matches('/').to_owned(),
        AppProtocol::Http | AppProtocol::Tcp => match KnownMethod::of(&span.method) {
            KnownMethod::Other | KnownMethod::None => "HTTP".to_owned(),
            method => method.label().to_owned(),
        },
    }
}

fn who(span: &SpanRecord, attributes: &mut Attributes) {
    if let Some(service) = &span.service {
        attributes.text("server.address", &address(&service.0));
        if span.service_port != 0 {
            attributes.int("server.port", span.service_port);
        }
    }
    match span.side {
        Side::Outbound => {
            if let Some(endpoint) = span.endpoint {
                attributes.text("network.peer.address", &endpoint.ip().to_string());
                attributes.int("network.peer.port", endpoint.port());
            }
        }
        Side::Inbound => {
            if let Some(peer) = span.peer {
                attributes.text("network.peer.address", &peer.to_string());
                attributes.text("client.address", &peer.to_string());
            }
        }
    }
}

fn what(span: &SpanRecord, attributes: &mut Attributes) {
    if span.protocol == AppProtocol::Grpc {
        attributes.text("rpc.system.name", "grpc");
        attributes.text("rpc.method", span.path.trim_start_matches('/'));
        attributes.text("rpc.response.status_code", span.grpc_status.map_or("", status_name));
        return;
    }
    let method = KnownMethod::of(&span.method);
    attributes.text("http.request.method", method.label());
    if method == KnownMethod::Other {
        attributes.text("http.request.method_original", &span.method);
    }
    attributes.text("url.path", &span.path);
    attributes.text("url.scheme", scheme(span.security));
    if span.status != 0 {
        attributes.int("http.response.status_code", span.status);
    }
    attributes.int("http.request.body.size", span.bytes_in);
    attributes.int("http.response.body.size", span.bytes_out);
    let again = span.attempts_made.saturating_sub(1);
    if again > 0 {
        attributes.int("http.request.resend_count", again);
    }
}

/// What only a mesh knows.
fn mesh(span: &SpanRecord, attributes: &mut Attributes) {
    attributes.text("mesh.side", span.side.label());
    attributes.text("mesh.security", span.security.label());
    for (key, workload) in [("mesh.source", &span.source), ("mesh.destination", &span.destination)] {
        let name = workload.as_ref().map(ToString::to_string);
        attributes.text(key, name.as_deref().unwrap_or_default());
    }
    attributes.text("mesh.route", span.route.as_deref().unwrap_or_default());
    attributes.text("mesh.failure", span.failure.map_or("", Failure::code));
    attributes.text("mesh.recorded", span.recorded.label());
    let spent = &span.spent;
    for (key, time) in [
        ("mesh.spent.discover_ms", spent.discover),
        ("mesh.spent.queue_ms", spent.queue),
        ("mesh.spent.check_ms", spent.check),
        ("mesh.spent.connect_ms", spent.connect),
        ("mesh.spent.tls_ms", spent.tls),
        ("mesh.spent.upstream_ms", spent.upstream),
        ("mesh.spent.retry_ms", spent.retry),
        ("mesh.spent.fault_ms", spent.fault),
    ] {
        attributes.millis(key, time);
    }
}

/// Attempts, where there was more than one, endpoints that are left alone for it, and a redirect that the mesh itself answered with.
fn events(span: &SpanRecord, start: u64) -> Vec<Event> {
    let at = |after: Duration| start.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
    let mut events = Vec::new();
    if span.attempts_made > 1 {
        for (number, attempt) in span.attempts.iter().enumerate() {
            let cause = span.attempts.get(..number).and_then(<[_]>::last);
            let name = match (number, attempt.hedged) {
                (0, _) => "mesh.attempt",
                (_, true) => "mesh.hedge",
                (_, false) => "mesh.retry",
            };
            let attributes = of_attempt(number, attempt, cause).0;
            events.push(Event { time_unix_nano: at(attempt.start), name: name.to_owned(), attributes });
        }
    }
    for endpoint in &span.ejected {
        let mut attributes = Attributes::default();
        attributes.text("network.peer.address", &endpoint.ip().to_string());
        attributes.int("network.peer.port", endpoint.port());
        // When exactly is not kept; the end is when it is known for certain.
        let name = "mesh.ejection".to_owned();
        events.push(Event { time_unix_nano: at(span.duration), name, attributes: attributes.0 });
    }
    let answered_here = span.attempts_made == 0 && span.failure.is_none();
    if span.side == Side::Outbound && answered_here && (300..400).contains(&span.status) {
        let mut attributes = Attributes::default();
        attributes.int("http.response.status_code", span.status);
        attributes.text("mesh.route", span.route.as_deref().unwrap_or_default());
        let name = "mesh.redirect".to_owned();
        events.push(Event { time_unix_nano: at(span.duration), name, attributes: attributes.0 });
    }
    events
}

fn of_attempt(number: usize, attempt: &AttemptRecord, cause: Option<&AttemptRecord>) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.int("mesh.attempt.number", number + 1);
    attributes.text("network.peer.address", &attempt.endpoint.ip().to_string());
    attributes.int("network.peer.port", attempt.endpoint.port());
    let workload = attempt.workload.as_ref().map(ToString::to_string);
    attributes.text("mesh.destination", workload.as_deref().unwrap_or_default());
    if attempt.status != 0 {
        attributes.int("http.response.status_code", attempt.status);
    }
    attributes.text("mesh.failure", attempt.failure.map_or("", Failure::code));
    if let Some(duration) = attempt.duration {
        attributes.millis("mesh.attempt.duration_ms", duration);
    }
    attributes.millis("mesh.spent.connect_ms", attempt.connect);
    attributes.millis("mesh.spent.tls_ms", attempt.tls);
    if attempt.hedged {
        attributes.yes("mesh.attempt.hedged");
    }
    if let Some(cause) = cause.filter(|_| !attempt.hedged) {
        // Why there had to be another one.
        let status = if failed(cause.status, None) { cause.status.to_string() } else { String::new() };
        match cause.failure {
            Some(failure) => attributes.text("mesh.attempt.cause", failure.code()),
            None => attributes.text("mesh.attempt.cause", &status),
        }
    }
    attributes
}
