//! Whose request it is: a browser that shows our page, and no other page that the same browser shows. Pure. It must not know what is asked
//! for.
//!
//! Loopback is no border for a browser: every page may send requests to it, by address or by a name of its own that leads there (DNS
//! rebinding), with our cookie if the page is of another port of the same host. So `Host` has to be an address or `localhost`, `Origin` is
//! ours wherever there is one and must be there for what changes something, `Sec-Fetch-Site` agrees, and besides the cookie there is a key in
//! a header that only our page knows.

use http::header::{COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN};
use http::{Method, Request};
use mesh_lifecycle::admin::is_by_address;

use crate::access::sessions::Pass;

/// The header with the key of a session.
pub const KEY: &str = "x-amime-key";
/// What a secret of a session has at most.
const MAX_SECRET: usize = 64;

/// What the page may do: show itself and ask us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer.
pub fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Why a request is not answered. Nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// It is for somebody else.
    #[error(
        "refused: the request's Host is not an address and not `localhost`; open the dashboard by the address that `meshctl dashboard` prints"
    )]
    Host,
    /// Another page sends it.
    #[error("refused: another page sends this request; open the dashboard itself")]
    Page,
    /// It changes something and does not say from where.
    #[error("refused: the request changes something and has no Origin")]
    NoOrigin,
}

/// Lets requests of our page through, and such of the address bar.
pub fn admit<B>(request: &Request<B>) -> Result<(), Foreign> {
    if !is_by_address(request) {
        return Err(Foreign::Host);
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let mut origins = request.headers().get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) if changes => return Err(Foreign::NoOrigin),
        (None, _) => {}
        (Some(origin), None) if is_ours(origin, request.headers().get(HOST)) => {}
        (Some(_), _) => return Err(Foreign::Page),
    }
    let header = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
    let opens = !changes && request.uri().path() == "/" && header("sec-fetch-dest") == Some(b"document");
    match header("sec-fetch-site") {
        None | Some(b"same-origin" | b"none") => Ok(()),
        // Whoever follows a link to the page sees the page.
        Some(_) if opens => Ok(()),
        Some(_) => Err(Foreign::Page),
    }
}

fn is_ours(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let host = host.map(HeaderValue::as_bytes).unwrap_or_default();
    origin.as_bytes().strip_prefix(b"http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

/// The name of our cookie. Cookies are of a host, not of a port: two dashboards on one machine have two.
pub fn cookie_name(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
    format!("amime-{}", port.unwrap_or("80"))
}

/// What the request shows of a session.
pub fn pass(headers: &HeaderMap) -> Option<Pass> {
    let name = cookie_name(headers);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let cookie = pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())?;
    let key = headers.get(KEY)?.to_str().ok()?.to_owned();
    (cookie.len() <= MAX_SECRET && key.len() <= MAX_SECRET).then_some(Pass { cookie, key })
}

/// The cookie as it is set; it goes with the browser or the session.
pub fn set_cookie(headers: &HeaderMap, value: &str) -> String {
    let name = cookie_name(headers);
    let over = if value.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{over}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap()
    }

    // T33
    #[test]
    fn our_page_is_let_through_and_no_other() {
        let host = ("host", "127.0.0.1:15080");
        let ours = ("origin", "http://127.0.0.1:15080");
        for (method, path, headers, wanted) in [
            ("GET", "/", vec![host], Ok(())),
            ("GET", "/", vec![("host", "localhost:9")], Ok(())),
            ("GET", "/", vec![("host", "[::1]:9")], Ok(())),
            ("GET", "/", vec![("host", "evil.example:15080")], Err(Foreign::Host)),
            ("GET", "/api/stat", vec![("host", "127.0.0.1.evil.example")], Err(Foreign::Host)),
            ("GET", "/", vec![], Err(Foreign::Host)),
            ("POST", "/api/session", vec![host, ours], Ok(())),
            ("POST", "/api/session", vec![host], Err(Foreign::NoOrigin)),
            ("DELETE", "/api/session", vec![host], Err(Foreign::NoOrigin)),
            ("POST", "/api/session", vec![host, ("origin", "http://127.0.0.1:3000")], Err(Foreign::Page)),
            ("POST", "/api/session", vec![host, ("origin", "https://127.0.0.1:15080")], Err(Foreign::Page)),
            ("POST", "/api/session", vec![host, ("origin", "null")], Err(Foreign::Page)),
            ("POST", "/api/session", vec![host, ours, ours], Err(Foreign::Page)),
            ("GET", "/api/stat", vec![host, ("origin", "http://evil.example")], Err(Foreign::Page)),
            ("GET", "/api/stat", vec![host, ("sec-fetch-site", "same-site")], Err(Foreign::Page)),
            ("GET", "/api/stat", vec![host, ("sec-fetch-site", "cross-site")], Err(Foreign::Page)),
            ("GET", "/api/stat", vec![host, ("sec-fetch-site", "same-origin")], Ok(())),
            ("GET", "/", vec![host, ("sec-fetch-site", "none")], Ok(())),
            (
                "GET",
                "/",
                vec![host, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")],
                Ok(()),
            ),
            (
                "GET",
                "/",
                vec![host, ("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "iframe")],
                Err(Foreign::Page),
            ),
        ] {
            assert_eq!(admit(&asked(method, path, &headers)), wanted, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn a_session_is_shown_by_the_cookie_of_this_port_and_the_key() {
        let of = |cookie: &str, key: &str| {
            let headers = [("host", "127.0.0.1:15080"), ("cookie", cookie), (KEY, key)];
            pass(asked("GET", "/", &headers).headers())
        };
        let right = Some(Pass { cookie: "a".into(), key: "k".into() });
        assert_eq!(of("x=1; amime-15080=a; y=2", "k"), right);
        assert_eq!(of("amime-15081=a", "k"), None);
        assert_eq!(of(&format!("amime-15080={}", "a".repeat(65)), "k"), None);
        let bare = asked("GET", "/", &[("host", "127.0.0.1:15080"), ("cookie", "amime-15080=a")]);
        assert_eq!(pass(bare.headers()), None, "without the key it is another page's request");
        let headers = asked("GET", "/", &[("host", "localhost")]).headers().clone();
        assert_eq!(set_cookie(&headers, "v"), "amime-80=v; Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(set_cookie(&headers, ""), "amime-80=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    }

    #[test]
    fn nothing_may_be_loaded_from_elsewhere() {
        let mut headers = HeaderMap::new();
        protect(&mut headers);
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'")
                && !policy.contains("unsafe")
                && !policy.contains("http")
        );
        assert_eq!(headers["cache-control"], "no-store");
    }
}
