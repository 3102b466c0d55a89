//! Failures by who called whom and how it failed, as JSON. Pure.

use mesh_proto::inspect::v1::{FailureRow, FailuresResponse};
use serde_json::{Value, json};

use super::{hex, security, side};

/// Failures and the last example of each.
pub fn failures(answer: &FailuresResponse) -> Value {
    json!({
        "window_seconds": answer.window_seconds,
        "rows": answer.rows.iter().map(row).collect::<Vec<_>>(),
        "unanswered": answer.unanswered,
    })
}

fn row(row: &FailureRow) -> Value {
    let key = row.key.clone().unwrap_or_default();
    let example = row.example.clone().unwrap_or_default();
    json!({
        "side": side(key.side()),
        "source": { "namespace": key.source_namespace, "workload": key.source_workload },
        "service": { "namespace": key.service_namespace, "name": key.service },
        "service_port": key.service_port,
        "destination": { "namespace": key.destination_namespace, "workload": key.destination_workload },
        "route": key.route,
        "status": key.status,
        "grpc_status": key.grpc_status,
        "failure": key.failure,
        "security": security(key.security()),
        "count": row.count,
        "requests": row.requests,
        "first_ms": row.first_ms,
        "instance": row.instance,
        "example": {
            "time_ms": example.time_ms,
            "method": example.method,
            "path": example.path,
            "detail": example.detail,
            "trace_id": hex(&example.trace_id),
            "endpoint": example.endpoint,
            "duration_us": example.duration_us,
        },
    })
}
