//! One request on one connection to an upstream: the request goes out while the answer comes in, in the caller's own task.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::http::{Method, StatusCode};
use mesh_http1::encode::{self, Connection, Line, Unwritable};
use mesh_http1::{Framing, ResponseLine, Scan};

use super::incoming::Incoming;
use super::out::Out;
use super::{FIELDS, LIMITS};
use crate::http::body::{Content, Polled, Source};
use crate::http::io::Io;
use crate::http::upstream::{INTERIMS, Open, Seen, Upstream};
use crate::http::{Body, BodyError, Frame, Headers, RequestHead, Response, Upgrade};
use crate::net::Stream;
use crate::telemetry::Failure;

/// A connection between two requests.
#[derive(Debug)]
pub(in crate::http) struct Idle {
    io: Io,
    place: Open,
    used: bool,
}

impl Idle {
    pub(in crate::http) fn new(stream: Stream, place: Open) -> Self {
        Self { io: Io::new(stream), place, used: false }
    }

    /// Whether it can take a request: the peer has neither closed it nor sent anything.
    pub(in crate::http) fn is_good(&mut self, cx: &mut Context<'_>) -> bool {
        self.io.read.is_empty() && !self.io.eof && self.io.poll_fill(cx).is_pending()
    }
}

/// A request on its way.
#[derive(Debug)]
pub(in crate::http) struct Exchange {
    upstream: Rc<Upstream>,
    io: Io,
    place: Option<Open>,
    used: bool,
    out: Out,
    head: Box<RequestHead>,
    body: Body,
    sending: Sending,
    /// Whether a piece of the body was taken.
    consumed: bool,
    scan: Scan,
    /// Interim answers so far.
    interims: usize,
}

/// What is still to be sent.
#[derive(Debug)]
enum Sending {
    Length(u64),
    Chunked,
    Done,
    /// The connection takes nothing more; there may still be an answer.
    Deaf(io::Error),
    /// The body broke off: the upstream must not take what it got for the whole.
    Broken(BodyError),
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::http) enum Failed {
    /// Nothing left: another connection can take it.
    Unsent(Box<(Box<RequestHead>, Body)>),
    /// It may have been seen.
    Upstream { failure: Failure, seen: Seen, back: Option<Box<(Box<RequestHead>, Body)>> },
    /// The request's own body broke off.
    Body(BodyError),
}

impl Exchange {
    /// Writes the head to the buffer; [`Exchange::poll_answer`] sends it.
    pub(in crate::http) fn begin(
        upstream: Rc<Upstream>,
        idle: Idle,
        head: Box<RequestHead>,
        body: Body,
    ) -> Result<Box<Self>, Box<(Unwritable, Idle)>> {
        // Its answer would make a tunnel of a connection that the next request takes for one of HTTP.
        if head.method == Method::CONNECT {
            return Err(Box::new((Unwritable::Method, idle)));
        }
        let mut out = Out::default();
        let framing = framing(&head.method, &body);
        if let Err(error) = write_head(out.text(), &head, framing) {
            return Err(Box::new((error, idle)));
        }
        let sending = match framing {
            Framing::Length(0) | Framing::None | Framing::UntilClose => Sending::Done,
            Framing::Length(length) => Sending::Length(length),
            Framing::Chunked => Sending::Chunked,
        };
        let Idle { io, place, used } = idle;
        Ok(Box::new(Self {
            upstream,
            io,
            place: Some(place),
            used,
            out,
            head,
            body,
            sending,
            consumed: false,
            scan: Scan::new(),
            interims: 0,
        }))
    }

    /// Sends, and waits for the head of the answer. Interim answers are passed on.
    pub(in crate::http) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseLine, Gone>> {
        loop {
            self.poll_send(cx);
            if let Sending::Broken(error) = self.sending {
                return Poll::Ready(Err(Gone::Body(error)));
            }
            if !self.io.read.is_empty() {
                match self.parse() {
                    Ok(Some(line)) if is_interim(line.status) && self.interims < INTERIMS => {
                        self.interims += 1;
                        self.interim(&line);
                        continue;
                    }
                    // A storm of them, or a change of protocol that nobody asked for: then nobody knows what follows.
                    Ok(Some(line))
                        if is_interim(line.status) || (line.status == 101 && !self.may_change()) =>
                    {
                        tracing::debug!(status = line.status, "an answer has no place here");
                        return Poll::Ready(Err(Gone::Protocol));
                    }
                    Ok(Some(line)) => return Poll::Ready(Ok(line)),
                    Ok(None) => {}
                    Err(refusal) => {
                        tracing::debug!(%refusal, "an answer cannot be read");
                        return Poll::Ready(Err(Gone::Protocol));
                    }
                }
            }
            match ready!(self.io.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(Err(Gone::Closed(io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Gone::Closed(error))),
            }
        }
    }

    /// Whether the protocol may change now: that was asked for, and all of the request has left.
    fn may_change(&self) -> bool {
        self.head.upgrade.is_some() && matches!(self.sending, Sending::Done) && self.out.is_empty()
    }

    fn parse(&mut self) -> Result<Option<ResponseLine>, mesh_http1::Refusal> {
        FIELDS.with_borrow_mut(|fields| self.scan.response(&self.io.read, &self.head.method, &LIMITS, fields))
    }

    /// The fields that [`Exchange::parse`] found last.
    fn headers(&self, line: &ResponseLine) -> Headers {
        let head = self.io.read.get(..line.len).unwrap_or_default();
        FIELDS.with_borrow(|fields| Headers::from_lines(head, fields.iter().copied()))
    }

    fn interim(&mut self, line: &ResponseLine) {
        let headers = self.headers(line);
        drop(self.io.split(line.len));
        self.scan = Scan::new();
        if let Ok(status) = StatusCode::from_u16(line.status) {
            self.head.interim.send(status, &headers);
        }
    }

    /// Sends as much as goes.
    fn poll_send(&mut self, cx: &mut Context<'_>) {
        loop {
            // The head waits for the first piece of the body, if that is there: one write for both.
            if self.out.is_due() || !self.takes_more() {
                match self.out.poll_flush(&mut self.io.stream, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return self.deaf(error),
                    Poll::Pending => return,
                }
            }
            if !self.takes_more() {
                return;
            }
            match self.body.poll_next(cx) {
                Poll::Ready(Some(Ok(frame))) => self.take(frame),
                Poll::Ready(None) => self.end(),
                Poll::Ready(Some(Err(error))) => self.sending = Sending::Broken(error),
                Poll::Pending => {
                    if let Poll::Ready(Err(error)) = self.out.poll_flush(&mut self.io.stream, cx) {
                        self.deaf(error);
                    }
                    return;
                }
            }
        }
    }

    fn takes_more(&self) -> bool {
        matches!(self.sending, Sending::Length(_) | Sending::Chunked)
    }

    fn deaf(&mut self, error: io::Error) {
        self.sending = Sending::Deaf(error);
    }

    fn take(&mut self, frame: Frame) {
        self.consumed = true;
        match (frame, &mut self.sending) {
            (Frame::Data(data), _) if data.is_empty() => {}
            (Frame::Data(data), Sending::Length(left)) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    if rest == 0 {
                        self.sending = Sending::Done;
                    }
                    self.out.data(data, b"");
                }
                None => self.sending = Sending::Broken(BodyError::Protocol),
            },
            (Frame::Data(data), _) => {
                encode::chunk_head(self.out.text(), data.len());
                self.out.data(data, encode::CHUNK_END);
            }
            (Frame::Trailers(trailers), Sending::Chunked) => {
                let text = self.out.text();
                if let Err(error) = encode::last_chunk(text, trailers.raw()) {
                    tracing::debug!(%error, "trailers cannot be written");
                    text.extend_from_slice(b"0\r\n\r\n");
                }
                self.sending = Sending::Done;
            }
            (Frame::Trailers(_), _) => self.end(),
        }
    }

    fn end(&mut self) {
        match self.sending {
            Sending::Length(1..) => self.sending = Sending::Broken(BodyError::Sender),
            Sending::Chunked => {
                self.out.text().extend_from_slice(b"0\r\n\r\n");
                self.sending = Sending::Done;
            }
            _ => self.sending = Sending::Done,
        }
    }

    /// What to tell the caller. The connection is not used again.
    pub(in crate::http) fn failed(self: Box<Self>, gone: Gone) -> Failed {
        let answered = !self.io.read.is_empty();
        let back = |this: Self| (!this.consumed).then(|| Box::new((this.head, this.body)));
        let (used, sent) = (self.used, self.out.count() > 0);
        let error = match gone {
            Gone::Body(error) => return Failed::Body(error),
            Gone::Protocol => {
                let failure = Failure::UpstreamProtocol;
                return Failed::Upstream { failure, seen: Seen::Perhaps, back: None };
            }
            // The write's error says more than the end of the stream that follows it.
            Gone::Closed(error) => match &self.sending {
                Sending::Deaf(first) if refused_certificate(first) => io::Error::other(Refused),
                _ => error,
            },
        };
        tracing::debug!(%error, "no answer from upstream");
        if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Refused>)
            || refused_certificate(&error)
        {
            return Failed::Upstream { failure: Failure::TlsFailed, seen: Seen::No, back: back(*self) };
        }
        let seen = if used && !answered { Seen::Unlikely } else { Seen::Perhaps };
        match back(*self) {
            Some(back) if used && !sent => Failed::Unsent(back),
            back => Failed::Upstream { failure: Failure::UpstreamReset, seen, back },
        }
    }

    /// The answer whose head was read, and what the connection becomes at 101.
    pub(in crate::http) fn answer(mut self: Box<Self>, line: &ResponseLine) -> (Response, Option<Upgrade>) {
        let mut headers = self.headers(line);
        let status = StatusCode::from_u16(line.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let changes = status == StatusCode::SWITCHING_PROTOCOLS && self.head.upgrade.is_some();
        if let Some(protocol) = line.upgrade.filter(|_| changes) {
            // A span of the head that the codec has checked.
            let _ = headers.set("upgrade", protocol.of(&self.io.read));
        }
        if let (Framing::None, Some(length)) = (line.framing, line.content_length) {
            headers.set("content-length", length.to_string().as_bytes()).expect("digits are a value");
        }
        drop(self.io.split(line.len));
        if changes {
            let this = *self;
            let upgrade = Upgrade::ready(this.io.into_stream(), this.place);
            return (Response { status, headers, body: Body::empty() }, Some(upgrade));
        }
        let body = ResponseBody {
            incoming: Incoming::new(line.framing, &LIMITS),
            keep_alive: line.keep_alive,
            exchange: Some(self),
        };
        (Response { status, headers, body: body.into_body() }, None)
    }

    /// Gives the connection back, if another request can use it.
    fn release(mut self: Box<Self>, keep_alive: bool) {
        let whole = matches!(self.sending, Sending::Done) && self.out.is_empty();
        if keep_alive && whole && self.io.read.is_empty() && !self.io.eof {
            self.io.rest();
            let Self { upstream, io, place, .. } = *self;
            if let Some(place) = place {
                upstream.put_idle(Idle { io, place, used: true });
            }
        }
    }
}

/// Marks a certificate that the peer refused.
#[derive(Debug, thiserror::Error)]
#[error("the peer refused our certificate")]
struct Refused;

/// How the wait for an answer ended.
#[derive(Debug)]
pub(in crate::http) enum Gone {
    Closed(io::Error),
    Protocol,
    Body(BodyError),
}

/// The body of an answer. Reading it goes on with sending the request, where that is not done.
#[derive(Debug)]
pub(in crate::http) struct ResponseBody {
    exchange: Option<Box<Exchange>>,
    incoming: Incoming,
    keep_alive: bool,
}

impl ResponseBody {
    fn into_body(mut self) -> Body {
        if self.incoming.is_done() {
            self.finish();
            return Body::empty();
        }
        Body::new(Content::Http1Answer(Box::new(self)))
    }

    fn finish(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.release(self.keep_alive);
        }
    }
}

impl Source for ResponseBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        exchange.poll_send(cx);
        let frame = match (self.incoming.poll_frame(&mut exchange.io, cx), &exchange.sending) {
            (Poll::Ready(frame), _) => frame,
            // The upstream may wait for ever for the rest of the request.
            (Poll::Pending, Sending::Broken(_)) => Some(Err(BodyError::Sender)),
            (Poll::Pending, _) => return Poll::Pending,
        };
        if self.incoming.is_done() {
            self.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end(&self) -> bool {
        self.incoming.is_done()
    }

    fn left(&self) -> Option<u64> {
        self.incoming.left()
    }
}

fn is_interim(status: u16) -> bool {
    status < 200 && status != 101
}

/// With TLS 1.3 the server refuses our certificate only after our side of the handshake is done.
fn refused_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| matches!(inner.downcast_ref(), Some(rustls::Error::AlertReceived(_))))
}

/// How the upstream is told where the request ends (RFC 9112 section 6.3).
fn framing(method: &Method, body: &Body) -> Framing {
    match body.size_hint() {
        // Where content is usual its absence is said.
        Some(0) if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Framing::Length(0),
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    }
}

fn write_head(text: &mut Vec<u8>, head: &RequestHead, framing: Framing) -> Result<(), Unwritable> {
    let target =
        if head.method == Method::OPTIONS && head.target.path() == "*" { "*" } else { head.target.as_str() };
    let line = Line {
        method: head.method.as_str().as_bytes(),
        target: target.as_bytes(),
        authority: head.authority.as_bytes(),
    };
    let connection = match &head.upgrade {
        Some(protocol) => Connection::Upgrade(protocol.as_bytes()),
        None => Connection::KeepAlive,
    };
    encode::request_head(text, line, head.headers.raw(), framing, connection)
}
