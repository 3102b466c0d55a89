//! What a connection speaks, from its first bytes. Pure: it must not know
//! streams (`tcp::first_bytes` feeds it) or what is done with the answer.
//!
//! Sources: RFC 9112 section 3 (request line), RFC 9113 section 3.4 (preface), RFC 8446 section 5.1 (record header).

mod label;
mod learnt;
#[cfg(test)]
mod tests;

pub use label::host;
pub use learnt::{Learnt, Opener, Room};

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniff {
    /// A request line of HTTP/1.
    Http1,
    /// The preface of HTTP/2.
    Http2,
    /// A handshake record of TLS.
    Tls,
    /// It fits more than one of them so far.
    NeedMore,
    /// None of them.
    Opaque,
}

/// The preface of HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most bytes it takes to decide: a request line longer than that is no request line.
pub const BOUND: usize = 16 * 1024;

/// Longest method that counts as HTTP; the longest registered one has 17 characters (`UPDATEREDIRECTREF`).
const METHOD: usize = 24;

/// Says what `bytes`, the first ones of a connection, speak. HTTP/1 is decided by the whole first line, so that a protocol whose
/// greeting begins with a word (`GET`-like, as in memcached or Redis) is not taken for it.
pub fn sniff(bytes: &[u8]) -> Sniff {
    let Some(first) = bytes.first() else { return Sniff::NeedMore };
    if *first == 0x16 {
        return tls(bytes);
    }
    if bytes.starts_with(PREFACE) {
        return Sniff::Http2;
    }
    if PREFACE.starts_with(bytes) {
        return Sniff::NeedMore;
    }
    http1(bytes)
}

/// Handshake (22), then version 3.x.
fn tls(bytes: &[u8]) -> Sniff {
    match bytes.get(1) {
        Some(3) => Sniff::Tls,
        Some(_) => Sniff::Opaque,
        None => Sniff::NeedMore,
    }
}

/// `METHOD SP target SP HTTP/1.x CRLF`.
fn http1(bytes: &[u8]) -> Sniff {
    // RFC 9112 section 2.2: a server should ignore at least one empty line before the request line.
    let start = bytes.iter().take(4).take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let line = bytes.get(start..).unwrap_or_default();
    let method = line.iter().take_while(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_')).count();
    if method == line.len() {
        return if method <= METHOD { Sniff::NeedMore } else { Sniff::Opaque };
    }
    if method == 0 || method > METHOD || line.get(method) != Some(&b' ') {
        return Sniff::Opaque;
    }
    match line.iter().position(|b| *b == b'\n') {
        Some(end) => {
            let line = line.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let version = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
            if matches!(version, b"HTTP/1.1" | b"HTTP/1.0") { Sniff::Http1 } else { Sniff::Opaque }
        }
        None if line.iter().any(|b| *b < 0x20 && *b != b'\r') => Sniff::Opaque,
        None => Sniff::NeedMore,
    }
}
