//! What was measured, as text and as JSON. Pure.

use mesh_controller::inspect::json::hex;
use mesh_proto::report::v1::{Span, TrialWay};
use serde_json::{Value, json};

use super::Live;
use crate::commands::explain::view::Page;
use crate::output::units::micros;
use crate::output::{Paint, Tone};

/// Where the time went at one sidecar, in order, microseconds. What lies between the measured parts is the time for decisions: route, policies,
/// balancing.
fn stages(span: &Span) -> Vec<(&'static str, u64)> {
    let timings = span.timings.unwrap_or_default();
    let told = timings.discover_us
        + timings.fault_us
        + timings.queue_us
        + timings.check_us
        + timings.retry_us
        + timings.connect_us
        + timings.upstream_us;
    let until_answer = if span.first_byte_us == 0 { span.duration_us } else { span.first_byte_us };
    vec![
        ("resolve", timings.discover_us),
        ("decide", until_answer.saturating_sub(told)),
        ("check", timings.check_us),
        ("fault", timings.fault_us),
        ("queue", timings.queue_us),
        ("retries", timings.retry_us),
        ("connect", timings.connect_us.saturating_sub(timings.tls_us)),
        ("tls", timings.tls_us),
        ("upstream", timings.upstream_us),
        ("body", span.duration_us.saturating_sub(until_answer)),
        ("total", span.duration_us),
    ]
}

/// As what it came to the sidecar.
fn way(live: &Live) -> String {
    match live.way {
        TrialWay::Capture => format!("as a captured connection to {}", live.address),
        TrialWay::HttpProxy => "as by its HTTP proxy port".to_owned(),
        TrialWay::Unspecified => "in a way that this version does not know".to_owned(),
    }
}

/// Below the explanation.
pub(in crate::commands::explain) fn text(live: &Live, paint: Paint) -> String {
    let mut page = Page::new(paint);
    page.section("Live");
    page.line(
        "sent",
        &format!("by the sidecar of {}, {}, trace {}", live.workload, way(live), hex(&live.trace_id)),
        Tone::Plain,
    );
    let answer = match (live.status, live.failure.as_str()) {
        (0, _) => "none".to_owned(),
        (status, "") => status.to_string(),
        (status, failure) => format!("{status} {failure}"),
    };
    let by = live.outbound.as_ref().filter(|span| !span.endpoint.is_empty()).map(|span| {
        let who =
            if span.destination_workload.is_empty() { "an endpoint" } else { &span.destination_workload };
        format!(", from {who} at {}", span.endpoint)
    });
    page.line(
        "answer",
        &format!("{answer}{}", by.unwrap_or_default()),
        if live.failure.is_empty() { Tone::Plain } else { Tone::Bad },
    );
    match live.differs.as_slice() {
        [] => page.line("verdict", "as explained", Tone::Good),
        several => {
            for one in several {
                page.line("verdict", one, Tone::Bad);
            }
        }
    }
    for (name, span) in [("caller", &live.outbound), ("callee", &live.inbound)] {
        let Some(span) = span else { continue };
        let told = stages(span).into_iter().filter(|(_, us)| *us > 0);
        let told: Vec<String> = told.map(|(stage, us)| format!("{stage} {}", micros(us))).collect();
        page.line(name, &told.join(", "), Tone::Plain);
    }
    page.finish()
}

/// The same for scripts.
pub(in crate::commands::explain) fn json(live: &Live) -> Value {
    let side = |span: &Option<Span>| {
        span.as_ref().map(|span| {
            let stages = stages(span).into_iter().map(|(name, us)| (format!("{name}_us"), Value::from(us)));
            json!({
                "workload": if span.side() == mesh_proto::report::v1::Side::Inbound { &span.destination_workload } else { &span.source_workload },
                "endpoint": span.endpoint,
                "route": span.route,
                "status": span.status,
                "failure": span.failure,
                "attempts": span.attempts_made,
                "stages": stages.collect::<serde_json::Map<_, _>>(),
            })
        })
    };
    json!({
        "trace_id": hex(&live.trace_id),
        "workload": live.workload,
        "way": match live.way {
            TrialWay::Capture => "capture",
            TrialWay::HttpProxy => "http_proxy",
            TrialWay::Unspecified => "unknown",
        },
        "address": live.address,
        "status": live.status,
        "failure": live.failure,
        "as_explained": live.differs.is_empty(),
        "differs": live.differs,
        "caller": side(&live.outbound),
        "callee": side(&live.inbound),
    })
}
