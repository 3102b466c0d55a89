//! Where the time of a request went, in words, and what else spans are called by. Pure.

use mesh_proto::report::v1::{Attempt, Span};

use crate::output::Tone;
use crate::output::units::micros;

/// Parts below this are not worth a word, microseconds.
const SMALL: u64 = 50;

/// As one proxy saw it.
pub(crate) fn of_span(span: &Span) -> String {
    let mut parts = Vec::new();
    waits(&mut parts, span);
    if let Some(timings) = &span.timings {
        part(&mut parts, "upstream", timings.upstream_us);
    }
    parts.extend(attempts(span));
    parts.extend(ejected(span));
    parts.join(", ")
}

/// As both saw it: what the caller's waited for, the way between them, what the callee's waited for, and the application.
pub(crate) fn of_hop(outbound: Option<&Span>, inbound: Option<&Span>) -> String {
    let (Some(outside), Some(inside)) = (outbound, inbound) else {
        return outbound.or(inbound).map(of_span).unwrap_or_default();
    };
    let mut parts = Vec::new();
    waits(&mut parts, outside);
    let upstream = outside.timings.map(|timings| timings.upstream_us).unwrap_or_default();
    let answered = inside.first_byte_us;
    if upstream > 0 && answered > 0 {
        part(&mut parts, "way", upstream.saturating_sub(answered));
    }
    waits(&mut parts, inside);
    if let Some(timings) = &inside.timings {
        part(&mut parts, "application", timings.upstream_us);
    }
    let body = outside.duration_us.saturating_sub(outside.first_byte_us);
    if outside.first_byte_us > 0 {
        part(&mut parts, "body", body);
    }
    parts.extend(attempts(outside));
    parts.extend(ejected(outside));
    parts.join(", ")
}

fn waits(parts: &mut Vec<String>, span: &Span) {
    let Some(timings) = &span.timings else { return };
    part(parts, "discovery", timings.discover_us);
    part(parts, "fault on purpose", timings.fault_us);
    part(parts, "queue", timings.queue_us);
    part(parts, "external check", timings.check_us);
    part(parts, "earlier attempts", timings.retry_us);
    if timings.connect_us >= SMALL {
        let tls =
            if timings.tls_us > 0 { format!(" (TLS {})", micros(timings.tls_us)) } else { String::new() };
        parts.push(format!("connect {}{tls}", micros(timings.connect_us)));
    }
}

fn part(parts: &mut Vec<String>, name: &str, us: u64) {
    if us >= SMALL {
        parts.push(format!("{name} {}", micros(us)));
    }
}

/// All attempts, if there was more than one.
fn attempts(span: &Span) -> Option<String> {
    if span.attempts_made < 2 {
        return None;
    }
    let how = |attempt: &Attempt| match (attempt.status, attempt.failure.as_str()) {
        (0, "") => "given up".to_owned(),
        (0, failure) => failure.to_owned(),
        (status, _) => status.to_string(),
    };
    let each: Vec<String> =
        span.attempts.iter().map(|attempt| format!("{} {}", attempt.endpoint, how(attempt))).collect();
    let word = if span.hedged { "hedged attempts" } else { "attempts" };
    Some(format!("{} {word}: {}", span.attempts_made, each.join("; ")))
}

/// Endpoints that are left alone because of how it ended there.
fn ejected(span: &Span) -> Option<String> {
    (!span.ejected.is_empty()).then(|| format!("ejected for it: {}", span.ejected.join(", ")))
}

/// Who asked whom.
pub(crate) fn hop_name(span: &Span) -> String {
    let source = if span.source_workload.is_empty() { "(outside)" } else { &span.source_workload };
    let destination = match (span.service.is_empty(), span.destination_workload.is_empty()) {
        (false, true) => span.service.clone(),
        (true, true) => "(unknown)".to_owned(),
        (true, false) => span.destination_workload.clone(),
        (false, false) if span.service == span.destination_workload => span.service.clone(),
        (false, false) => format!("{} ({})", span.service, span.destination_workload),
    };
    format!("{source} → {destination}")
}

/// How it ended.
pub(crate) fn status(span: &Span) -> (String, Tone) {
    let failed =
        span.status >= 500 || span.grpc_status.is_some_and(|code| code != 0) || !span.failure.is_empty();
    let mut text = match (span.grpc_status, span.status) {
        (Some(code), _) => format!("gRPC {code}"),
        (None, 0) => "-".to_owned(),
        (None, status) => status.to_string(),
    };
    if !span.failure.is_empty() {
        text.push(' ');
        text.push_str(&span.failure);
    }
    (text, if failed { Tone::Bad } else { Tone::Good })
}

#[cfg(test)]
mod tests {
    use mesh_proto::report::v1::Timings;

    use super::*;
    use crate::commands::trace::tree::tests::retried;

    #[test]
    fn the_parts_of_a_hop_are_told_in_their_order() {
        let outside = retried();
        let timings = Timings { queue_us: 2_000, upstream_us: 6_000, ..Timings::default() };
        let inside = Span { first_byte_us: 8_100, timings: Some(timings), ..Span::default() };
        assert_eq!(
            of_hop(Some(&outside), Some(&inside)),
            "earlier attempts 7.00ms, connect 4.00ms (TLS 2.50ms), way 0.90ms, queue 2.00ms, application 6.00ms, \
             body 1.00ms, 2 attempts: 10.0.0.1:80 connect_failed; 10.0.0.2:80 200, ejected for it: 10.0.0.1:80"
        );
        assert_eq!(of_hop(None, None), "");
        assert_eq!(of_span(&Span::default()), "");
    }
}
