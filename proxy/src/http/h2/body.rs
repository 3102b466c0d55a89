//! Bodies on HTTP/2: reading one from a stream, and sending one on a stream with the codec's back-pressure.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use mesh_http1::fields;
use mesh_http2::{Block, Gone, More, Reason};

use super::link::Handle;
use super::server::Respond;
use crate::http::body::{Polled, Source};
use crate::http::upstream::Used;
use crate::http::{Body, BodyError, Frame, Headers};

/// What a peer sends on one stream.
#[derive(Debug)]
pub(in crate::http) struct PeerBody {
    stream: Handle,
    /// As `content-length` said.
    left: Option<u64>,
    data_ended: bool,
    ended: bool,
    /// The request that still goes out on the same stream, and the place on its connection.
    request: Option<Box<(Sending, Option<Used>)>>,
    /// Where interim answers go.
    respond: Option<Respond>,
    /// The client waits for 100 before it sends.
    waits: bool,
}

impl PeerBody {
    /// `left`: as `content-length` said.
    pub(super) fn new(stream: Handle, left: Option<u64>) -> Self {
        let ended = stream.is_read();
        Self { stream, left, data_ended: ended, ended, request: None, respond: None, waits: false }
    }

    /// Interim answers go here; `waits`: the client waits for 100.
    pub(super) fn answered_by(mut self, respond: Respond, waits: bool) -> Self {
        self.respond = Some(respond);
        self.waits = waits && !self.ended;
        self
    }

    /// Tells a client that waits for it to send.
    fn go_on(&mut self) {
        let Some(respond) = self.respond.as_ref().filter(|_| self.waits) else { return };
        self.waits = false;
        inform(respond, StatusCode::CONTINUE, &Headers::new());
    }

    /// Goes on with sending the request while the answer is read; the place is free again at the end.
    pub(super) fn with_request(mut self, sending: Sending, used: Option<Used>) -> Self {
        self.request = Some(Box::new((sending, used)));
        self
    }

    fn end(&mut self) {
        self.ended = true;
        self.request = None;
    }
}

impl Source for PeerBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(request) = &mut self.request {
            // How that ends is told by the stream of the answer.
            let _ = request.0.poll(cx);
        }
        self.go_on();
        while !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    if self.stream.is_read() {
                        self.data_ended = true;
                        self.end();
                    }
                    if !data.is_empty() || self.ended {
                        return Poll::Ready(Some(Ok(Frame::Data(data))));
                    }
                }
                Some(Err(gone)) => {
                    // A server that needs no more of the request ends its answer with NO_ERROR (RFC 9113 section 8.1).
                    self.end();
                    return Poll::Ready(Some(Err(failure(gone))));
                }
                None => self.data_ended = true,
            }
        }
        let trailers = self.stream.trailers();
        self.end();
        Poll::Ready(trailers.map(|trailers| Ok(Frame::Trailers(clean(trailers)))))
    }

    fn is_end(&self) -> bool {
        self.ended
    }

    fn left(&self) -> Option<u64> {
        if self.ended { Some(0) } else { self.left }
    }
}

/// Sends an interim answer.
pub(in crate::http) fn inform(respond: &Respond, status: StatusCode, headers: &Headers) {
    let sent = respond.send_block(More::Follows, |fields| {
        fields.put(b":status", status.as_str().as_bytes());
        headers.put(fields, |_| false);
    });
    if let Err(gone) = sent {
        tracing::debug!(?gone, %status, "an interim answer was not sent");
    }
}

fn failure(gone: Gone) -> BodyError {
    match gone {
        Gone::Violation => BodyError::Protocol,
        Gone::Reset(_) | Gone::Cancelled | Gone::Unprocessed | Gone::Closed => BodyError::Sender,
    }
}

/// Trailers without those that have no place there (RFC 9110 section 6.5.1).
fn clean(trailers: Block) -> Headers {
    let mut trailers = Headers::from_vectors(trailers.bytes, trailers.fields);
    trailers.remove_where(|name| fields::is_forbidden_trailer(name.as_bytes()));
    trailers
}

/// A body on its way out.
#[derive(Debug)]
pub(in crate::http) struct Sending {
    stream: Handle,
    body: Body,
    /// What was taken from the body and waits for room.
    piece: Bytes,
    last: bool,
    /// Whether a piece of the body was taken.
    pub(super) consumed: bool,
    /// Bytes that are the codec's.
    sent: u64,
    done: bool,
}

/// Why a body was not sent to its end.
#[derive(Debug)]
pub(in crate::http) enum Unsent {
    /// The body itself broke off; the stream was reset.
    Body(BodyError),
    /// The peer wants no more of it.
    Peer,
}

impl Sending {
    pub(super) fn new(stream: Handle, body: Body, done: bool) -> Self {
        Self { stream, body, piece: Bytes::new(), last: false, consumed: false, sent: 0, done }
    }

    /// The body, if nothing of it was read.
    pub(super) fn into_body(self) -> Option<Body> {
        let mut this = self;
        (!this.consumed).then(|| std::mem::replace(&mut this.body, Body::empty()))
    }

    /// Sends as much as goes; ready once all of it is the codec's.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        while !self.done {
            if !self.piece.is_empty() {
                ready!(self.send_piece(cx))?;
                continue;
            }
            match self.body.poll_next(cx) {
                Poll::Pending => {
                    // The peer may lose interest meanwhile.
                    return match self.stream.poll_gone(cx) {
                        Poll::Ready(_) => self.deaf(),
                        Poll::Pending => Poll::Pending,
                    };
                }
                Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                    self.consumed = true;
                    self.last = self.body.is_end_stream();
                    self.piece = data;
                    if self.piece.is_empty() && self.last {
                        self.finish()?;
                    }
                }
                Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                    self.consumed = true;
                    self.done = true;
                    let sent = self.stream.send_block(More::Nothing, |fields| {
                        trailers.put(fields, |_| false);
                    });
                    if sent.is_err() {
                        return self.deaf();
                    }
                }
                Poll::Ready(None) => self.finish()?,
                Poll::Ready(Some(Err(error))) => {
                    self.done = true;
                    let reason = match error {
                        BodyError::Deadline | BodyError::Idle | BodyError::TooLarge | BodyError::Cut(_) => {
                            Reason::CANCEL
                        }
                        BodyError::Sender | BodyError::Protocol => Reason::INTERNAL_ERROR,
                    };
                    self.stream.reset(reason);
                    return Poll::Ready(Err(Unsent::Body(error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// After it was polled and is not ready: bytes sent so far, if more wait for the peer to make room.
    pub(super) fn waits(&self) -> Option<u64> {
        (!self.piece.is_empty()).then_some(self.sent)
    }

    fn send_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unsent>> {
        let Ok(room) = ready!(self.stream.poll_room(cx)) else { return self.deaf() };
        let part = self.piece.split_to(room.min(self.piece.len()));
        self.done = self.last && self.piece.is_empty();
        self.sent += part.len() as u64;
        let more = if self.done { More::Nothing } else { More::Follows };
        if self.stream.send_data(part, more).is_err() {
            return self.deaf();
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) -> Result<(), Unsent> {
        self.done = true;
        self.stream.send_data(Bytes::new(), More::Nothing).map_err(|_| Unsent::Peer)
    }

    fn deaf(&mut self) -> Poll<Result<(), Unsent>> {
        self.done = true;
        Poll::Ready(Err(Unsent::Peer))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.done {
            self.stream.reset(Reason::CANCEL);
        }
    }
}
