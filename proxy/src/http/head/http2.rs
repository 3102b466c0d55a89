//! The canonical head from and to HTTP/2. The same rules for both codecs: what HTTP/1 refuses is refused here too.
//!
//! Sources: RFC 9113 sections 8.2 and 8.3, RFC 8441 (extended CONNECT).

use http::Method;
use http::uri::PathAndQuery;
use mesh_http1::{Reason, canonical, fields};
use mesh_http2::{Block, Fields, Problem};

use super::{BadHead, Form, RequestHead, Scheme, Wire, kind_of};
use crate::config::HEADERS;
use crate::http::{Headers, Interim, hygiene, websocket};

impl RequestHead {
    /// Validates what the codec parsed.
    pub(in crate::http) fn from_http2(block: Block) -> Result<Self, BadHead> {
        if block.problem() == Some(Problem::TooLarge) {
            return Err(BadHead::Refused(Reason::HeadTooLarge.into()));
        }
        let (pseudo, bytes) = (block.pseudo, &block.bytes);
        let method = pseudo.method.ok_or(BadHead::Pseudo)?;
        let method =
            Method::from_bytes(method.of(bytes)).map_err(|_| BadHead::Refused(Reason::Method.into()))?;
        let protocol = pseudo.protocol.map(|span| String::from_utf8_lossy(span.of(bytes)).into_owned());
        let (method, form, upgrade) = asked(method, protocol)?;
        let target = target(pseudo.path.map_or(&[][..], |path| path.of(bytes)), &method, form)?;
        let named =
            pseudo.authority.map(|authority| canonical_host(authority.of(bytes), form)).transpose()?;
        let mut headers = Headers::from_vectors(block.bytes, block.fields);
        check(&headers)?;
        let authority = authority(named, &headers, form)?;
        headers.remove_where(|name| matches!(name, "host" | "expect" | "proxy-authorization"));
        hygiene::join_cookies(&mut headers);
        if upgrade.as_deref().is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket")) {
            shake_hands(&mut headers);
        }
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

    /// Writes it for the HTTP/2 codec. `length` is what the body has, where that is known and not 0.
    pub(in crate::http) fn to_http2(&self, scheme: Scheme, length: Option<u64>, fields: &mut Fields<'_>) {
        fields.put(b":method", self.method.as_str().as_bytes());
        fields.put(b":scheme", scheme.as_bytes());
        fields.put(b":authority", self.authority.as_bytes());
        fields.put(b":path", self.target.as_str().as_bytes());
        self.headers.put(fields, |name| length.is_some() && name.eq_ignore_ascii_case(b"content-length"));
        if let Some(length) = length {
            fields.put_number(b"content-length", length);
        }
    }
}

/// Method, form of the target, and the protocol that is asked for.
fn asked(method: Method, protocol: Option<String>) -> Result<(Method, Form, Option<String>), BadHead> {
    match protocol {
        // What HTTP/1 asks for with GET and `Upgrade` (RFC 8441 section 5).
        Some(_) if method != Method::CONNECT => Err(BadHead::Pseudo),
        // One protocol, and never HTTP/2 in a tunnel: that would pass by everything that judges requests.
        Some(protocol) if !fields::is_name(protocol.as_bytes()) || protocol.eq_ignore_ascii_case("h2c") => {
            Err(BadHead::Pseudo)
        }
        Some(protocol) => Ok((Method::GET, Form::Origin, Some(protocol))),
        None if method == Method::CONNECT => Ok((method, Form::Connect, None)),
        None => Ok((method, Form::Origin, None)),
    }
}

/// Adds what a handshake of HTTP/1 has besides (RFC 8441 section 5.1). A client of HTTP/2 has no key to check the answer with, so the
/// key is ours and so is the check.
fn shake_hands(headers: &mut Headers) {
    let key = websocket::key();
    headers.set("sec-websocket-key", key.as_bytes()).expect("base64 is a value");
    if !headers.contains("sec-websocket-version") {
        headers.set("sec-websocket-version", websocket::VERSION.as_bytes()).expect("digits are a value");
    }
}

/// Fields of one hop do not exist here; the rest has the bounds and the bytes of HTTP/1.
fn check(headers: &Headers) -> Result<(), BadHead> {
    if headers.len() > HEADERS {
        return Err(BadHead::Refused(Reason::TooManyFields.into()));
    }
    for (name, value) in headers.raw() {
        match name {
            b"te" if value == b"trailers" => continue,
            b"proxy-authorization" | b"proxy-authenticate" => continue,
            _ => {}
        }
        if fields::is_hop_by_hop(name) {
            return Err(BadHead::HopByHop);
        }
        if fields::is_lookalike(name) {
            return Err(BadHead::Refused(Reason::Lookalike.into()));
        }
        if fields::is_padded(value) || !fields::is_value(value) {
            return Err(BadHead::Refused(Reason::ValueByte.into()));
        }
    }
    Ok(())
}

fn target(raw: &[u8], method: &Method, form: Form) -> Result<PathAndQuery, BadHead> {
    if form == Form::Connect {
        return Ok(PathAndQuery::from_static("/"));
    }
    if raw == b"*" && *method == Method::OPTIONS {
        return Ok(PathAndQuery::from_static("*"));
    }
    let path = canonical::path(raw)?;
    PathAndQuery::try_from(path.as_ref()).map_err(|_| BadHead::Refused(Reason::PathByte.into()))
}

fn canonical_host(raw: &[u8], form: Form) -> Result<String, BadHead> {
    let host = match form {
        Form::Connect => canonical::host_and_port(raw),
        Form::Origin | Form::Absolute => canonical::authority(raw),
    };
    Ok(host?.into_owned())
}

/// What `:authority` and `Host` say, which must be the same.
fn authority(named: Option<String>, headers: &Headers, form: Form) -> Result<String, BadHead> {
    let mut hosts = headers.get_all("host");
    let host = hosts.next().map(|host| canonical_host(host, form)).transpose()?;
    if hosts.next().is_some() {
        return Err(BadHead::Refused(Reason::Hosts.into()));
    }
    match (named, host) {
        (Some(named), Some(host)) if named != host => Err(BadHead::Hosts),
        (Some(named), _) => Ok(named),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(BadHead::Refused(Reason::NoHost.into())),
    }
}
