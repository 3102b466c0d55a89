//! The one canonical request head. It is built once, after validation, from whatever codec; routing, telemetry and the upstream
//! encoder read it and nothing else.
//!
//! Sources: RFC 9112 section 3.2 (request target and Host), RFC 9113 section 8.3.1 (pseudo headers).

#[cfg(test)]
mod tests;

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use mesh_model::authority;
use mesh_model::head::HeadView;

use super::{Headers, hygiene};
use crate::telemetry::AppProtocol;

/// Which codec carries a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// How the client named its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Path only: the client believes to speak to the server itself.
    Origin,
    /// A whole URL: the client knows that it speaks to a proxy.
    Absolute,
    /// `CONNECT host:port`.
    Connect,
}

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Plain HTTP.
    Http,
    /// gRPC: failures are answered in trailers.
    Grpc,
}

impl From<Kind> for AppProtocol {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Http => Self::Http,
            Kind::Grpc => Self::Grpc,
        }
    }
}

/// The head of a request.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// Path and query; `*` for OPTIONS, empty for CONNECT.
    pub target: PathAndQuery,
    /// `host[:port]` as the client sent it; empty if it sent none (HTTP/1.0).
    pub authority: String,
    /// All other headers, without `Host` and without those that concern one hop only.
    pub headers: Headers,
    /// How it came in.
    pub wire: Wire,
    /// How the target was named.
    pub form: Form,
    /// HTTP or gRPC.
    pub kind: Kind,
    /// The protocol that the client asks to change to (RFC 9110 section 7.8), as `websocket`.
    pub upgrade: Option<HeaderValue>,
}

/// Why a request's head is refused, with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// HTTP/1.1 without `Host`.
    #[error("there is no Host header (RFC 9112 section 3.2)")]
    NoHost,
    /// More than one `Host`, or one that differs from `:authority`.
    #[error("there are different hosts (RFC 9112 section 3.2, RFC 9113 section 8.3.1)")]
    Hosts,
    /// The host is no `host[:port]`.
    #[error("the host is not of the form host[:port]")]
    Authority,
    /// A scheme that the mesh does not carry in the clear.
    #[error("the scheme of the URL is not http; use CONNECT for https")]
    Scheme,
}

impl RequestHead {
    /// Validates and takes apart what a codec parsed.
    pub(super) fn build(parts: ::http::request::Parts) -> Result<Self, BadHead> {
        let ::http::request::Parts { method, uri, version, mut headers, .. } = parts;
        let wire = if version == Version::HTTP_2 { Wire::Http2 } else { Wire::Http1 };
        let form = match (&method, uri.authority(), wire) {
            (&Method::CONNECT, ..) => Form::Connect,
            (_, Some(_), Wire::Http1) => Form::Absolute,
            _ => Form::Origin,
        };
        if form == Form::Absolute && uri.scheme_str() != Some("http") {
            return Err(BadHead::Scheme);
        }
        let authority = authority(&uri, &headers, wire, form, version)?;
        headers.remove(header::HOST);
        let upgrade = hygiene::requested_upgrade(&headers, wire);
        hygiene::remove_hop_by_hop(&mut headers);
        hygiene::join_cookies(&mut headers);
        let kind = kind_of(&headers);
        let empty = || PathAndQuery::from_static("/");
        let target = uri.into_parts().path_and_query.unwrap_or_else(empty);
        let headers = Headers::from_map(headers);
        Ok(Self { method, target, authority, headers, wire, form, kind, upgrade })
    }

    /// A header's value as text, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get_str(name)
    }

    /// The head as `wire` wants it. `authority` is sent where it is not empty.
    pub(super) fn into_request<B>(self, wire: Wire, body: B) -> ::http::Request<B> {
        let mut request = ::http::Request::new(body);
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers.into_map();
        let headers = request.headers_mut();
        match wire {
            Wire::Http1 => {
                if let Ok(host) = HeaderValue::try_from(&self.authority) {
                    headers.insert(header::HOST, host);
                }
                if let Some(protocol) = self.upgrade {
                    headers.insert(header::UPGRADE, protocol);
                    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                }
                *request.version_mut() = Version::HTTP_11;
                *request.uri_mut() = Uri::from(self.target);
            }
            Wire::Http2 => {
                *request.version_mut() = Version::HTTP_2;
                *request.uri_mut() = absolute(&self.authority, self.target);
            }
        }
        request
    }
}

/// `http://authority/path`, from which the HTTP/2 codec takes the pseudo headers.
fn absolute(authority: &str, target: PathAndQuery) -> Uri {
    let mut parts = ::http::uri::Parts::default();
    parts.scheme = Some(::http::uri::Scheme::HTTP);
    parts.authority = authority.parse().ok().or_else(|| "localhost".parse().ok());
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).unwrap_or_default()
}

/// The one authority of a request. The request line counts more than `Host` (RFC 9112 section 3.2.2).
fn authority(
    uri: &Uri,
    headers: &HeaderMap,
    wire: Wire,
    form: Form,
    version: Version,
) -> Result<String, BadHead> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(BadHead::Hosts);
    }
    let host = host.map(|value| value.to_str().map_err(|_| BadHead::Authority)).transpose()?;
    let named = uri.authority().map(http::uri::Authority::as_str);
    if wire == Wire::Http1 && form != Form::Connect && host.is_none() && version == Version::HTTP_11 {
        return Err(BadHead::NoHost);
    }
    if wire == Wire::Http2 && named.zip(host).is_some_and(|(named, host)| !named.eq_ignore_ascii_case(host)) {
        return Err(BadHead::Hosts);
    }
    let text = named.or(host).unwrap_or_default();
    if !text.is_empty() {
        authority::Authority::parse(text).map_err(|_| BadHead::Authority)?;
    }
    Ok(text.to_owned())
}

/// gRPC by its content type; gRPC-Web is plain HTTP, its trailers are in the body.
fn kind_of(headers: &HeaderMap) -> Kind {
    let media = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    match media.strip_prefix(b"application/grpc") {
        Some([] | [b'+' | b';' | b' ', ..]) => Kind::Grpc,
        _ => Kind::Http,
    }
}

impl HeadView for RequestHead {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &str {
        if self.form == Form::Connect { "" } else { self.target.path() }
    }

    fn query(&self) -> Option<&str> {
        self.target.query()
    }

    fn authority(&self) -> &str {
        authority::without_default_port(&self.authority, "http")
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        if name == "host" {
            visit(self.authority.as_bytes());
            return;
        }
        for value in self.headers.get_all(name) {
            visit(value);
        }
    }
}
