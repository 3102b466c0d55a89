//! Cross-origin requests as tables; the first ones are those of the standard's conformance tests.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::sample::Head;

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn cors(origins: &[&str]) -> Cors {
    Cors { allow_origins: list(origins), ..Cors::default() }
}

/// With everything in it.
fn full() -> Cors {
    Cors {
        allow_origins: list(&["https://www.foo.com", "https://*.bar.com"]),
        allow_credentials: true,
        allow_methods: list(&["GET", "OPTIONS"]),
        allow_headers: list(&["x-header-1", "x-header-2"]),
        expose_headers: list(&["x-header-3", "x-header-4"]),
        max_age: Duration::from_hours(1),
    }
}

fn asks(origin: &str, method: &str, headers: &str) -> Head {
    let head = Head::get("/").method("OPTIONS").header("origin", origin);
    let head = head.header("access-control-request-method", method);
    if headers.is_empty() { head } else { head.header("access-control-request-headers", headers) }
}

fn header(answer: &CorsAnswer, name: &str) -> Option<String> {
    let (CorsAnswer::Preflight { headers, .. } | CorsAnswer::Actual { headers, .. }) = answer else {
        return None;
    };
    headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
}

fn verdict(answer: &CorsAnswer) -> Option<Verdict> {
    match answer {
        CorsAnswer::NotCors => None,
        CorsAnswer::Preflight { verdict, .. } | CorsAnswer::Actual { verdict, .. } => Some(*verdict),
    }
}

#[test]
fn a_preflight_of_an_allowed_origin_is_told_everything() {
    for origin in ["https://www.foo.com", "https://www.bar.com", "https://xpto.www.bar.com"] {
        let answer = decide(&full(), &asks(origin, "GET", "x-header-1, x-header-2"));
        let CorsAnswer::Preflight { headers, verdict: Verdict::Allowed } = &answer else {
            panic!("{answer:?}")
        };
        let mut headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        headers.sort_unstable();
        assert_eq!(
            headers,
            [
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-headers", "x-header-1, x-header-2"),
                ("access-control-allow-methods", "GET, OPTIONS"),
                ("access-control-allow-origin", origin),
                ("access-control-expose-headers", "x-header-3, x-header-4"),
                ("access-control-max-age", "3600"),
                ("vary", "origin, access-control-request-method, access-control-request-headers"),
            ]
        );
    }
}

#[test]
fn a_refused_origin_is_told_nothing() {
    for head in [asks("https://foobar.com", "GET", ""), Head::get("/").header("origin", "https://foobar.com")]
    {
        let answer = decide(&full(), &head);
        assert_eq!(verdict(&answer), Some(Verdict::OriginRefused));
        for name in RESPONSE_HEADERS {
            assert_eq!(header(&answer, name), None, "{name}");
        }
        assert!(header(&answer, "vary").is_some(), "a cache must not give this answer to another origin");
    }
}

#[test]
fn a_request_that_goes_on_is_marked_in_its_answer() {
    let head = Head::get("/").header("origin", "https://www.foo.com");
    // This one is no preflight: only OPTIONS is.
    let head = head.header("access-control-request-method", "GET");
    let answer = decide(&full(), &head);
    assert!(matches!(answer, CorsAnswer::Actual { .. }));
    assert_eq!(header(&answer, "access-control-allow-origin").as_deref(), Some("https://www.foo.com"));
    assert_eq!(header(&answer, "access-control-allow-credentials").as_deref(), Some("true"));
    assert_eq!(header(&answer, "access-control-expose-headers").as_deref(), Some("x-header-3, x-header-4"));
    assert_eq!(header(&answer, "access-control-allow-methods"), None);
    assert_eq!(header(&answer, "vary").as_deref(), Some("origin"));
}

#[test]
fn without_an_origin_nothing_happens() {
    assert_eq!(decide(&full(), &Head::get("/")), CorsAnswer::NotCors);
    let plain = Head::get("/").method("OPTIONS").header("access-control-request-method", "GET");
    assert_eq!(decide(&full(), &plain), CorsAnswer::NotCors);
    let options = Head::get("/").method("OPTIONS").header("origin", "https://www.foo.com");
    assert!(matches!(decide(&full(), &options), CorsAnswer::Actual { .. }), "it asks about nothing");
}

#[test]
fn origins_are_compared_by_scheme_host_and_port() {
    for (allowed, origin, expected) in [
        ("https://a.com", "https://a.com", true),
        ("https://A.com", "https://a.com", true),
        ("https://a.com:443", "https://a.com", true),
        ("http://a.com:80", "http://a.com", true),
        ("https://a.com", "https://a.com:8443", false),
        ("https://a.com", "http://a.com", false),
        ("https://a.com", "https://a.com.evil.com", false),
        ("https://a.com", "https://b.com", false),
        ("https://a.com", "null", false),
        ("https://*.a.com", "https://x.a.com", true),
        ("https://*.a.com", "https://x.y.A.com", true),
        ("https://*.a.com", "https://a.com", false),
        ("https://*.a.com", "https://.a.com", false),
        ("https://*.a.com", "https://xa.com", false),
        ("https://*.a.com", "https://x.a.com.evil.com", false),
        ("https://*.a.com", "https://evil.com/.a.com", false),
        ("https://*.a.com", "https://evil.com#.a.com", false),
        ("https://*.a.com", "https://x@.a.com", false),
        ("https://*.a.com", "https://*.a.com", true),
        ("https://*.a.com", "https://x.a.com:8443", false),
        ("https://*.a.com:8443", "https://x.a.com:8443", true),
        ("https://*", "https://anything.example", true),
        ("https://*", "http://anything.example", false),
        ("https://*:8443", "https://anything.example:8443", true),
        ("https://*:8443", "https://anything.example", false),
        ("http://[::1]:80", "http://[::1]", true),
        ("*", "https://anything.example:1234", true),
        ("*", "null", true),
        ("*", "", false),
        ("*", "not an origin", false),
        ("*", "https://a.com\r\nx: y", false),
        ("null", "null", true),
    ] {
        let answer = decide(&cors(&[allowed]), &Head::get("/").header("origin", origin));
        assert_eq!(verdict(&answer) == Some(Verdict::Allowed), expected, "{allowed} and {origin}");
    }
}

#[test]
fn an_origin_that_stands_twice_is_none() {
    let head = Head::get("/").header("origin", "https://a.com").header("origin", "https://a.com");
    assert_eq!(verdict(&decide(&cors(&["https://a.com"]), &head)), Some(Verdict::OriginRefused));
}

#[test]
fn null_gets_no_credentials_from_a_star() {
    let star = Cors { allow_credentials: true, ..cors(&["*"]) };
    let null = Head::get("/").header("origin", "null");
    assert_eq!(verdict(&decide(&star, &null)), Some(Verdict::OriginRefused));
    let other = decide(&star, &Head::get("/").header("origin", "https://a.com"));
    assert_eq!(header(&other, "access-control-allow-origin").as_deref(), Some("https://a.com"));
}

#[test]
fn stars_repeat_what_was_asked_for() {
    for allow_credentials in [true, false] {
        let star = list(&["*"]);
        let cors = Cors {
            allow_credentials,
            allow_methods: star.clone(),
            allow_headers: star.clone(),
            expose_headers: star,
            ..cors(&["*"])
        };
        let answer = decide(&cors, &asks("https://a.com", "PUT", "x-header-1, x-header-2"));
        let value = |name: &str| header(&answer, name);
        assert_eq!(verdict(&answer), Some(Verdict::Allowed));
        assert_eq!(value("access-control-allow-origin").as_deref(), Some("https://a.com"));
        assert_eq!(value("access-control-allow-methods").as_deref(), Some("PUT"));
        assert_eq!(value("access-control-allow-headers").as_deref(), Some("x-header-1, x-header-2"));
        assert_eq!(value("access-control-allow-credentials").is_some(), allow_credentials);
        assert_eq!(value("access-control-expose-headers").is_some(), !allow_credentials);
        let bare = decide(&cors, &asks("https://a.com", "PUT", ""));
        assert_eq!(header(&bare, "access-control-allow-headers"), None);
        let odd = decide(&cors, &asks("https://a.com", "P T", "a b, c\r\nd"));
        assert_eq!(header(&odd, "access-control-allow-methods"), None);
        assert_eq!(header(&odd, "access-control-allow-headers"), None);
    }
}

#[test]
fn methods_and_headers_beyond_the_lists_are_told_and_refused() {
    let cors = full();
    for (method, headers, expected) in [
        ("GET", "", Verdict::Allowed),
        ("HEAD", "", Verdict::Allowed),
        ("POST", "", Verdict::Allowed),
        ("PUT", "", Verdict::MethodRefused),
        ("get", "", Verdict::MethodRefused),
        ("GET", "X-Header-1", Verdict::Allowed),
        ("GET", "x-header-1,accept", Verdict::Allowed),
        ("GET", ",", Verdict::Allowed),
        ("GET", "x-header-9", Verdict::HeaderRefused),
        ("GET", "content-type", Verdict::HeaderRefused),
    ] {
        let answer = decide(&cors, &asks("https://www.foo.com", method, headers));
        assert_eq!(verdict(&answer), Some(expected), "{method} {headers}");
        assert_eq!(header(&answer, "access-control-allow-methods").as_deref(), Some("GET, OPTIONS"));
    }
}

proptest! {
    #[test]
    fn no_request_makes_a_header_that_cannot_be_sent(
        origin in prop::collection::vec(any::<u8>(), 0..24),
        method in "\\PC{0,6}",
        asked in "[ -~\\n,]{0,16}",
        allowed in prop::sample::select(vec!["*", "https://*.a.com", "https://*", "null", "x"]),
        options in any::<bool>(),
    ) {
        let star = list(&["*"]);
        let cors = Cors { allow_methods: star.clone(), allow_headers: star, ..cors(&[allowed]) };
        let head = Head::get("/").header("origin", origin).header("access-control-request-method", method);
        let head = head.header("access-control-request-headers", asked);
        let head = if options { head.method("OPTIONS") } else { head };
        if let CorsAnswer::Preflight { headers, .. } | CorsAnswer::Actual { headers, .. } = decide(&cors, &head) {
            for (name, value) in headers {
                prop_assert!(value.bytes().all(|b| (b' '..0x7f).contains(&b)), "{name}: {value:?}");
            }
        }
    }

    #[test]
    fn a_wildcard_covers_only_hosts_below_it(host in "[a-z.*@/:-]{0,12}") {
        let cors = cors(&["https://*.a.com"]);
        let origin = format!("https://{host}a.com");
        let answer = decide(&cors, &Head::get("/").header("origin", &origin));
        if verdict(&answer) == Some(Verdict::Allowed) && origin != "https://*.a.com" {
            prop_assert!(host.ends_with('.') && host.len() > 1);
            prop_assert!(host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b)), "{}", host);
            prop_assert!(!host.contains(':'));
        }
    }
}
