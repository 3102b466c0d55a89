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
    let mut out = String::new();
    for limit in limits {
        item(&mut out, &limit.name);
        // A String takes every write.
        let _ = write!(out, ";q={};w={}", limit.requests, seconds(limit.per));
    }
    out
}

/// The value of `RateLimit`: `"name";r=50;t=30`. `t` is the time after which a refused client may come again, else the time
/// until all of the quota is there.
pub fn rate_header<'a>(limits: impl IntoIterator<Item = (&'a RateLimit, Verdict)>) -> String {
    let mut out = String::new();
    for (limit, verdict) in limits {
        item(&mut out, &limit.name);
        let _ = write!(out, ";r={};t={}", verdict.remaining, seconds(verdict.reset));
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
