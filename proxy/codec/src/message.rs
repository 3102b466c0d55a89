//! What a parsed head consists of: places in the caller's buffer, never copies. It must not know how a head is read.

use std::borrow::Cow;

use crate::canonical;
use crate::refusal::Refusal;

/// Bounds of one message. Whoever exceeds them is answered 414 or 431.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head from its first byte to its empty line.
    pub head_bytes: usize,
    /// Fields of a head, and fields of a trailer section; those that are taken off count too.
    pub fields: usize,
    /// Bytes of a trailer section.
    pub trailer_bytes: usize,
    /// Bytes of chunk extensions in one body, all chunks together.
    pub extension_bytes: usize,
    /// Whether a field name may hold `_`.
    pub underscores: Underscores,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 60 * 1024,
            fields: 100,
            trailer_bytes: 8 * 1024,
            extension_bytes: 4 * 1024,
            underscores: Underscores::Accept,
        }
    }
}

/// What happens to a field whose name holds `_`. Servers of the CGI family read `X_User` and `X-User` as one variable, so whoever
/// lets strangers in (a gateway) refuses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Underscores {
    /// It is a field like others.
    Accept,
    /// The message is refused.
    Refuse,
}

/// A place in the buffer that the head was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// From offsets below 4 GiB; the limits of a head keep them far below.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: offset(start), end: offset(end) }
    }

    /// The bytes at this place. Empty when `buf` is shorter than the buffer it was made for.
    #[inline]
    pub fn of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One field line: the name as sent, the value without the white space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// A token (RFC 9110 section 5.1), in the sender's case.
    pub name: Span,
    /// Visible bytes, spaces, tabs and obs-text (RFC 9110 section 5.5).
    pub value: Span,
    /// Its sender asks that no compression table on its way keeps it (RFC 7541 section 6.2.3). HTTP/1 has no way to say so.
    pub is_secret: bool,
}

/// The sender's version. Others are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, no persistence unless asked for.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the end of a message's content is known (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No content follows.
    None,
    /// So many bytes follow; may be 0.
    Length(u64),
    /// Chunks follow: [`crate::Chunked`].
    Chunked,
    /// All bytes up to the end of the connection; of responses only.
    UntilClose,
}

/// How the client named its target (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`.
    Origin,
    /// `http://host:port/path?query`: its authority counts, `Host` does not.
    Absolute,
    /// `host:port` of CONNECT.
    Authority,
    /// `*` of OPTIONS.
    Asterisk,
}

/// The head of a request, without its end-to-end fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine {
    /// The method, in the sender's case.
    pub method: Span,
    /// How the target was named.
    pub form: Form,
    /// Path and query as sent; empty for CONNECT and for a URL without a path, `*` for [`Form::Asterisk`]. Everybody who decides
    /// or forwards takes [`RequestLine::target`] instead.
    pub path: Span,
    /// `host[:port]` as sent: of the URL, of CONNECT, or of `Host`. Empty only for HTTP/1.0 without `Host`.
    pub authority: Span,
    /// The client's version.
    pub version: Version,
    /// How the end of the content is known. Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client keeps the connection for another request.
    pub keep_alive: bool,
    /// Whether the client waits for 100 (RFC 9110 section 10.1.1).
    pub expect_continue: bool,
    /// What the client asks to change to (RFC 9110 section 7.8), as `websocket`. `h2c` is never asked for: RFC 9113 retired it.
    pub upgrade: Option<Span>,
    /// Whether the client takes trailers (`TE: trailers`).
    pub trailers_ok: bool,
    /// Bytes of the head with its empty line; content starts here.
    pub len: usize,
}

impl RequestLine {
    /// The one spelling of the target: a canonical path and query, `*`, or nothing for CONNECT.
    pub fn target<'a>(&self, buf: &'a [u8]) -> Result<Cow<'a, [u8]>, Refusal> {
        let raw = self.path.of(buf);
        match self.form {
            Form::Authority | Form::Asterisk => Ok(Cow::Borrowed(raw)),
            // A URL without a path and query asks about the server as a whole (RFC 9112 section 3.2.4).
            Form::Absolute if raw.is_empty() && self.method.of(buf) == b"OPTIONS" => {
                Ok(Cow::Borrowed(b"*".as_slice()))
            }
            Form::Origin | Form::Absolute => canonical::path(raw),
        }
    }

    /// The one spelling of the authority; empty for HTTP/1.0 without `Host`. For CONNECT the port stays, whatever it is.
    pub fn host<'a>(&self, buf: &'a [u8]) -> Result<Cow<'a, str>, Refusal> {
        match (self.authority.is_empty(), self.form) {
            (true, _) => Ok(Cow::Borrowed("")),
            (false, Form::Authority) => canonical::host_and_port(self.authority.of(buf)),
            (false, _) => canonical::authority(self.authority.of(buf)),
        }
    }
}

/// The head of a response, without its end-to-end fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLine {
    /// The status, 100 to 999.
    pub status: u16,
    /// The server's version.
    pub version: Version,
    /// How the end of the content is known. [`Framing::None`] for HEAD, 1xx, 204, 304 and an accepted CONNECT.
    pub framing: Framing,
    /// What `Content-Length` said. Where no content follows (HEAD, 304) this is all that remains of it, and it is forwarded.
    pub content_length: Option<u64>,
    /// Whether the connection may carry another request after this response.
    pub keep_alive: bool,
    /// The protocol of 101, or the one that 426 asks for.
    pub upgrade: Option<Span>,
    /// Bytes of the head with its empty line; content starts here.
    pub len: usize,
}
