//! The one canonical request head. It is built once, after validation, from whatever codec; routing, telemetry and the upstream
//! encoder read it and nothing else.
//!
//! Sources: RFC 9112 section 3.2 (request target and Host), RFC 9113 section 8.3.1 (pseudo headers).

mod http2;
#[cfg(test)]
mod tests;

use http::Method;
use http::uri::PathAndQuery;
use mesh_http1::{Reason, Refusal, RequestLine};
use mesh_model::authority;
use mesh_model::head::HeadView;

use super::{Headers, Interim};
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
    pub upgrade: Option<String>,
    /// Where interim answers go.
    pub interim: Interim,
}

/// How what is asked for is to be reached, as HTTP/2 says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// As an application without TLS has it, also between proxies.
    Http,
    /// At a host outside, over TLS.
    Https,
}

impl Scheme {
    pub(super) const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Http => b"http",
            Self::Https => b"https",
        }
    }
}

/// Why a request's head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// It breaks a rule that both codecs have.
    #[error("{0}")]
    Refused(Refusal),
    /// `Host` differs from `:authority`.
    #[error("there are different hosts (RFC 9113 section 8.3.1)")]
    Hosts,
    /// A field of one hop, which HTTP/2 does not have.
    #[error("there is a field of HTTP/1 connections (RFC 9113 section 8.2.2)")]
    HopByHop,
    /// A pseudo header is missing or makes no sense.
    #[error("the pseudo headers are not those of a request (RFC 9113 section 8.3.1)")]
    Pseudo,
}

impl BadHead {
    /// The status that it is answered with.
    pub fn status(self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::Hosts | Self::HopByHop | Self::Pseudo => 400,
        }
    }
}

impl From<Refusal> for BadHead {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl RequestHead {
    /// From a head of HTTP/1 that was read from the start of `buf`.
    pub(super) fn from_http1(
        line: &RequestLine,
        buf: &[u8],
        fields: &[mesh_http1::Field],
    ) -> Result<Self, Refusal> {
        let target = line.target(buf)?;
        // The codec has checked it; `*` and the nothing of CONNECT are told by the form.
        let target =
            PathAndQuery::try_from(target.as_ref()).unwrap_or_else(|_| PathAndQuery::from_static("/"));
        let authority = line.host(buf)?.into_owned();
        let method = Method::from_bytes(line.method.of(buf)).map_err(|_| Refusal::from(Reason::Method))?;
        let head = buf.get(..line.len).unwrap_or_default();
        let mut headers = Headers::from_lines(head, fields.iter().copied());
        if line.trailers_ok {
            headers.append("te", b"trailers").expect("a field of ours");
        }
        let form = match line.form {
            mesh_http1::Form::Authority => Form::Connect,
            mesh_http1::Form::Absolute => Form::Absolute,
            mesh_http1::Form::Origin | mesh_http1::Form::Asterisk => Form::Origin,
        };
        let upgrade = line.upgrade.map(|span| String::from_utf8_lossy(span.of(buf)).into_owned());
        let kind = kind_of(&headers);
        Ok(Self {
            method,
            target,
            authority,
            headers,
            wire: Wire::Http1,
            form,
            kind,
            upgrade,
            interim: Interim::nowhere(),
        })
    }

    /// A header's value as text, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get_str(name)
    }
}

/// gRPC by its content type; gRPC-Web is plain HTTP, its trailers are in the body.
pub(crate) fn kind_of(headers: &Headers) -> Kind {
    let media = headers.get("content-type").unwrap_or_default();
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
