//! A trace as text and as JSON. Pure. It must not know where traces come from.

use mesh_proto::inspect::v1::{Dropping, TraceResponse};
use mesh_proto::report::v1::{Attempt, Security, Span, Timings};
use serde_json::{Value, json};

use super::spent::{hop_name, of_hop, status};
use super::tree::{Hop, build};
use crate::commands::traffic::{security, side};
use crate::output::table::{Align, Cell, Table};
use crate::output::units::micros;
use crate::output::{Paint, Tone};

/// Characters of the bar that shows when a hop ran.
const BAR: u64 = 24;

const COLUMNS: [(&str, Align); 8] = [
    ("HOP", Align::Left),
    ("REQUEST", Align::Left),
    ("STATUS", Align::Left),
    ("TIME", Align::Right),
    ("IN MESH", Align::Right),
    ("WHEN", Align::Left),
    ("ROUTE", Align::Left),
    ("WHERE THE TIME WENT", Align::Left),
];

/// The tree, a table with a line a hop.
pub(crate) fn text(trace: &TraceResponse, paint: Paint) -> String {
    let roots = build(&trace.spans);
    let start = trace.spans.iter().map(|span| span.start_us).min().unwrap_or_default();
    let end = trace.spans.iter().map(|span| span.start_us + span.duration_us).max().unwrap_or_default();
    let mut table = Table::new(&COLUMNS);
    for root in &roots {
        add(&mut table, root, "", "", (start, end));
    }
    let title = format!("trace {}  {}", hex(&trace.trace_id), micros(end.saturating_sub(start)));
    let mut out = format!("{}\n{}", paint.tone(Tone::Strong, &title), table.render(paint));
    if !trace.complete {
        let missing = if trace.missing.is_empty() { "a hop".to_owned() } else { trace.missing.join("; ") };
        out.push_str(&paint.tone(Tone::Warning, &format!("not complete, missing: {missing}")));
        out.push('\n');
    }
    for dropping in &trace.dropping {
        out.push_str(&paint.tone(Tone::Warning, &dropped(dropping)));
        out.push('\n');
    }
    out
}

/// Who does not pass trace headers on, and what to do.
fn dropped(dropping: &Dropping) -> String {
    format!(
        "{}.{} does not pass trace headers on: while it answered requests with a trace, it made {} calls without (last: {}); it has to copy \
         `traceparent` from what it is asked to what it asks",
        dropping.workload, dropping.namespace, dropping.calls, dropping.example
    )
}

fn add(table: &mut Table, hop: &Hop<'_>, lead: &str, indent: &str, whole: (u64, u64)) {
    let Some(span) = hop.span() else { return };
    let name = format!("{lead}{}", hop_name(span));
    let request = format!("{} {}", span.method, span.path).trim().chars().take(40).collect::<String>();
    let (status, tone) = status(span);
    let in_mesh = match (hop.outbound, hop.inbound) {
        (Some(outside), Some(inside)) => micros(outside.duration_us.saturating_sub(inside.duration_us)),
        (Some(_), None) | (None, _) => "-".to_owned(),
    };
    let plaintext = if span.security() == Security::Plaintext { " plaintext!" } else { "" };
    table.row([
        name.into(),
        request.into(),
        Cell::toned(format!("{status}{plaintext}"), tone),
        micros(span.duration_us).into(),
        Cell::toned(in_mesh, Tone::Faint),
        Cell::toned(bar(span, whole), Tone::Good),
        Cell::toned(&*span.route, Tone::Faint),
        Cell::toned(of_hop(hop.outbound, hop.inbound), Tone::Faint),
    ]);
    let last = hop.children.len().saturating_sub(1);
    for (i, child) in hop.children.iter().enumerate() {
        let (branch, below) = if i == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        add(table, child, &format!("{indent}{branch}"), &format!("{indent}{below}"), whole);
    }
}

/// When the hop ran within the whole request.
fn bar(span: &Span, (start, end): (u64, u64)) -> String {
    let whole = end.saturating_sub(start).max(1);
    let place = |time: u64| (time.saturating_sub(start) * BAR / whole).min(BAR);
    let from = place(span.start_us).min(BAR - 1);
    let to = place(span.start_us + span.duration_us).max(from + 1);
    (0..BAR).map(|i| if (from..to).contains(&i) { '▇' } else { '·' }).collect()
}

/// The same for scripts: all spans as they were reported.
pub(crate) fn json(trace: &TraceResponse) -> Value {
    json!({
        "trace_id": hex(&trace.trace_id),
        "complete": trace.complete,
        "missing": trace.missing,
        "spans": trace.spans.iter().map(span_json).collect::<Vec<_>>(),
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
pub(crate) fn span_json(span: &Span) -> Value {
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

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::trace::tree::tests::{retried, shop};

    #[test]
    fn a_whole_trace_is_a_tree_with_a_line_a_hop() {
        let trace = TraceResponse {
            trace_id: vec![0xab; 16],
            spans: shop(),
            complete: true,
            ..TraceResponse::default()
        };
        insta::assert_snapshot!(text(&trace, Paint::Plain));
    }

    #[test]
    fn a_workload_that_drops_trace_headers_is_named() {
        let dropping = Dropping {
            namespace: "shop".into(),
            workload: "cart".into(),
            calls: 12,
            example: "GET /items to db".into(),
            ..Dropping::default()
        };
        let trace = TraceResponse {
            trace_id: vec![0xab; 16],
            spans: vec![retried()],
            complete: true,
            dropping: vec![dropping],
            ..TraceResponse::default()
        };
        insta::assert_snapshot!(text(&trace, Paint::Plain));
    }

    #[test]
    fn a_trace_with_a_missing_hop_says_which() {
        let spans = shop().into_iter().take(3).collect();
        let missing = vec!["the callee of web → reviews".to_owned()];
        let trace = TraceResponse {
            trace_id: vec![1; 16],
            spans,
            complete: false,
            missing,
            ..TraceResponse::default()
        };
        insta::assert_snapshot!(text(&trace, Paint::Plain));
    }

    #[test]
    fn json_has_every_span_with_every_field() {
        let spans = shop().into_iter().take(1).collect();
        let trace =
            TraceResponse { trace_id: vec![0xab; 16], spans, complete: true, ..TraceResponse::default() };
        insta::assert_json_snapshot!(json(&trace));
    }
}
