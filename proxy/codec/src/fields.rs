//! What names and values of fields may be, and which fields are of one hop only or have no place in trailers. Used for both codecs.

use crate::bytes::{TOKEN, value_run};
use crate::known::Known;

/// Whether it is a field name: a token (RFC 9110 section 5.1).
#[inline]
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && TOKEN.has_all(name)
}

/// Whether a name differs from Content-Length or Transfer-Encoding in punctuation or digits only. A message that holds such a field is refused:
/// some servers take it for the field itself.
#[inline]
pub fn is_lookalike(name: &[u8]) -> bool {
    Known::of(name).is_lookalike(name)
}

/// Whether it can be a field's value: no control byte but HTAB (RFC 9110 section 5.5). White space at the ends is no concern here.
#[inline]
pub fn is_value(value: &[u8]) -> bool {
    value_run(value) == value.len()
}

/// Whether white space lies at an end of a value. HTTP/1 takes it off; in HTTP/2 such a field is malformed (RFC 9113 section 8.2.1).
#[inline]
pub fn is_padded(value: &[u8]) -> bool {
    matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

/// Whether a field concerns one connection only, besides those that `Connection` names (RFC 9110 section 7.6.1). `Te` is among them:
/// what of it is end to end is [`crate::RequestLine::trailers_ok`].
#[inline]
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    Known::of(name).is_hop_by_hop()
}

/// Whether a field has no place in trailers: it frames, routes, authenticates, modifies the request or says how to read the content
/// (RFC 9110 section 6.5.1). A server that merges trailers into headers would be told a second, later truth by it.
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    is_hop_by_hop(name) || among(name, FORBIDDEN_TRAILERS) || is_forwarding(name)
}

/// Whether `Connection` may not name it: without it a message would lose its framing, its target, whom it comes from, or what its
/// content means. RFC 9110 section 7.6.1 forbids senders to name such fields; a client that does wants the next hop to see less
/// than we saw.
pub(crate) fn is_end_to_end_only(name: &[u8]) -> bool {
    among(name, END_TO_END_ONLY) || is_forwarding(name)
}

/// Fields that say for whom a proxy speaks; ours and those of other meshes.
fn is_forwarding(name: &[u8]) -> bool {
    among(name, FORWARDING)
        || FORWARDING_PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        })
}

fn among(name: &[u8], list: &[&str]) -> bool {
    list.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()))
}

const FORWARDING: &[&str] = &["forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip"];

const FORWARDING_PREFIXES: &[&str] = &["x-forwarded-", "x-mesh-", "x-envoy-", "l5d-"];

const END_TO_END_ONLY: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "content-encoding",
    "content-range",
    "authorization",
    "cookie",
    "set-cookie",
    "origin",
    "cache-control",
    "date",
];

const FORBIDDEN_TRAILERS: &[&str] = &[
    "host",
    "content-length",
    "content-encoding",
    "content-type",
    "content-range",
    "trailer",
    "authorization",
    "proxy-authentication-info",
    "www-authenticate",
    "cookie",
    "set-cookie",
    "age",
    "cache-control",
    "expires",
    "date",
    "location",
    "retry-after",
    "vary",
    "warning",
    "expect",
    "max-forwards",
    "pragma",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "origin",
];
