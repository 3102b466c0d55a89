//! Rate limits in response headers. It must not decide.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-10 (`RateLimit-Policy`, `RateLimit`), RFC 9651 (structured fields), RFC 9110 section
//! 10.2.3 (`Retry-After`).

use std::fmt::Write as _;
use std::time::Duration;

use mesh_model::traffic::RateLimit;

use super::Verdict;

/// The value of `RateLimit-Policy`: `"name";q=100;w=60`.
pub fn policy_header<'a>(limits: impl IntoIterator<Item = &'a RateLimit>) -> String {
    quota_header(limits.into_iter().map(|limit| (&limit.name, limit.requests, limit.per)))
}

/// The same of names, requests and the time for them.
pub fn quota_header(limits: impl IntoIterator<Item = (impl AsRef<str>, u32, Duration)>) -> String {
    let mut out = String::new();
    for (name, requests, per) in limits {
        item(&mut out, name.as_ref());
        // A String takes every write.
        let _ = write!(out, ";q={requests};w={}", seconds(per));
    }
    out
}

/// The value of `RateLimit`: `"name";r=50;t=30`. `t` is the time after which a refused client may come again, else the time
/// until all of the quota is there.
pub fn rate_header<'a>(limits: impl IntoIterator<Item = (&'a RateLimit, Verdict)>) -> String {
    standing_header(
        limits.into_iter().map(|(limit, verdict)| (&limit.name, verdict.remaining, verdict.reset)),
    )
}

/// The same of names, what is left, and the time until there is more.
pub fn standing_header(limits: impl IntoIterator<Item = (impl AsRef<str>, u32, Duration)>) -> String {
    let mut out = String::new();
    for (name, remaining, reset) in limits {
        item(&mut out, name.as_ref());
        let _ = write!(out, ";r={remaining};t={}", seconds(reset));
    }
    out
}

/// The value of `Retry-After`, whole seconds rounded up, at least 1.
pub fn retry_after(after: Duration) -> String {
    seconds(after).max(1).to_string()
}

/// Rounded up: who comes so late is not refused again.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// The name as a structured-field string; what such a string cannot hold is left out.
fn item(out: &mut String, name: &str) {
    if !out.is_empty() {
        out.push_str(", ");
    }
    out.push('"');
    for c in name.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}
