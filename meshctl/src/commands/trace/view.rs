//! A trace as text. Pure. It must not know where traces come from.

use mesh_controller::inspect::json::hex;
use mesh_proto::inspect::v1::{Dropping, TraceResponse};
use mesh_proto::report::v1::{Security, Span};

use super::spent::{hop_name, of_hop, status};
use super::tree::{Hop, build};
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

#[cfg(test)]
mod tests {
    use mesh_controller::inspect::json;

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
        insta::assert_json_snapshot!(json::trace(&trace));
    }
}
