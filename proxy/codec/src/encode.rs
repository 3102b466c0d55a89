//! Heads, chunks and trailers as bytes. The framing is written from [`Framing`] alone: fields that frame, or that are of one hop,
//! are left out of what the caller hands in. What would break a line is refused and nothing is written. It must not know sockets.
//!
//! Source: RFC 9112 sections 2 to 7, 9.

mod number;

use crate::bytes::{HOST, TARGET};
use crate::connection::is_upgrade;
use crate::fields::{is_forbidden_trailer, is_name, is_value};
use crate::known::Known;
use crate::message::{Framing, Version};
use http::StatusCode;

/// What is to be said about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection<'a> {
    /// It stays open.
    KeepAlive,
    /// It ends after this message.
    Close,
    /// It changes to this protocol, or is asked to.
    Upgrade(&'a [u8]),
}

/// What a request line and the Host field consist of, in their canonical spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// A token.
    pub method: &'a [u8],
    /// [`crate::RequestLine::target`]; for CONNECT the authority.
    pub target: &'a [u8],
    /// [`crate::RequestLine::host`].
    pub authority: &'a [u8],
}

/// Why a message cannot be written. It is our own side that made it so; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// Not a token.
    #[error("the method is not a token")]
    Method,
    /// Empty, or with a byte that would end it.
    #[error("the target is empty or holds a space, a control byte or `#`")]
    Target,
    /// Not `host[:port]`.
    #[error("the authority is not of the form host[:port]")]
    Authority,
    /// Not a token, or one that looks like a field that frames.
    #[error("a field's name is not a token, or looks like Content-Length or Transfer-Encoding")]
    Name,
    /// With CR, LF, NUL or another control byte.
    #[error("a field's value holds a control byte")]
    Value,
    /// Not a list of protocols.
    #[error("the protocol of an upgrade is not a list of protocols")]
    Upgrade,
    /// Below 100 or above 999.
    #[error("the status is not one of three digits")]
    Status,
    /// A request up to the end of the connection, or chunks for HTTP/1.0.
    #[error("the peer could not know where the content ends")]
    Framing,
}

/// A field to be written.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The interim response that lets a client send its content (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Writes the head of a request. `authority` may be empty only where the client was of HTTP/1.0 and sent none; then an empty Host
/// is written (RFC 9112 section 3.2). `fields` that are not end to end are left out; `Expect` is written where it is handed in.
pub fn request_head<'a>(
    out: &mut Vec<u8>,
    line: Line<'_>,
    fields: impl Iterator<Item = Pair<'a>>,
    framing: Framing,
    connection: Connection<'_>,
) -> Result<(), Unwritable> {
    let Line { method, target, authority } = line;
    if !is_name(method) {
        return Err(Unwritable::Method);
    }
    if target.is_empty() || !TARGET.has_all(target) {
        return Err(Unwritable::Target);
    }
    if !is_authority(authority) {
        return Err(Unwritable::Authority);
    }
    if framing == Framing::UntilClose {
        return Err(Unwritable::Framing);
    }
    let start = out.len();
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(authority);
    out.extend_from_slice(b"\r\n");
    let rest = write_fields(out, fields).and_then(|()| write_connection(out, connection));
    write_framing(out, framing);
    finish(out, start, rest)
}

/// Writes the head of a response for a client of `version`. Where a response has no content by its status (1xx, 204), no framing is
/// written; for HEAD and 304 hand in what the content would have. [`Framing::UntilClose`] says `close` by itself.
pub fn response_head<'a>(
    out: &mut Vec<u8>,
    status: u16,
    fields: impl Iterator<Item = Pair<'a>>,
    framing: Framing,
    connection: Connection<'_>,
    version: Version,
) -> Result<(), Unwritable> {
    if framing == Framing::Chunked && version == Version::Http10 {
        return Err(Unwritable::Framing);
    }
    let start = out.len();
    write_status(out, status)?;
    let has_framing = !matches!(status, 100..=199 | 204);
    let rest = write_fields(out, fields).and_then(|()| match (connection, version) {
        (Connection::Upgrade(_), _) => write_connection(out, connection),
        _ if status < 200 => Ok(()),
        (_, _) if has_framing && framing == Framing::UntilClose => write_connection(out, Connection::Close),
        (Connection::KeepAlive, Version::Http10) => {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
            Ok(())
        }
        _ => write_connection(out, connection),
    });
    if has_framing {
        write_framing(out, framing);
    }
    finish(out, start, rest)
}

/// Writes the line before a chunk's data. `len` is not 0: that would end the content.
pub fn chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "a chunk of nothing ends the content");
    number::hexadecimal(out, len as u64);
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a content in chunks. Trailers that have no place there are left out.
pub fn last_chunk<'a>(out: &mut Vec<u8>, trailers: impl Iterator<Item = Pair<'a>>) -> Result<(), Unwritable> {
    let start = out.len();
    out.extend_from_slice(b"0\r\n");
    let rest = write_lines(out, trailers, |_, name| !is_forbidden_trailer(name));
    finish(out, start, rest)
}

/// Ends a section, or takes back what was written since `start`.
fn finish(out: &mut Vec<u8>, start: usize, rest: Result<(), Unwritable>) -> Result<(), Unwritable> {
    match rest {
        Ok(()) => out.extend_from_slice(b"\r\n"),
        Err(_) => out.truncate(start),
    }
    rest
}

fn write_status(out: &mut Vec<u8>, status: u16) -> Result<(), Unwritable> {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return Ok(());
    }
    let code = StatusCode::from_u16(status).map_err(|_| Unwritable::Status)?;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(code.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(code.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn write_fields<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = Pair<'a>>) -> Result<(), Unwritable> {
    write_lines(out, fields, |known, _| {
        !known.is_hop_by_hop() && !matches!(known, Known::Host | Known::ContentLength)
    })
}

#[inline]
fn write_lines<'a>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = Pair<'a>>,
    is_sent: impl Fn(Known, &[u8]) -> bool,
) -> Result<(), Unwritable> {
    for (name, value) in fields {
        let known = Known::of(name);
        if !is_sent(known, name) {
            continue;
        }
        if !is_name(name) || known.is_lookalike(name) {
            return Err(Unwritable::Name);
        }
        if !is_value(value) {
            return Err(Unwritable::Value);
        }
        // Once for all four parts of the line.
        out.reserve(name.len() + value.len() + 4);
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

fn write_connection(out: &mut Vec<u8>, connection: Connection<'_>) -> Result<(), Unwritable> {
    match connection {
        Connection::KeepAlive => {}
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
        Connection::Upgrade(protocol) => {
            if !is_value(protocol) || !is_upgrade(protocol) {
                return Err(Unwritable::Upgrade);
            }
            out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
            out.extend_from_slice(protocol);
            out.extend_from_slice(b"\r\n");
        }
    }
    Ok(())
}

fn write_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            number::decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether it can stand in a Host field; the canonical form was checked before.
fn is_authority(authority: &[u8]) -> bool {
    authority.iter().all(|byte| HOST.has(*byte) || matches!(byte, b':' | b'[' | b']'))
}
