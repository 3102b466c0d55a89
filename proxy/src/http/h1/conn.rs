//! What the server of one connection shares with the body of the request under way: the socket and the state of both directions.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::http::StatusCode;
use mesh_http1::encode::{self, Connection};
use mesh_http1::{Framing, RequestLine, Scan, Version};

use super::incoming::Incoming;
use super::out::Out;
use super::{FIELDS, LIMITS};
use crate::http::body::{Polled, Source};
use crate::http::io::Io;
use crate::http::{BadHead, Headers, RequestHead};
use crate::net::Stream;

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Conn(pub(super) RefCell<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) io: Io,
    pub(super) out: Out,
    pub(super) incoming: Incoming,
    /// The client waits for 100 before it sends the body.
    pub(super) wants_continue: bool,
    version: Version,
    /// The head of the final answer was written.
    pub(super) answering: bool,
    /// Counts requests: a body that outlives its request must not read the next one.
    request: u64,
    scan: Scan,
}

/// A request's head with what only the server needs to know.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) head: Result<Box<RequestHead>, BadHead>,
    pub(super) line: Option<RequestLine>,
}

/// What comes of waiting for a head.
#[derive(Debug)]
pub(super) enum Arrival {
    Head(Box<Received>),
    /// The client closed between requests.
    Closed,
    Broken(io::Error),
}

impl Conn {
    pub(super) fn new(stream: Stream) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Inner {
            io: Io::new(stream),
            out: Out::default(),
            incoming: Incoming::Done,
            wants_continue: false,
            version: Version::Http11,
            answering: false,
            request: 0,
            scan: Scan::new(),
        })))
    }

    /// The body of the request whose head was read last.
    pub(super) fn body(self: &Rc<Self>) -> RequestBody {
        RequestBody { conn: Rc::clone(self), request: self.0.borrow().request }
    }

    /// The way back for interim answers to it.
    pub(super) fn informed(self: &Rc<Self>) -> Informed {
        Informed { conn: Rc::clone(self), request: self.0.borrow().request }
    }

    /// Bytes read so far, and whether some of them are unused.
    pub(super) fn count(&self) -> (u64, bool) {
        let inner = self.0.borrow();
        (inner.io.count, !inner.io.read.is_empty())
    }
}

impl Inner {
    /// Reads the next head. What is buffered is used first.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        loop {
            if !self.io.read.is_empty() {
                let parsed = FIELDS.with_borrow_mut(|fields| {
                    match self.scan.request(&self.io.read, &LIMITS, fields) {
                        Ok(Some(line)) => Some((
                            RequestHead::from_http1(&line, &self.io.read, fields).map(Box::new),
                            Some(line),
                        )),
                        Ok(None) => None,
                        Err(refusal) => Some((Err(refusal), None)),
                    }
                });
                if let Some((head, line)) = parsed {
                    return Poll::Ready(Arrival::Head(Box::new(
                        self.begin(head.map_err(BadHead::from), line),
                    )));
                }
            }
            match ready!(self.io.poll_fill(cx)) {
                Ok(0) if self.io.read.is_empty() => return Poll::Ready(Arrival::Closed),
                Ok(0) => return Poll::Ready(Arrival::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Arrival::Broken(error)),
            }
        }
    }

    fn begin(&mut self, head: Result<Box<RequestHead>, BadHead>, line: Option<RequestLine>) -> Received {
        self.request += 1;
        self.answering = false;
        self.scan = Scan::new();
        if let Some(line) = &line {
            drop(self.io.split(line.len));
            self.incoming = Incoming::new(line.framing, &LIMITS);
            self.wants_continue = line.expect_continue && !self.incoming.is_done();
            self.version = line.version;
        }
        self.io.rest();
        Received { head, line }
    }

    /// Beside a request under way: writes what waits, and looks whether the client is still there. Ready when it is not. What it
    /// sends ahead of need is kept, up to one buffer.
    pub(super) fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.out.is_empty()
            && let Poll::Ready(Err(error)) = self.out.poll_flush(&mut self.io.stream, cx)
        {
            return Poll::Ready(error);
        }
        while self.incoming.is_done() && !self.io.eof && self.io.read.len() < LIMITS.head_bytes {
            match ready!(self.io.poll_fill(cx)) {
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
        Poll::Pending
    }

    /// Bytes that moved so far, both ways.
    pub(super) fn moved(&self) -> u64 {
        self.io.count + self.out.count()
    }

    /// What a writer waits for, and how far it is: bytes written while some wait for the client to take them, else bytes moved.
    pub(super) fn progress(&self) -> (Waits, u64) {
        if self.out.is_empty() { (Waits::Body, self.moved()) } else { (Waits::Client, self.out.count()) }
    }

    /// Passes an interim answer on, if the client can read it and nothing of the final one was written yet.
    fn interim(&mut self, status: StatusCode, headers: &Headers) {
        if self.version == Version::Http10 {
            return;
        }
        let fields = headers.raw();
        let written = encode::response_head(
            self.out.text(),
            status.as_u16(),
            fields,
            Framing::None,
            Connection::KeepAlive,
            Version::Http11,
        );
        if let Err(error) = written {
            tracing::debug!(%error, %status, "an interim answer cannot be written");
        }
    }
}

/// Whom an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// The one who gives its body.
    Body,
    /// The client.
    Client,
}

/// The body of a request, read from the connection by whoever wants it.
#[derive(Debug)]
pub(in crate::http) struct RequestBody {
    conn: Rc<Conn>,
    request: u64,
}

/// The way to the client of one request, for interim answers.
#[derive(Clone)]
pub(in crate::http) struct Informed {
    conn: Rc<Conn>,
    request: u64,
}

impl Informed {
    pub(in crate::http) fn send(&self, status: StatusCode, headers: &Headers) {
        let mut inner = self.conn.0.borrow_mut();
        if inner.request == self.request && !inner.answering {
            inner.interim(status, headers);
        }
    }
}

impl Source for RequestBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        let mut inner = self.conn.0.borrow_mut();
        let inner = &mut *inner;
        if inner.request != self.request {
            return Incoming::Broken.poll_frame(&mut inner.io, cx);
        }
        if std::mem::take(&mut inner.wants_continue) {
            inner.out.text().extend_from_slice(encode::CONTINUE);
            // What cannot be written now is written by the one who waits for the answer.
            let _ = inner.out.poll_flush(&mut inner.io.stream, cx);
        }
        inner.incoming.poll_frame(&mut inner.io, cx)
    }

    fn is_end(&self) -> bool {
        let inner = self.conn.0.borrow();
        inner.request == self.request && inner.incoming.is_done()
    }

    fn left(&self) -> Option<u64> {
        let inner = self.conn.0.borrow();
        if inner.request == self.request { inner.incoming.left() } else { None }
    }
}
