//! Writing an answer: head and first bytes of the body together, then piece by piece, one at a time.

use std::io;
use std::task::{Context, Poll, ready};

use ::http::StatusCode;
use mesh_http1::encode::{self, Connection};
use mesh_http1::{Framing, Version};

use super::conn::{Conn, Inner};
use crate::http::{Body, BodyError, Frame, Response};

/// What of the request decides how its answer is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) change: Change,
    pub(super) keep_alive: bool,
}

/// What a request asks its connection to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing else.
    None,
    /// A tunnel: CONNECT.
    Tunnel,
    /// Another protocol.
    Upgrade,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    framing: Framing,
    left: u64,
    done: bool,
    /// The connection ends after it.
    pub(super) close: bool,
    /// The connection changes its protocol after it.
    pub(super) changes: bool,
}

/// Why an answer broke off.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client went away.
    Client(io::Error),
    /// The one who gives the body failed; the client learns it by the end of the connection.
    Body(BodyError),
}

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const CHUNK_AND_LAST: &[u8] = b"\r\n0\r\n\r\n";

impl Answer {
    /// Writes the head to the buffer and keeps the body for [`Answer::poll`].
    pub(super) fn begin(inner: &mut Inner, response: Response, asked: Asked) -> Self {
        let Response { status, headers, body } = response;
        let changes = match asked.change {
            Change::None => false,
            Change::Tunnel => status.is_success(),
            Change::Upgrade => status == StatusCode::SWITCHING_PROTOCOLS,
        };
        let framing = if changes { Framing::None } else { framing(status, &headers, &body, asked) };
        // A client that still waits for 100 does not get it any more, so it may or may not send the body.
        let waited = std::mem::take(&mut inner.wants_continue);
        inner.answering = true;
        // Bytes behind a request for another protocol are not of HTTP, if the client took the change for granted.
        let early = asked.change == Change::Upgrade && !changes && !inner.io.read.is_empty();
        let close = !asked.keep_alive || framing == Framing::UntilClose || waited || early;
        let connection = match headers.get("upgrade") {
            Some(protocol) if changes && asked.change == Change::Upgrade => Connection::Upgrade(protocol),
            _ if close && !changes => Connection::Close,
            _ => Connection::KeepAlive,
        };
        let text = inner.out.text();
        let written = encode::response_head(
            text,
            status.as_u16(),
            headers.raw(),
            framing,
            connection,
            if asked.change == Change::Tunnel { Version::Http11 } else { asked.version },
        );
        let written = written.map_err(|error| {
            tracing::debug!(%error, "an answer cannot be written");
            text.extend_from_slice(UNWRITABLE);
        });
        let no_body = changes || asked.is_head || is_bodiless(status) || written.is_err();
        Self {
            // An empty body has a known length, so there are no chunks to be ended.
            done: no_body || body.is_end_stream(),
            left: if let Framing::Length(length) = framing { length } else { 0 },
            // Kept although nothing of it is sent: dropping it looks at the connection, which is borrowed here.
            body,
            framing,
            close: close || written.is_err(),
            changes,
        }
    }

    /// Writes on until all of it is written.
    pub(super) fn poll(&mut self, conn: &Conn, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            {
                let inner = &mut *conn.0.borrow_mut();
                if self.done || inner.out.is_due() {
                    ready!(inner.out.poll_flush(&mut inner.io.stream, cx)).map_err(Broken::Client)?;
                }
            }
            if self.done {
                return Poll::Ready(Ok(()));
            }
            let polled = self.body.poll_next(cx);
            let inner = &mut *conn.0.borrow_mut();
            match polled {
                Poll::Ready(Some(Ok(frame))) => self.take(inner, frame)?,
                Poll::Ready(None) => self.end(inner)?,
                Poll::Ready(Some(Err(error))) => {
                    // What came before goes out, so that the client sees an answer cut short and not a request without one, which it
                    // might repeat. One try: the connection ends now in any case.
                    let _ = inner.out.poll_flush(&mut inner.io.stream, cx);
                    return Poll::Ready(Err(Broken::Body(error)));
                }
                Poll::Pending => {
                    return inner.poll_watch(cx).map(|error| Err(Broken::Client(error)));
                }
            }
        }
    }

    fn take(&mut self, inner: &mut Inner, frame: Frame) -> Result<(), Broken> {
        match frame {
            Frame::Data(data) if data.is_empty() => {}
            Frame::Data(data) => match self.framing {
                Framing::Chunked => {
                    encode::chunk_head(inner.out.text(), data.len());
                    self.done = self.body.is_end_stream();
                    inner.out.data(data, if self.done { CHUNK_AND_LAST } else { encode::CHUNK_END });
                }
                Framing::Length(_) => {
                    // More than was said cannot be sent: the client would read it as another answer.
                    self.left =
                        self.left.checked_sub(data.len() as u64).ok_or(Broken::Body(BodyError::Protocol))?;
                    self.done = self.left == 0 && self.body.is_end_stream();
                    inner.out.data(data, b"");
                }
                Framing::UntilClose | Framing::None => {
                    self.done = self.body.is_end_stream();
                    inner.out.data(data, b"");
                }
            },
            Frame::Trailers(trailers) => {
                if self.framing == Framing::Chunked {
                    let text = inner.out.text();
                    if let Err(error) = encode::last_chunk(text, trailers.raw()) {
                        tracing::debug!(%error, "trailers cannot be written");
                        text.extend_from_slice(LAST_CHUNK);
                    }
                    self.done = true;
                } else {
                    self.end(inner)?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, inner: &mut Inner) -> Result<(), Broken> {
        if self.framing == Framing::Chunked {
            inner.out.text().extend_from_slice(LAST_CHUNK);
        }
        self.done = true;
        if self.left > 0 { Err(Broken::Body(BodyError::Sender)) } else { Ok(()) }
    }
}

/// Instead of an answer that would break a line.
const UNWRITABLE: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nx-mesh-failure: upstream_protocol\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How the end of the answer is told (RFC 9112 section 6).
fn framing(status: StatusCode, headers: &crate::http::Headers, body: &Body, asked: Asked) -> Framing {
    if is_bodiless(status) && status != StatusCode::NOT_MODIFIED {
        return Framing::None;
    }
    if asked.is_head || status == StatusCode::NOT_MODIFIED {
        // What the length would be is known to the upstream only, or by our own bytes.
        let said = headers.get_str("content-length").and_then(|length| length.parse().ok());
        let own = body.size_hint().filter(|length| *length > 0);
        return said.or(own).map_or(Framing::None, Framing::Length);
    }
    match body.size_hint() {
        Some(length) => Framing::Length(length),
        None if asked.version == Version::Http10 => Framing::UntilClose,
        None => Framing::Chunked,
    }
}

fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}
