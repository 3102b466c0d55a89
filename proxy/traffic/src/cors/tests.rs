use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn policy(origins: &[&str]) -> Cors {
    Cors {
        allow_origins: origins.iter().map(|&one| one.to_owned()).collect(),
        allow_credentials: false,
        allow_methods: vec!["PUT".into(), "DELETE".into()],
        allow_headers: vec!["x-a".into()],
        expose_headers: vec!["x-b".into(), "x-c".into()],
        max_age: Duration::from_secs(600),
    }
}

fn preflight(origin: &str) -> Ask<'_> {
    Ask {
        method: "OPTIONS",
        origin: Some(origin),
        request_method: Some("PUT"),
        request_headers: Some("x-a, x-z"),
    }
}

fn get(origin: &str) -> Ask<'_> {
    Ask { method: "GET", origin: Some(origin), request_method: None, request_headers: None }
}

fn field<'a>(verdict: &'a Verdict, name: &str) -> Option<&'a str> {
    let (Verdict::Preflight(fields) | Verdict::Actual(fields)) = verdict else { return None };
    fields.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_request_without_an_origin_is_none_of_ours() {
    let ask = Ask { origin: None, ..preflight("") };
    assert_eq!(decide(&policy(&["*"]), &ask), Verdict::SameOrigin);
}

#[test]
fn a_preflight_is_answered_with_what_is_allowed() {
    let verdict = decide(&policy(&["https://shop.example"]), &preflight("https://shop.example"));
    assert!(matches!(verdict, Verdict::Preflight(_)));
    for (name, value) in [
        ("access-control-allow-origin", "https://shop.example"),
        ("vary", "origin"),
        ("access-control-allow-methods", "PUT, DELETE"),
        ("access-control-allow-headers", "x-a"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(field(&verdict, name), Some(value), "{name}");
    }
    assert_eq!(field(&verdict, "access-control-expose-headers"), None);
}

#[test]
fn options_without_the_wish_for_a_method_is_an_actual_request() {
    let ask = Ask { request_method: None, ..preflight("https://a.example") };
    assert!(matches!(decide(&policy(&["*"]), &ask), Verdict::Actual(_)));
}

#[test]
fn an_actual_request_gets_origin_and_exposed_headers() {
    let verdict = decide(&policy(&["*"]), &get("https://a.example"));
    assert_eq!(field(&verdict, "access-control-allow-origin"), Some("*"));
    assert_eq!(field(&verdict, "access-control-expose-headers"), Some("x-b, x-c"));
    assert_eq!(field(&verdict, "vary"), None);
    assert_eq!(field(&verdict, "access-control-allow-methods"), None);
}

#[test]
fn an_origin_that_is_not_allowed_gets_nothing() {
    let policy = policy(&["https://shop.example"]);
    assert_eq!(decide(&policy, &preflight("https://evil.example")), Verdict::Preflight(vec![]));
    assert_eq!(decide(&policy, &get("null")), Verdict::Actual(vec![]));
}

#[test]
fn with_credentials_nothing_is_a_star() {
    let policy = Cors {
        allow_credentials: true,
        allow_methods: vec!["*".into()],
        allow_headers: vec!["*".into()],
        ..policy(&["*"])
    };
    let verdict = decide(&policy, &preflight("https://a.example"));
    for (name, value) in [
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "x-a, x-z"),
    ] {
        assert_eq!(field(&verdict, name), Some(value), "{name}");
    }
}

#[test]
fn a_wildcard_stands_for_subdomains_alone() {
    let allowed = |origin| is_allowed(&policy(&["https://*.example.com", "http://*.test:8080"]), origin);
    for origin in
        ["https://a.example.com", "https://a.b.example.com", "HTTPS://A.EXAMPLE.COM", "http://x.test:8080"]
    {
        assert!(allowed(origin), "{origin}");
    }
    for origin in [
        "https://example.com",
        "https://.example.com",
        "https://evil.com/.example.com",
        "https://evil.com:1.example.com",
        "https://evilexample.com",
        "http://a.example.com",
        "https://a.example.com:8443",
        "http://x.test",
        "",
    ] {
        assert!(!allowed(origin), "{origin}");
    }
}

proptest! {
    #[test]
    fn no_origin_is_allowed_that_has_not_the_domain(origin in "\\PC{0,40}") {
        let policy = policy(&["https://*.example.com"]);
        if is_allowed(&policy, &origin) {
            let origin = origin.to_ascii_lowercase();
            prop_assert!(origin.starts_with("https://") && origin.ends_with(".example.com"));
        }
    }
}
