//! The CORS filter. It must not know requests: the proxy answers preflights.
//!
//! Source: GEP-1767, Gateway API v1.6 (HTTPCORSFilter).

use std::time::Duration;

use mesh_model::route::Cors;

use super::Findings;
use super::matches::{METHODS, check_header_name};
use crate::api::gateway::CorsFilter;

/// Origins and headers of a filter.
const MAX_ENTRIES: usize = 64;
/// Seconds that a preflight's answer is kept where nothing is written.
const MAX_AGE: i64 = 5;

pub(super) fn lower(it: &CorsFilter, at: &str, findings: &mut Findings) -> Cors {
    findings.limit(&format!("{at}.allowOrigins"), it.allow_origins.len(), MAX_ENTRIES);
    findings.limit(&format!("{at}.allowMethods"), it.allow_methods.len(), METHODS.len());
    for (index, origin) in it.allow_origins.iter().enumerate() {
        if !is_origin(origin) {
            let origin: String = origin.chars().take(80).collect();
            findings.fault(
                format!("{at}.allowOrigins[{index}]"),
                format!("`{origin}` is not an origin; write `*`, or http:// or https:// and a host with or without port"),
            );
        }
    }
    for (index, method) in it.allow_methods.iter().enumerate() {
        if method != "*" && !METHODS.contains(&method.as_str()) {
            let method: String = method.chars().take(80).collect();
            let message = format!("`{method}` is none of {}, *", METHODS.join(", "));
            findings.fault(format!("{at}.allowMethods[{index}]"), message);
        }
    }
    for (part, list) in [("allowOrigins", &it.allow_origins), ("allowMethods", &it.allow_methods)] {
        if list.len() > 1 && list.iter().any(|entry| entry == "*") {
            findings.fault(format!("{at}.{part}"), "`*` stands alone; remove it or the others");
        }
    }
    let max_age = it.max_age.unwrap_or(MAX_AGE);
    if !(1..=i64::from(i32::MAX)).contains(&max_age) {
        findings.fault(format!("{at}.maxAge"), format!("{max_age} is not a number of seconds above 0"));
    }
    Cors {
        allow_origins: it.allow_origins.clone(),
        allow_credentials: it.allow_credentials.unwrap_or(false),
        allow_methods: it.allow_methods.clone(),
        allow_headers: headers(&it.allow_headers, &format!("{at}.allowHeaders"), findings),
        expose_headers: headers(&it.expose_headers, &format!("{at}.exposeHeaders"), findings),
        max_age: Duration::from_secs(u64::try_from(max_age).unwrap_or(0)),
    }
}

fn headers(names: &[String], at: &str, findings: &mut Findings) -> Vec<String> {
    findings.limit(at, names.len(), MAX_ENTRIES);
    for (index, name) in names.iter().enumerate() {
        // `*` is a token too, so it passes.
        check_header_name(name, &format!("{at}[{index}]"), findings);
    }
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// `*`, or a scheme, a host of labels (the first ones may be `*`) and maybe a port.
fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest.filter(|_| text.len() <= 253 + 14) else { return false };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    port && (host == "*" || host.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_maybe_a_port() {
        for (text, expected) in [
            ("*", true),
            ("https://example.com", true),
            ("http://localhost:8080", true),
            ("https://*.example.com", true),
            ("https://*", true),
            ("https://*:8443", true),
            ("example.com", false),
            ("ftp://example.com", false),
            ("https://", false),
            ("https://a.*.com", false),
            ("https://example.com/", false),
            ("https://example.com:0", false),
            ("https://example.com:x", false),
            ("https://user@example.com", false),
            ("null", false),
        ] {
            assert_eq!(is_origin(text), expected, "{text}");
        }
    }
}
