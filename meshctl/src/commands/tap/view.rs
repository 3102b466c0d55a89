//! A tapped request as a line. Pure.

use mesh_controller::inspect::json::hex;
use mesh_proto::inspect::v1::TapResponse;
use mesh_proto::report::v1::{Security, Side};

use crate::commands::trace::spent::{hop_name, of_span, status};
use crate::output::units::micros;
use crate::output::{Paint, Tone};

/// The line.
pub(super) fn line(event: &TapResponse, paint: Paint) -> String {
    let Some(span) = &event.span else { return String::new() };
    let (status, tone) = status(span);
    let side = if span.side() == Side::Inbound { "in " } else { "out" };
    let secured = match span.security() {
        Security::Mtls => "mTLS".to_owned(),
        Security::Tls => "TLS".to_owned(),
        Security::Plaintext => paint.tone(Tone::Bad, "plaintext"),
        Security::Unspecified => "-".to_owned(),
    };
    let request = match (span.method.is_empty(), span.path.is_empty()) {
        (true, true) => format!("{} connection", span.protocol),
        _ => format!("{} {}", span.method, span.path),
    };
    let mut line = format!(
        "{} {side} {}  {}  {}  {}  {}B/{}B  {secured}",
        clock(span.start_us),
        hop_name(span),
        request.trim(),
        paint.tone(tone, &status),
        micros(span.duration_us),
        span.request_bytes,
        span.response_bytes,
    );
    if !span.detail.is_empty() {
        line.push_str("  ");
        line.push_str(&span.detail);
    }
    for header in &event.headers {
        let value = if header.redacted { "(not shown)" } else { &header.value };
        line.push_str(&paint.tone(Tone::Faint, &format!("\n    {}: {value}", header.name)));
    }
    line
}

/// With what there is no room for on one line.
pub(super) fn wide(event: &TapResponse, paint: Paint) -> String {
    let Some(span) = &event.span else { return String::new() };
    let mut more = Vec::new();
    for (name, value) in
        [("route", &span.route), ("peer", &span.peer), ("endpoint", &span.endpoint), ("pod", &span.instance)]
    {
        if !value.is_empty() {
            more.push(format!("{name}={value}"));
        }
    }
    if !span.trace_id.is_empty() {
        more.push(format!("trace={}", hex(&span.trace_id)));
    }
    let spent = of_span(span);
    if !spent.is_empty() {
        more.push(spent);
    }
    format!("{}\n    {}", line(event, paint), paint.tone(Tone::Faint, &more.join("  ")))
}

/// The time of day, UTC.
fn clock(us: u64) -> String {
    let (seconds, millis) = (us / 1_000_000 % 86_400, us / 1_000 % 1_000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use mesh_controller::inspect::json;
    use mesh_proto::report::v1::Header;

    use super::*;
    use crate::commands::trace::tree::tests::retried;

    fn event() -> TapResponse {
        let header =
            |name: &str, value: &str, redacted| Header { name: name.into(), value: value.into(), redacted };
        let headers = vec![header("x-user", "ann", false), header("authorization", "", true)];
        TapResponse { span: Some(retried()), headers, dropped: 3 }
    }

    #[test]
    fn a_request_is_a_line_and_secrets_are_not_in_it() {
        insta::assert_snapshot!(line(&event(), Paint::Plain));
    }

    #[test]
    fn wide_tells_where_the_time_went() {
        insta::assert_snapshot!(wide(&event(), Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(json::tap(&event()));
    }
}
