//! Header hygiene: what concerns one hop only is taken off, and edits of routes are applied. It must not know why an edit is made.
//!
//! Sources: RFC 9110 sections 7.6.1 (Connection) and 7.8 (Upgrade), RFC 9113 section 8.2.3 (cookies).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use mesh_model::route::edit::HeaderStore;

use super::{BadField, Headers, Wire};

/// Headers of one hop besides those that `Connection` names (RFC 9110 section 7.6.1). `Proxy-*` are for us, not for the server.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Takes off what concerns one hop. `TE: trailers` stays: gRPC needs it end to end and every hop of ours carries trailers.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if let Some(te) = headers.get(header::TE) {
        let trailers =
            te.to_str().is_ok_and(|te| te.split(',').any(|one| one.trim().eq_ignore_ascii_case("trailers")));
        headers.remove(header::TE);
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// The names in `Connection`; never those that an end-to-end message cannot do without, which a client could have taken off
/// on purpose.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| ![header::HOST, header::CONTENT_LENGTH, header::TE].contains(name))
        .take(16)
        .collect()
}

/// The protocol that an HTTP/1 request asks to change to. HTTP/2 has no such thing (RFC 9113 section 8.6), and `h2c` is refused by
/// not passing it on, as RFC 9113 section 3.1 retired it.
pub(super) fn requested_upgrade(headers: &HeaderMap, wire: Wire) -> Option<HeaderValue> {
    if wire == Wire::Http2 || !named_by_connection(headers).contains(&header::UPGRADE) {
        return None;
    }
    headers.get(header::UPGRADE).filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c")).cloned()
}

/// HTTP/2 may send a cookie in several headers; HTTP/1 servers expect one.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut values = headers.get_all(header::COOKIE).iter();
    if values.next().is_none() || values.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, whole);
    }
}

/// Takes off what concerns one hop from a response. At 101 the new protocol is kept, it is the point of the message.
pub(super) fn clean_response(headers: &mut HeaderMap, status: http::StatusCode) {
    let upgrade = (status == http::StatusCode::SWITCHING_PROTOCOLS)
        .then(|| headers.get(header::UPGRADE).cloned())
        .flatten();
    remove_hop_by_hop(headers);
    headers.remove(header::PROXY_AUTHENTICATE);
    if let Some(protocol) = upgrade {
        headers.insert(header::UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Header edits of a route, on real fields. `host` is not a header here: see [`HeaderEdits::host`].
#[derive(Debug)]
pub struct HeaderEdits<'a> {
    headers: &'a mut Headers,
    /// What the edits made of `Host`, if they touched it.
    pub host: Option<String>,
}

impl<'a> HeaderEdits<'a> {
    /// On these headers.
    pub fn new(headers: &'a mut Headers) -> Self {
        Self { headers, host: None }
    }
}

impl HeaderStore for HeaderEdits<'_> {
    fn set(&mut self, name: &str, value: &str) {
        if name == "host" {
            self.host = Some(value.to_owned());
        } else {
            written(name, self.headers.set(name, value.as_bytes()));
        }
    }

    fn append(&mut self, name: &str, value: &str) {
        let joined = match self.headers.get(name) {
            Some(old) => self.headers.set(name, &[old, value.as_bytes()].join(&b","[..])),
            None => self.headers.set(name, value.as_bytes()),
        };
        written(name, joined);
    }

    fn remove(&mut self, name: &str) {
        // A request without a host cannot be sent.
        if name != "host" {
            self.headers.remove(name);
        }
    }
}

/// Edits are checked where objects are read; one that cannot be sent changes nothing.
fn written(name: &str, result: Result<(), BadField>) {
    if let Err(error) = result {
        tracing::debug!(name, %error, "a header edit of a route changes nothing");
    }
}
