//! Matches of rules. They must not know filters or backends.

use mesh_model::route::{GrpcMatch, Match, PathMatch, Pattern, Target, TextMatch, ValueMatch};

use super::{Findings, MAX_LIST};
use crate::api::gateway::{
    GrpcMethod, GrpcRouteMatch, HttpMatch, NamedValue, PathKind, PathValue, ValueKind,
};

/// Methods that HTTPRoute knows. Source: HTTPRoute specification, `HTTPMethod`.
pub(super) const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Matches of an HTTP rule; none becomes one that fits everything.
pub fn http(matches: &[HttpMatch], at: &str, findings: &mut Findings) -> Vec<Match> {
    if matches.is_empty() {
        return vec![http_one(&HttpMatch::default(), at, findings)];
    }
    matches.iter().enumerate().map(|(i, m)| http_one(m, &format!("{at}[{i}]"), findings)).collect()
}

fn http_one(m: &HttpMatch, at: &str, findings: &mut Findings) -> Match {
    let path = path(m.path.as_ref(), &format!("{at}.path"), findings);
    if let Some(method) = &m.method
        && !METHODS.contains(&method.as_str())
    {
        findings.fault(format!("{at}.method"), format!("`{method}` is none of {}", METHODS.join(", ")));
    }
    let query = values(&m.query_params, &format!("{at}.queryParams"), Names::AsWritten, findings);
    let headers = values(&m.headers, &format!("{at}.headers"), Names::Lower, findings);
    Match { target: Target::Http { path, method: m.method.clone(), query }, headers }
}

fn path(path: Option<&PathValue>, at: &str, findings: &mut Findings) -> PathMatch {
    let Some(path) = path else { return PathMatch::Prefix("/".to_owned()) };
    let value = path.value.as_deref().unwrap_or("/");
    let field = format!("{at}.value");
    if value.len() > 1024 {
        findings.fault(&field, format!("{} bytes, at most 1024 are allowed", value.len()));
    }
    if path.kind == PathKind::RegularExpression {
        return match Pattern::new(value) {
            Ok(pattern) => PathMatch::Regex(pattern),
            Err(reason) => {
                findings.fault(&field, regex_fault(value, &reason));
                PathMatch::Exact(value.to_owned())
            }
        };
    }
    if !value.starts_with('/') {
        findings.fault(&field, format!("`{value}` does not begin with `/`"));
    }
    let lower = value.to_ascii_lowercase();
    let segments = ["//", "/./", "/../", "%2f", "#"];
    if let Some(bad) = segments.iter().find(|bad| lower.contains(**bad)) {
        findings.fault(&field, format!("`{value}` has `{bad}` in it, which no canonical path has"));
    } else if value.ends_with("/..") || value.ends_with("/.") {
        findings.fault(&field, format!("`{value}` ends with a dot segment, which no canonical path does"));
    }
    match path.kind {
        PathKind::Exact => PathMatch::Exact(value.to_owned()),
        PathKind::PathPrefix | PathKind::RegularExpression => {
            let trimmed = value.trim_end_matches('/');
            PathMatch::Prefix(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
        }
    }
}

/// Matches of a gRPC rule; none becomes one that fits everything.
pub fn grpc(matches: &[GrpcRouteMatch], at: &str, findings: &mut Findings) -> Vec<Match> {
    if matches.is_empty() {
        return vec![Match {
            target: Target::Grpc(GrpcMatch { service: None, method: None }),
            headers: Vec::new(),
        }];
    }
    let one = |(i, m): (usize, &GrpcRouteMatch)| {
        let at = format!("{at}[{i}]");
        let target = Target::Grpc(grpc_method(m.method.as_ref(), &format!("{at}.method"), findings));
        Match { target, headers: values(&m.headers, &format!("{at}.headers"), Names::Lower, findings) }
    };
    matches.iter().enumerate().map(one).collect()
}

fn grpc_method(method: Option<&GrpcMethod>, at: &str, findings: &mut Findings) -> GrpcMatch {
    let Some(method) = method else { return GrpcMatch { service: None, method: None } };
    let service = method.service.as_deref().filter(|s| !s.is_empty());
    let name = method.method.as_deref().filter(|s| !s.is_empty());
    if service.is_none() && name.is_none() {
        findings.fault(at, "needs `service`, `method` or both");
    }
    let mut text = |value: &str, part: &str| {
        let field = format!("{at}.{part}");
        if method.kind == ValueKind::Exact && value.contains('/') {
            findings.fault(&field, format!("`{value}` has a `/` in it"));
        }
        text_match(method.kind, value, &field, findings)
    };
    GrpcMatch { service: service.map(|v| text(v, "service")), method: name.map(|v| text(v, "method")) }
}

/// How names are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Headers: without regard to case.
    Lower,
    /// Query parameters.
    AsWritten,
}

fn values(values: &[NamedValue], at: &str, names: Names, findings: &mut Findings) -> Vec<ValueMatch> {
    findings.limit(at, values.len(), MAX_LIST);
    let one = |(i, value): (usize, &NamedValue)| {
        let at = format!("{at}[{i}]");
        let name = match names {
            Names::Lower => {
                check_header_name(&value.name, &format!("{at}.name"), findings);
                value.name.to_ascii_lowercase()
            }
            Names::AsWritten => {
                if value.name.is_empty() {
                    findings.fault(format!("{at}.name"), "is empty");
                }
                value.name.clone()
            }
        };
        ValueMatch { name, value: text_match(value.kind, &value.value, &format!("{at}.value"), findings) }
    };
    values.iter().enumerate().map(one).collect()
}

fn text_match(kind: ValueKind, value: &str, field: &str, findings: &mut Findings) -> TextMatch {
    match kind {
        ValueKind::Exact => TextMatch::Exact(value.to_owned()),
        ValueKind::RegularExpression => match Pattern::new(value) {
            Ok(pattern) => TextMatch::Regex(pattern),
            Err(reason) => {
                findings.fault(field, regex_fault(value, &reason));
                TextMatch::Exact(value.to_owned())
            }
        },
    }
}

/// The regex crate draws a picture over several lines; the last one says what is wrong.
fn regex_fault(value: &str, reason: &str) -> String {
    let last = reason.lines().last().unwrap_or(reason);
    format!("`{value}` is not a usable expression: {}", last.strip_prefix("error: ").unwrap_or(last))
}

/// A header value is visible text, blanks and tabs (RFC 9110, section 5.5), and not too long.
pub(super) fn check_header_value(value: &str, field: &str, findings: &mut Findings) {
    if value.len() > 4096 || value.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f) {
        findings.fault(field, "is not a header value: over 4096 bytes, or with control characters");
    }
}

/// A header name must be a token (RFC 9110, section 5.6.2).
pub(super) fn is_header_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= 256 && name.bytes().all(token)
}

pub(super) fn check_header_name(name: &str, field: &str, findings: &mut Findings) {
    if !is_header_name(name) {
        findings
            .fault(field, format!("`{}` is not a header name", name.chars().take(80).collect::<String>()));
    }
}
