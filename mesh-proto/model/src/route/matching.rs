//! Whether a request fits a match of a route. It must not know other matches: which one wins is decided in
//! [`super::table`].
//!
//! Source: Gateway API v1.6, HTTPRouteMatch and GRPCRouteMatch.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{GrpcMatch, Match, PathMatch, Target, TextMatch, ValueMatch};
use crate::head::HeadView;

/// A condition of a match that a request does not meet. Indices are those of the match's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit<'a> {
    /// The path.
    Path(&'a PathMatch),
    /// gRPC service and method.
    Call(&'a GrpcMatch),
    /// The method.
    Method(&'a str),
    /// A query parameter.
    Query(usize, &'a ValueMatch),
    /// A header.
    Header(usize, &'a ValueMatch),
}

impl Match {
    /// Whether every part fits.
    pub fn fits<H: HeadView + ?Sized>(&self, request: &H) -> bool {
        self.misfits(request).next().is_none()
    }

    /// The conditions that the request does not meet: path or call, method, query, headers. Each is looked at only when it is
    /// asked for.
    pub fn misfits<'a, H: HeadView + ?Sized>(
        &'a self,
        request: &'a H,
    ) -> impl Iterator<Item = Misfit<'a>> + 'a {
        let (target, method, query) = match &self.target {
            Target::Http { path, method, query } => {
                let path = (!path.fits(request.path())).then_some(Misfit::Path(path));
                (path, method.as_deref(), query.as_slice())
            }
            Target::Grpc(call) => {
                ((!call.fits(request.path())).then_some(Misfit::Call(call)), None, Default::default())
            }
        };
        let method = method.filter(|wanted| *wanted != request.method()).map(Misfit::Method);
        let query = firsts(query)
            .filter(|(_, wanted)| {
                let text = request.query().unwrap_or_default();
                !query_value(&wanted.name, text).is_some_and(|value| wanted.value.fits(&value))
            })
            .map(|(at, wanted)| Misfit::Query(at, wanted));
        let headers = firsts(&self.headers)
            .filter(|(_, wanted)| !wanted.fits_header(request))
            .map(|(at, wanted)| Misfit::Header(at, wanted));
        target.into_iter().chain(method).chain(query).chain(headers)
    }
}

impl ValueMatch {
    /// Whether the header of that name fits.
    pub fn fits_header<H: HeadView + ?Sized>(&self, request: &H) -> bool {
        header_value(&self.name, request).is_some_and(|value| self.value.fits(&value))
    }
}

impl PathMatch {
    /// A prefix match from a value as users write it: trailing `/` mean nothing, since whole segments are compared.
    pub fn prefix(text: &str) -> Self {
        let trimmed = text.trim_end_matches('/');
        Self::Prefix(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
    }

    /// Whether the path (without query) fits. Case sensitive.
    pub fn fits(&self, path: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == path,
            Self::Prefix(prefix) => below(prefix, path).is_some(),
            Self::Regex(pattern) => pattern.is_match(path),
        }
    }
}

/// What follows `prefix` in `path`: empty or beginning with `/`. `None` if the prefix does not fit by whole segments.
/// The root prefix fits everything, also the `*` of OPTIONS and the empty path of CONNECT.
pub(super) fn below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).filter(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

impl GrpcMatch {
    /// Whether a request path calls a service and method that fit. Without any condition every path fits.
    pub fn fits(&self, path: &str) -> bool {
        if self.service.is_none() && self.method.is_none() {
            return true;
        }
        let Some((service, method)) = call_of(path) else { return false };
        let part =
            |wanted: &Option<TextMatch>, text: &str| wanted.as_ref().is_none_or(|w| w.fits(text.as_bytes()));
        part(&self.service, service) && part(&self.method, method)
    }
}

/// Service and method of a gRPC request path, `/SERVICE/METHOD`. Source: gRPC over HTTP/2, `Path`.
pub fn call_of(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some((service, method))
}

impl TextMatch {
    /// Whether the whole text fits. Bytes that are not UTF-8 count as U+FFFD for an expression, so that `.+` still
    /// means "there is a value".
    pub fn fits(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(wanted) => wanted.as_bytes() == text,
            Self::Regex(pattern) => pattern.is_match(&String::from_utf8_lossy(text)),
        }
    }
}

/// The conditions that count: of several with one name only the first does.
/// Source: HTTPHeaderMatch.name and HTTPQueryParamMatch.name, "subsequent entries … MUST be ignored".
pub(super) fn firsts(all: &[ValueMatch]) -> impl Iterator<Item = (usize, &ValueMatch)> {
    all.iter().enumerate().filter(|(at, one)| !all.iter().take(*at).any(|other| other.name == one.name))
}

/// What conditions on a header look at: its values as one, joined with `,` in order (RFC 9110 section 5.3). `None`: a missing header,
/// which never fits. `name` is lower case.
pub fn header_value<H: HeadView + ?Sized>(name: &str, request: &H) -> Option<SmallVec<[u8; 128]>> {
    let mut joined: Option<SmallVec<[u8; 128]>> = None;
    request.header_values(name, &mut |value| match &mut joined {
        Some(joined) => {
            joined.push(b',');
            joined.extend_from_slice(value);
        }
        None => joined = Some(value.into()),
    });
    joined
}

/// What conditions on a query parameter look at: the decoded value of the first one with that name. A parameter without `=` has an
/// empty value. `None`: a missing one, which never fits.
pub fn query_value<'a>(wanted: &str, query: &'a str) -> Option<Cow<'a, [u8]>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(name, _)| *decoded(name) == *wanted.as_bytes())
        .map(|(_, value)| decoded(value))
}

/// Undoes the encoding of forms: `+` is a space, `%41` is `A`. A `%` without two hexadecimal digits stays as it is.
/// Source: WHATWG URL, application/x-www-form-urlencoded parsing.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(first),
        }
    }
    Cow::Owned(out)
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
