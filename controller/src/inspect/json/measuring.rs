//! What is promised and what the mesh costs, as JSON. Pure.

use mesh_proto::inspect::v1::{
    Burn, BurnAlert, CostResponse, DaemonCost, Objective, ObjectiveKind, ObjectivesResponse,
};
use serde_json::{Value, json};

use crate::inspect::cost::{Costing, Sum, of_daemon};

/// Objectives with their burn rates.
pub fn objectives(answer: &ObjectivesResponse) -> Value {
    json!({
        "kept_seconds": answer.kept_seconds,
        "objectives": answer.objectives.iter().map(objective).collect::<Vec<_>>(),
        "unanswered": answer.unanswered,
    })
}

fn objective(one: &Objective) -> Value {
    let under_ms = (one.kind() == ObjectiveKind::Latency).then(|| one.under_us as f64 / 1e3);
    json!({
        "policy": { "namespace": one.policy_namespace, "name": one.policy },
        "kind": kind(one.kind()),
        "ratio": one.ratio,
        "under_ms": under_ms,
        "window_seconds": one.window_seconds,
        "service": { "namespace": one.service_namespace, "name": one.service, "port": one.service_port },
        "route": one.route,
        "burns": one.burns.iter().map(burn).collect::<Vec<_>>(),
        "alert": alert(one.alert()),
    })
}

fn burn(burn: &Burn) -> Value {
    json!({
        "window_seconds": burn.window_seconds,
        "requests": burn.requests,
        "bad": burn.bad,
        "rate": burn.rate,
    })
}

/// A kind of objective's name.
fn kind(kind: ObjectiveKind) -> &'static str {
    match kind {
        ObjectiveKind::Availability => "availability",
        ObjectiveKind::Latency => "latency",
        ObjectiveKind::Unspecified => "unknown",
    }
}

/// What is to be done, in one word.
fn alert(alert: BurnAlert) -> &'static str {
    match alert {
        BurnAlert::Fast => "fast",
        BurnAlert::Slow => "slow",
        BurnAlert::Unspecified => "none",
    }
}

/// What the mesh costs: rows, the sum of all, and the control plane.
pub fn cost(answer: &CostResponse, costing: &Costing) -> Value {
    json!({
        "by": costing.by,
        "rows": costing.rows.iter().map(sum).collect::<Vec<_>>(),
        "all": sum(&costing.all),
        "control_plane": answer.control_plane.iter().map(daemon).collect::<Vec<_>>(),
        "unanswered": answer.unanswered,
    })
}

fn sum(sum: &Sum) -> Value {
    let own = |of: &crate::observe::histogram::Histogram| json!({ "measured": of.total(), "p50_us": of.quantile(0.5), "p99_us": of.quantile(0.99) });
    json!({
        "namespace": sum.namespace,
        "name": sum.name,
        "proxies": sum.proxies,
        "interval_ms": sum.interval_ms,
        "cpu": sum.cpu,
        "cpu_us_per_request": sum.cpu_us_per_request(),
        "resident_bytes": sum.resident_bytes,
        "inbound": sum.inbound,
        "outbound": sum.outbound,
        "rps": sum.rps,
        "inbound_own": own(&sum.inbound_own),
        "outbound_own": own(&sum.outbound_own),
    })
}

fn daemon(one: &DaemonCost) -> Value {
    json!({
        "name": one.name,
        "instance": one.instance,
        "interval_ms": one.interval_ms,
        "cpu": of_daemon(one),
        "resident_bytes": one.resident_bytes,
    })
}
