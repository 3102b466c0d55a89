//! Causes as text and as JSON. Pure.

use std::fmt::Write as _;

use mesh_controller::inspect::json::hex;
use serde_json::{Value, json};

use super::cause;
use super::diagnose::{Found, Party, Report};
use crate::output::table::{Align, Cell, Table};
use crate::output::units::{micros, span};
use crate::output::{Paint, Tone, text};

/// Width of running text, and what names of parts take to its left.
const WIDTH: usize = 100;
const INDENT: usize = 13;

/// For people.
pub(crate) fn text(report: &Report, window: u32, now: u64, paint: Paint) -> String {
    let mut out = summary(report, window, now);
    out.push('\n');
    for (at, found) in report.causes.iter().enumerate() {
        one(&mut out, at + 1, found, paint);
    }
    out
}

fn summary(report: &Report, window: u32, now: u64) -> String {
    let about = if report.about.is_empty() { String::new() } else { format!(" of {}", report.about) };
    let window = span(window.into());
    let states = report.causes.iter().filter(|found| found.count == 0).count();
    let beside = match states {
        0 => String::new(),
        1 => "; 1 thing is not as it should be".to_owned(),
        many => format!("; {many} things are not as they should be"),
    };
    match (report.failed, report.requests, report.last_seen) {
        (0, 0, None) => format!("no traffic{about} in the last hour{beside}"),
        (0, 0, Some(at)) => {
            format!(
                "no traffic{about} in the last {window}: none since {} ago{beside}",
                span(now.saturating_sub(at))
            )
        }
        (0, requests, _) => {
            format!("no failures{about}: {requests} requests looked at in the last {window}{beside}")
        }
        (failed, requests, _) => {
            let requests = requests.max(failed);
            format!("{failed} of {requests} requests{about} failed in the last {window}{beside}")
        }
    }
}

fn one(out: &mut String, number: usize, found: &Found, paint: Paint) {
    let mut part = |name: &str, text: &str, tone: Tone| {
        let lines = text::wrap(text, WIDTH - INDENT).join(&format!("\n{}", " ".repeat(INDENT)));
        let space = " ".repeat(INDENT.saturating_sub(name.chars().count()));
        // Writing to a string cannot fail.
        writeln!(out, "{}{space}{lines}", paint.tone(tone, name)).ok();
    };
    let title = format!("\n{number}. {}", found.cause.what);
    part(&title, "", Tone::Strong);
    part("   cause", found.cause.code, Tone::Faint);
    if found.count > 0 {
        let of = if found.requests > found.count { format!(" of {}", found.requests) } else { String::new() };
        part("   how often", &format!("{}{of}, {}", found.count, way(found)), Tone::Plain);
    } else if !found.destination.name.is_empty() {
        part("   where", &name(&found.destination), Tone::Plain);
    }
    if !found.route.is_empty() {
        part("   route", &found.route, Tone::Plain);
    }
    if let Some((policy, rule)) = &found.policy {
        let which = if *rule == 0 { "none of its rules fits".to_owned() } else { format!("its rule {rule}") };
        part("   policy", &format!("AuthorizationPolicy {policy}: {which}"), Tone::Plain);
    }
    if !found.detail.is_empty() && found.objects.first().is_none_or(|object| object.message != found.detail) {
        part("   detail", &found.detail, Tone::Plain);
    }
    if let Some(example) = &found.example {
        part("   example", &example_line(example), Tone::Plain);
    }
    for object in &found.objects {
        let field = if object.field.is_empty() { String::new() } else { format!(", {}", object.field) };
        let origin = if object.origin.is_empty() { String::new() } else { format!(" ({})", object.origin) };
        part("   object", &format!("{}{origin}{field}: {}", object.object, object.message), Tone::Plain);
    }
    part("   to do", found.cause.next, Tone::Plain);
    if let Some(command) = explain(found) {
        part("   ask", &command, Tone::Plain);
    }
    *out = out.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
}

fn example_line(example: &mesh_proto::report::v1::Example) -> String {
    let key = example.key.clone().unwrap_or_default();
    let request = if example.method.is_empty() {
        format!("{} connection", key.protocol)
    } else {
        format!("{} {}", example.method, example.path)
    };
    let mut parts = vec![clock(example.time_ms), request];
    if key.status > 0 {
        parts.push(key.status.to_string());
    }
    parts.extend(key.grpc_status.map(|status| format!("grpc-status {status}")));
    if !key.failure.is_empty() {
        parts.push(key.failure);
    }
    parts.push(micros(example.duration_us));
    if example.attempts > 1 {
        parts.push(format!("{} attempts", example.attempts));
    }
    if !example.endpoint.is_empty() {
        parts.push(format!("at {}", example.endpoint));
    }
    if !example.trace_id.is_empty() {
        parts.push(format!("trace {}", hex(&example.trace_id)));
    }
    parts.join("  ")
}

/// The command that shows why, where objects decide.
fn explain(found: &Found) -> Option<String> {
    let example = found.example.as_ref()?;
    let decided = matches!(
        found.cause.code,
        "no_route"
            | "backend_missing"
            | "backend_none"
            | "endpoints_none"
            | "target_port_unknown"
            | "application_slow"
            | "fault_injected"
            | "not_allowed"
            | "deny_rule"
    );
    if !decided || found.service.name.is_empty() || example.method.is_empty() {
        return None;
    }
    let port = if matches!(found.port, 0 | 80) { String::new() } else { format!(":{}", found.port) };
    let from =
        if found.source.name.is_empty() { String::new() } else { format!(" --from {}", name(&found.source)) };
    let Party { namespace, name } = &found.service;
    Some(format!("meshctl explain {} http://{name}.{namespace}{port}{}{from}", example.method, example.path))
}

fn way(found: &Found) -> String {
    let from = if found.source.name.is_empty() { "somebody outside".to_owned() } else { name(&found.source) };
    let port = if found.port == 0 { String::new() } else { format!(":{}", found.port) };
    let to = match (found.service.name.is_empty(), found.destination.name.is_empty()) {
        (true, true) => "outside".to_owned(),
        (true, false) => name(&found.destination),
        (false, true) => format!("{}{port}", name(&found.service)),
        (false, false) if found.service == found.destination => format!("{}{port}", name(&found.service)),
        (false, false) => format!("{}{port} ({})", name(&found.service), found.destination.name),
    };
    format!("{from} → {to}")
}

fn name(party: &Party) -> String {
    if party.namespace.is_empty() {
        party.name.clone()
    } else {
        format!("{}.{}", party.name, party.namespace)
    }
}

/// The time of day, UTC.
fn clock(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, ms % 1_000)
}

/// Every cause.
pub(crate) fn causes() -> Table {
    let mut table = Table::new(&[("CAUSE", Align::Left), ("WHAT", Align::Left)]);
    for cause in cause::ALL {
        table.row([Cell::toned(cause.code, Tone::Strong), cause.what.into()]);
    }
    table
}

/// The same for scripts, with what to do.
pub(crate) fn causes_json() -> Value {
    let one = |cause: &cause::Cause| json!({ "cause": cause.code, "what": cause.what, "next": cause.next });
    json!({ "causes": cause::ALL.iter().map(one).collect::<Vec<_>>() })
}

/// For scripts.
pub(crate) fn json(report: &Report, window: u32) -> Value {
    json!({
        "about": report.about,
        "window_seconds": window,
        "requests": report.requests,
        "failed": report.failed,
        "last_seen": report.last_seen,
        "causes": report.causes.iter().map(cause_json).collect::<Vec<_>>(),
    })
}

fn cause_json(found: &Found) -> Value {
    let party = |party: &Party| json!({ "namespace": party.namespace, "name": party.name });
    let objects = found.objects.iter().map(|object| {
        json!({ "object": object.object, "origin": object.origin, "field": object.field, "message": object.message })
    });
    json!({
        "cause": found.cause.code,
        "what": found.cause.what,
        "next": found.cause.next,
        "ask": explain(found),
        "count": found.count,
        "requests": found.requests,
        "source": party(&found.source),
        "service": party(&found.service),
        "port": found.port,
        "destination": party(&found.destination),
        "route": found.route,
        "policy": found.policy.as_ref().map(|(policy, rule)| json!({ "name": policy, "rule": rule })),
        "detail": found.detail,
        "example": found.example.as_ref().map(example_json),
        "objects": objects.collect::<Vec<_>>(),
    })
}

fn example_json(example: &mesh_proto::report::v1::Example) -> Value {
    let key = example.key.clone().unwrap_or_default();
    json!({
        "time_ms": example.time_ms,
        "protocol": key.protocol,
        "method": example.method,
        "path": example.path,
        "status": key.status,
        "grpc_status": key.grpc_status,
        "failure": key.failure,
        "reason": example.reason,
        "duration_us": example.duration_us,
        "attempts": example.attempts,
        "endpoint": example.endpoint,
        "trace_id": hex(&example.trace_id),
    })
}

#[cfg(test)]
mod tests {
    use super::super::diagnose::tests::sample;
    use super::*;

    #[test]
    fn causes_are_told_in_words_with_an_example_and_what_to_do() {
        insta::assert_snapshot!(text(&sample(), 600, 1_800_000_060, Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json(&sample(), 600));
    }

    #[test]
    fn nothing_is_told_too() {
        let of = |requests, last_seen| {
            let report = Report { about: "cart".into(), requests, last_seen, ..Report::default() };
            text(&report, 600, 1_000, Paint::Plain)
        };
        assert_eq!(of(40, None), "no failures of cart: 40 requests looked at in the last 10m\n");
        assert_eq!(of(0, Some(100)), "no traffic of cart in the last 10m: none since 15m ago\n");
        assert_eq!(of(0, None), "no traffic of cart in the last hour\n");
    }
}
