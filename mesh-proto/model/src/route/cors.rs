//! Cross-origin requests: which of them a filter lets scripts read, and what a preflight is answered with. Pure; it must not know how
//! answers are sent.
//!
//! Where the filter's owner wrote `*`, the answer repeats what was asked for: the star would not be believed for requests with
//! credentials, and for others both mean the same. What is not allowed gets no header that would allow it; the browser refuses it.
//!
//! Source: the Fetch standard ("CORS protocol"), GEP-1767, Gateway API v1.6 (HTTPCORSFilter).

use super::Cors;
use crate::authority::{default_port, split};
use crate::head::HeadView;

/// The status of an answer to a preflight, allowed or not.
pub const PREFLIGHT_STATUS: u16 = 200;

/// What only the filter may say in an answer: those of the backend are taken away before the filter's own come in.
pub const RESPONSE_HEADERS: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// What a filter says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsAnswer {
    /// It has no `Origin`: it goes on, and nothing is added to the answer.
    NotCors,
    /// It asks whether another request would be allowed: it is answered with [`PREFLIGHT_STATUS`] and these headers, and no
    /// backend is called.
    Preflight {
        /// Lower-case names and values, each to be set.
        headers: Vec<(String, String)>,
        /// Whether the browser will send the other request.
        verdict: Verdict,
    },
    /// It goes on; these headers come into the answer after [`RESPONSE_HEADERS`] were taken away. `vary` is appended, the others are set.
    Actual {
        /// Lower-case names and values.
        headers: Vec<(String, String)>,
        /// Whether a script may read the answer.
        verdict: Verdict,
    },
}

/// Whether a request is allowed, and what is in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is allowed.
    Allowed,
    /// The origin is not among those that are.
    OriginRefused,
    /// The method is not.
    MethodRefused,
    /// One of the headers is not.
    HeaderRefused,
}

/// Decides.
pub fn decide<H: HeadView + ?Sized>(cors: &Cors, head: &H) -> CorsAnswer {
    let Values { first: Some(origin), more } = values(head, "origin") else { return CorsAnswer::NotCors };
    let origin = Some(origin).filter(|origin| more == More::None && allows_origin(cors, origin));
    let method = values(head, "access-control-request-method").first;
    match (method, head.method()) {
        (Some(method), "OPTIONS") => preflight(cors, origin.as_deref(), &method, head),
        _ => actual(cors, origin.as_deref()),
    }
}

/// The answer to a request that asks about another one. `None`: its origin is refused.
fn preflight<H: HeadView + ?Sized>(cors: &Cors, origin: Option<&str>, method: &str, head: &H) -> CorsAnswer {
    let asked = joined(head, "access-control-request-headers");
    let asked = asked.trim_matches([' ', '\t', ',']);
    let vary = "origin, access-control-request-method, access-control-request-headers";
    let Some(origin) = origin else {
        return CorsAnswer::Preflight {
            headers: vec![("vary".to_owned(), vary.to_owned())],
            verdict: Verdict::OriginRefused,
        };
    };
    let method_allowed = cors.allow_methods.iter().any(|allowed| allowed == "*" || allowed == method)
        || matches!(method, "GET" | "HEAD" | "POST");
    let header_allowed = |name: &str| {
        is_safelisted(name)
            || cors.allow_headers.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name))
    };
    let names = || asked.split(',').map(str::trim).filter(|name| !name.is_empty());
    let verdict = match (method_allowed, names().all(header_allowed)) {
        (true, true) => Verdict::Allowed,
        (false, _) => Verdict::MethodRefused,
        (true, false) => Verdict::HeaderRefused,
    };
    let mut answer = shared(cors, origin, vary);
    if let Some(methods) = said(&cors.allow_methods, method, is_token) {
        answer.push(("access-control-allow-methods".to_owned(), methods));
    }
    if let Some(names) =
        said(&cors.allow_headers, asked, |asked| asked.split(',').all(|n| is_token(n.trim())))
    {
        answer.push(("access-control-allow-headers".to_owned(), names));
    }
    answer.push(("access-control-max-age".to_owned(), cors.max_age.as_secs().to_string()));
    CorsAnswer::Preflight { headers: answer, verdict }
}

/// What comes into the answer of a request that goes on. `None`: its origin is refused.
fn actual(cors: &Cors, origin: Option<&str>) -> CorsAnswer {
    match origin {
        Some(origin) => {
            CorsAnswer::Actual { headers: shared(cors, origin, "origin"), verdict: Verdict::Allowed }
        }
        None => CorsAnswer::Actual {
            headers: vec![("vary".to_owned(), "origin".to_owned())],
            verdict: Verdict::OriginRefused,
        },
    }
}

/// What both kinds of answers say to an origin that is allowed.
fn shared(cors: &Cors, origin: &str, vary: &str) -> Vec<(String, String)> {
    let mut headers = vec![
        ("vary".to_owned(), vary.to_owned()),
        ("access-control-allow-origin".to_owned(), origin.to_owned()),
    ];
    if cors.allow_credentials {
        headers.push(("access-control-allow-credentials".to_owned(), "true".to_owned()));
    }
    // With credentials the star is the name of a header; nothing can be repeated, since nothing was asked for.
    let star = cors.expose_headers.iter().any(|name| name == "*");
    let exposed = match (star, cors.allow_credentials) {
        (true, true) => listed(cors.expose_headers.iter().filter(|name| *name != "*")),
        (true, false) => Some("*".to_owned()),
        (false, _) => listed(cors.expose_headers.iter()),
    };
    headers.extend(exposed.map(|names| ("access-control-expose-headers".to_owned(), names)));
    headers
}

/// The list; for a star what was asked for, if that can stand in a header.
fn said(allowed: &[String], asked: &str, good: impl Fn(&str) -> bool) -> Option<String> {
    if allowed.iter().any(|one| one == "*") {
        return (!asked.is_empty() && good(asked)).then(|| asked.to_owned());
    }
    listed(allowed.iter())
}

fn listed<'a>(all: impl Iterator<Item = &'a String>) -> Option<String> {
    let all: Vec<&str> = all.map(String::as_str).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Headers that need no permission. A browser asks for `content-type` only with a value that does need it, so it is not among them.
fn is_safelisted(name: &str) -> bool {
    ["accept", "accept-language", "content-language", "range"]
        .iter()
        .any(|safe| safe.eq_ignore_ascii_case(name))
}

/// Whether the origin may read. `null` (a file, a sandbox) is many, so it never gets credentials for a star.
fn allows_origin(cors: &Cors, origin: &str) -> bool {
    cors.allow_origins.iter().any(|allowed| match allowed.as_str() {
        "*" => origin == "null" && !cors.allow_credentials || Origin::parse(origin).is_some(),
        exact if exact.eq_ignore_ascii_case(origin) => true,
        pattern => Origin::parse(pattern).zip(Origin::parse(origin)).is_some_and(|(p, o)| p.covers(&o)),
    })
}

/// Scheme, host and port. Source: RFC 6454 section 6.2.
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~*:[]".contains(&b);
        if scheme.is_empty() || !authority.bytes().all(good) {
            return None;
        }
        let (host, port) = split(authority);
        let port = match port {
            None => default_port(&scheme.to_ascii_lowercase()),
            Some(digits) => Some(digits.parse().ok()?),
        };
        (!host.is_empty()).then_some(Self { scheme, host, port })
    }

    /// Whether the other one is this one, or this one has `*` for the part of its host that differs.
    fn covers(&self, other: &Self) -> bool {
        let host = match self.host.strip_prefix('*') {
            // Whole labels, any number of them, at least one: `*.example.com` is not `example.com`.
            Some(end) => {
                let start = other.host.len().checked_sub(end.len());
                start.and_then(|at| other.host.split_at_checked(at)).is_some_and(|(labels, rest)| {
                    !labels.is_empty() && !labels.contains('*') && rest.eq_ignore_ascii_case(end)
                })
            }
            None => self.host.eq_ignore_ascii_case(other.host),
        };
        host && self.port == other.port && self.scheme.eq_ignore_ascii_case(other.scheme)
    }
}

/// Whether a header has further values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    None,
    Some,
}

struct Values {
    first: Option<String>,
    more: More,
}

/// The first value of a header. Bytes that are not UTF-8 become U+FFFD, which fits nothing here.
fn values<H: HeadView + ?Sized>(head: &H, name: &str) -> Values {
    let mut found = Values { first: None, more: More::None };
    head.header_values(name, &mut |value| {
        if found.first.is_some() {
            found.more = More::Some;
        } else {
            found.first = Some(String::from_utf8_lossy(value).into_owned());
        }
    });
    found
}

/// All values of a header as one list.
fn joined<H: HeadView + ?Sized>(head: &H, name: &str) -> String {
    let mut all = Vec::new();
    head.header_values(name, &mut |value| all.push(String::from_utf8_lossy(value).into_owned()));
    all.join(", ")
}

#[cfg(test)]
mod tests;
