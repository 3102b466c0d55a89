//! Traces and single requests as JSON. Pure.

use mesh_proto::inspect::v1::{Dropping, TapResponse, TraceResponse};
use mesh_proto::report::v1::{Attempt, Span, Timings};
use serde_json::{Value, json};

use super::{hex, security, side};

/// A trace: all spans as they were reported.
pub fn trace(trace: &TraceResponse) -> Value {
    json!({
        "trace_id": hex(&trace.trace_id),
        "complete": trace.complete,
        "missing": trace.missing,
        "spans": trace.spans.iter().map(span).collect::<Vec<_>>(),
        "dropping": trace.dropping.iter().map(dropping_json).collect::<Vec<_>>(),
    })
}

fn dropping_json(dropping: &Dropping) -> Value {
    json!({
        "namespace": dropping.namespace,
        "workload": dropping.workload,
        "calls": dropping.calls,
        "example": dropping.example,
        "trace_id": hex(&dropping.trace_id),
    })
}

/// A span, also of a tapped request.
pub fn span(span: &Span) -> Value {
    json!({
        "span_id": hex(&span.span_id),
        "parent_span_id": hex(&span.parent_span_id),
        "side": side(span.side()),
        "source": { "namespace": span.source_namespace, "workload": span.source_workload },
        "service": { "namespace": span.service_namespace, "name": span.service },
        "destination": { "namespace": span.destination_namespace, "workload": span.destination_workload },
        "route": span.route,
        "method": span.method,
        "path": span.path,
        "status": span.status,
        "grpc_status": span.grpc_status,
        "failure": span.failure,
        "security": security(span.security()),
        "start_us": span.start_us,
        "duration_us": span.duration_us,
        "first_byte_us": span.first_byte_us,
        "protocol": span.protocol,
        "service_port": span.service_port,
        "request_bytes": span.request_bytes,
        "response_bytes": span.response_bytes,
        "peer": span.peer,
        "endpoint": span.endpoint,
        "instance": span.instance,
        "detail": span.detail,
        "timings": timings_json(&span.timings.unwrap_or_default()),
        "attempts": span.attempts.iter().map(attempt_json).collect::<Vec<_>>(),
        "attempts_made": span.attempts_made,
        "hedged": span.hedged,
        "ejected": span.ejected,
    })
}

fn timings_json(timings: &Timings) -> Value {
    json!({
        "discover_us": timings.discover_us,
        "queue_us": timings.queue_us,
        "check_us": timings.check_us,
        "connect_us": timings.connect_us,
        "tls_us": timings.tls_us,
        "upstream_us": timings.upstream_us,
        "retry_us": timings.retry_us,
        "fault_us": timings.fault_us,
    })
}

fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "endpoint": attempt.endpoint,
        "workload": attempt.workload,
        "start_us": attempt.start_us,
        "duration_us": attempt.duration_us,
        "status": attempt.status,
        "failure": attempt.failure,
        "connect_us": attempt.connect_us,
        "tls_us": attempt.tls_us,
        "hedged": attempt.hedged,
    })
}

/// A request as it ended.
pub fn tap(event: &TapResponse) -> Value {
    let headers = event.headers.iter().map(|header| {
        let value = if header.redacted { None } else { Some(&header.value) };
        json!({ "name": header.name, "value": value, "redacted": header.redacted })
    });
    let mut value = span(event.span.as_ref().unwrap_or(&Span::default()));
    if let Some(fields) = value.as_object_mut() {
        let trace = event.span.as_ref().map(|span| hex(&span.trace_id)).unwrap_or_default();
        fields.insert("trace_id".to_owned(), trace.into());
        fields.insert("headers".to_owned(), headers.collect());
        fields.insert("dropped".to_owned(), event.dropped.into());
    }
    value
}
