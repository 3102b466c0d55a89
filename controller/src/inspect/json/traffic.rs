//! Traffic as JSON: who called whom, groups, edges, ports. Pure.

use mesh_proto::inspect::v1::{
    Edge, EdgesResponse, Group, Point, PortProtocol, ProtocolsResponse, StatResponse, StatRow, Unsecured,
};
use serde_json::{Value, json};

use super::{security, side};

/// Who called whom.
pub fn stat(answer: &StatResponse) -> Value {
    json!({ "window_seconds": answer.window_seconds, "rows": answer.rows.iter().map(row_json).collect::<Vec<_>>() })
}

/// How often requests failed with each code.
fn codes(row: &StatRow) -> Value {
    row.failure_codes.iter().map(|failure| (failure.code.clone(), Value::from(failure.count))).collect()
}

fn row_json(row: &StatRow) -> Value {
    json!({
        "side": side(row.side()),
        "source": { "namespace": row.source_namespace, "workload": row.source_workload },
        "service": { "namespace": row.service_namespace, "name": row.service },
        "destination": { "namespace": row.destination_namespace, "workload": row.destination_workload },
        "route": row.route,
        "protocol": row.protocol,
        "security": security(row.security()),
        "requests": row.requests,
        "failures": row.failures,
        "mesh_failures": row.mesh_failures,
        "failure_codes": codes(row),
        "rps": row.rps,
        "p50_ms": row.p50_ms,
        "p95_ms": row.p95_ms,
        "p99_ms": row.p99_ms,
    })
}

/// Whom a row of a group is about.
pub fn place(row: &StatRow, group: Group, by_source: bool) -> (&str, &str) {
    match (group, by_source) {
        (Group::Service | Group::Route, _) => (&row.service_namespace, &row.service),
        (_, true) => (&row.source_namespace, &row.source_workload),
        (_, false) => (&row.destination_namespace, &row.destination_workload),
    }
}

/// Success, rate and latency of a group; whom it is about was called, or with `by_source` called.
pub fn golden(answer: &StatResponse, group: Group, by_source: bool) -> Value {
    let row = |row: &StatRow| {
        let (namespace, name) = place(row, group, by_source);
        let mut value = json!({
            "namespace": namespace,
            "name": name,
            "route": row.route,
            "meshed": row.meshed,
            "meshed_of": row.meshed_of,
            "requests": row.requests,
            "failures": row.failures,
            "mesh_failures": row.mesh_failures,
            "failure_codes": codes(row),
            "rps": row.rps,
            "p50_ms": row.p50_ms,
            "p95_ms": row.p95_ms,
            "p99_ms": row.p99_ms,
            "tcp_connections": row.tcp_connections,
            "bytes_in": row.bytes_in,
            "bytes_out": row.bytes_out,
        });
        if let (false, Some(fields)) = (row.history.is_empty(), value.as_object_mut()) {
            fields.insert("history".to_owned(), row.history.iter().map(point).collect());
        }
        value
    };
    let kind = match group {
        Group::Workload => "deploy",
        Group::Pod => "pod",
        Group::Service => "svc",
        Group::Namespace => "ns",
        Group::Route => "route",
        Group::Unspecified => "edge",
    };
    json!({
        "kind": kind,
        "window_seconds": answer.window_seconds,
        "rows": answer.rows.iter().map(row).collect::<Vec<_>>(),
        "unanswered": answer.unanswered,
    })
}

fn point(point: &Point) -> Value {
    json!({
        "time": point.time,
        "requests": point.requests,
        "failures": point.failures,
        "p50_ms": point.p50_ms,
        "p99_ms": point.p99_ms,
    })
}

/// Why an edge is not secured.
fn unsecured(why: Unsecured) -> Option<&'static str> {
    match why {
        Unsecured::Unspecified => None,
        Unsecured::CallerOutside => Some("caller-outside"),
        Unsecured::CallerPastProxy => Some("caller-past-proxy"),
        Unsecured::CalleeOutside => Some("callee-outside"),
        Unsecured::Disabled => Some("disabled"),
        Unsecured::Itself => Some("itself"),
    }
}

/// Who talks to whom.
pub fn edges(answer: &EdgesResponse) -> Value {
    let edge = |edge: &Edge| {
        json!({
            "source": { "namespace": edge.source_namespace, "workload": edge.source_workload },
            "service": { "namespace": edge.service_namespace, "name": edge.service },
            "destination": { "namespace": edge.destination_namespace, "workload": edge.destination_workload },
            "security": security(edge.security()),
            "unsecured": unsecured(edge.unsecured()),
            "reason": edge.reason,
            "requests": edge.requests,
            "failures": edge.failures,
            "rps": edge.rps,
            "p50_ms": edge.p50_ms,
            "p99_ms": edge.p99_ms,
            "bytes_in": edge.bytes_in,
            "bytes_out": edge.bytes_out,
        })
    };
    json!({
        "window_seconds": answer.window_seconds,
        "edges": answer.edges.iter().map(edge).collect::<Vec<_>>(),
        "unanswered": answer.unanswered,
    })
}

/// What ports speak.
pub fn protocols(answer: &ProtocolsResponse) -> Value {
    let port = |port: &PortProtocol| {
        let seen = port.seen.iter().map(|one| (one.protocol.clone(), Value::from(one.requests)));
        json!({
            "namespace": port.namespace,
            "service": port.service,
            "port": port.port,
            "declared": if port.declared.is_empty() { None } else { Some(&port.declared) },
            "seen": seen.collect::<serde_json::Map<_, _>>(),
            "mismatch": port.mismatch,
        })
    };
    json!({ "ports": answer.ports.iter().map(port).collect::<Vec<_>>(), "unanswered": answer.unanswered })
}
