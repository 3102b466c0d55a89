//! The canonical head from and to HTTP/2. The same rules for both codecs: what HTTP/1 refuses is refused here too.
//!
//! Sources: RFC 9113 sections 8.2 and 8.3, RFC 8441 (extended CONNECT).

use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};
use mesh_http1::{Reason, canonical, fields};

use super::{BadHead, Form, RequestHead, Wire, kind_of};
use crate::config::HEADERS;
use crate::http::{Headers, Interim, hygiene, websocket};

impl RequestHead {
    /// Validates what the codec parsed.
    pub(in crate::http) fn from_http2(parts: Parts) -> Result<Self, BadHead> {
        let Parts { method, uri, mut headers, extensions, .. } = parts;
        check(&headers)?;
        let protocol = extensions.get::<::h2::ext::Protocol>().map(|protocol| protocol.as_str().to_owned());
        let authority = authority(&uri, &headers, method == Method::CONNECT && protocol.is_none())?;
        headers.remove(header::HOST);
        headers.remove(header::EXPECT);
        headers.remove(header::PROXY_AUTHORIZATION);
        hygiene::join_cookies(&mut headers);
        let (method, form, upgrade) = match protocol {
            // What HTTP/1 asks for with GET and `Upgrade` (RFC 8441 section 5).
            Some(_) if method != Method::CONNECT => return Err(BadHead::Pseudo),
            // One protocol, and never HTTP/2 in a tunnel: that would pass by everything that judges requests.
            Some(protocol)
                if !fields::is_name(protocol.as_bytes()) || protocol.eq_ignore_ascii_case("h2c") =>
            {
                return Err(BadHead::Pseudo);
            }
            Some(protocol) => {
                if protocol.eq_ignore_ascii_case("websocket") {
                    shake_hands(&mut headers);
                }
                (Method::GET, Form::Origin, Some(protocol))
            }
            None if method == Method::CONNECT => (method, Form::Connect, None),
            None => (method, Form::Origin, None),
        };
        let target = target(&uri, &method, form)?;
        let headers = Headers::from_map(headers);
        let kind = kind_of(&headers);
        Ok(Self {
            method,
            target,
            authority,
            headers,
            wire: Wire::Http2,
            form,
            kind,
            upgrade,
            interim: Interim::nowhere(),
        })
    }

    /// As the HTTP/2 codec wants it. `length` is what the body has, where that is known and not 0.
    pub(in crate::http) fn to_http2(&self, length: Option<u64>) -> Request<()> {
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_2;
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = absolute(&self.authority, self.target.clone());
        let mut headers = self.headers.clone().into_map();
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(protocol) = &self.upgrade {
            *request.method_mut() = Method::CONNECT;
            request.extensions_mut().insert(::h2::ext::Protocol::from(protocol.as_str()));
            // Proof of a handshake that HTTP/2 does not have (RFC 8441 section 5.1).
            headers.remove(header::SEC_WEBSOCKET_KEY);
            headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        }
        *request.headers_mut() = headers;
        request
    }
}

/// Adds what a handshake of HTTP/1 has besides (RFC 8441 section 5.1). A client of HTTP/2 has no key to check the answer with, so the
/// key is ours and so is the check.
fn shake_hands(headers: &mut HeaderMap) {
    if let Ok(key) = HeaderValue::from_str(&websocket::key()) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
    if !headers.contains_key(header::SEC_WEBSOCKET_VERSION) {
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(websocket::VERSION));
    }
}

/// Fields of one hop do not exist here; the rest has the bounds and the bytes of HTTP/1.
fn check(headers: &HeaderMap) -> Result<(), BadHead> {
    if headers.len() > HEADERS {
        return Err(BadHead::Refused(Reason::TooManyFields.into()));
    }
    for (name, value) in headers {
        let name = name.as_str().as_bytes();
        match name {
            b"te" if value.as_bytes() == b"trailers" => continue,
            b"proxy-authorization" | b"proxy-authenticate" => continue,
            _ => {}
        }
        if fields::is_hop_by_hop(name) {
            return Err(BadHead::HopByHop);
        }
        if fields::is_lookalike(name) {
            return Err(BadHead::Refused(Reason::Lookalike.into()));
        }
        if fields::is_padded(value.as_bytes()) || !fields::is_value(value.as_bytes()) {
            return Err(BadHead::Refused(Reason::ValueByte.into()));
        }
    }
    Ok(())
}

fn target(uri: &Uri, method: &Method, form: Form) -> Result<PathAndQuery, BadHead> {
    if form == Form::Connect {
        return Ok(PathAndQuery::from_static("/"));
    }
    let raw = uri.path_and_query().map_or("", PathAndQuery::as_str);
    if raw == "*" && *method == Method::OPTIONS {
        return Ok(PathAndQuery::from_static("*"));
    }
    let path = canonical::path(raw.as_bytes())?;
    PathAndQuery::try_from(path.as_ref()).map_err(|_| BadHead::Refused(Reason::PathByte.into()))
}

fn authority(uri: &Uri, headers: &HeaderMap, is_connect: bool) -> Result<String, BadHead> {
    let canonical = |raw: &[u8]| {
        if is_connect { canonical::host_and_port(raw) } else { canonical::authority(raw) }
            .map(std::borrow::Cow::into_owned)
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().map(|host| canonical(host.as_bytes())).transpose()?;
    if hosts.next().is_some() {
        return Err(BadHead::Refused(Reason::Hosts.into()));
    }
    let named = uri.authority().map(|named| canonical(named.as_str().as_bytes())).transpose()?;
    match (named, host) {
        (Some(named), Some(host)) if named != host => Err(BadHead::Hosts),
        (Some(named), _) => Ok(named),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(BadHead::Refused(Reason::NoHost.into())),
    }
}

/// `http://authority/path`, from which the codec takes the pseudo headers.
fn absolute(authority: &str, target: PathAndQuery) -> Uri {
    let mut parts = ::http::uri::Parts::default();
    parts.scheme = Some(::http::uri::Scheme::HTTP);
    parts.authority = authority.parse().ok().or_else(|| "localhost".parse().ok());
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).unwrap_or_default()
}
