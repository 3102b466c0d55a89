//! A request as often as it is to be sent: once, or again from copies of its head and of what was read of its body, up to a bound. A
//! larger body still streams, but then the request cannot be repeated. It must not know why a request is sent again.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use mesh_traffic::retry::Replay;

use crate::http::{Body, BodyError, Frame, Headers, RequestHead, Source};

/// Pieces of fewer bytes are copied.
const SMALL: usize = 16 * 1024;

/// Pieces that are kept besides one for each so many bytes of the bound: each costs something besides its bytes.
const PIECES: u64 = 16;
const PIECE: u64 = 64;

/// A request to be sent.
pub(super) enum Supply {
    /// Once, and again only if it was handed back whole.
    Once(Option<(Box<RequestHead>, Body)>),
    /// From copies.
    Copies {
        /// As it is sent.
        head: Box<RequestHead>,
        /// The body; `None`: there is none.
        spool: Option<Rc<RefCell<Spool>>>,
    },
}

impl Supply {
    /// Can be taken once.
    pub(super) fn once(head: Box<RequestHead>, body: Body) -> Self {
        Self::Once(Some((head, body)))
    }

    /// Can be taken again while the body fits into `bound` bytes.
    pub(super) fn copies(head: Box<RequestHead>, body: Body, bound: u64) -> Self {
        if body.is_end_stream() {
            return Self::Copies { head, spool: None };
        }
        // What is known to be too large is not worth a beginning.
        if body.size_hint().is_some_and(|size| size > bound) {
            return Self::once(head, body);
        }
        Self::Copies { head, spool: Some(Rc::new(RefCell::new(Spool::new(body, bound)))) }
    }

    /// The request, if it can be sent now. Readers of earlier ones end.
    pub(super) fn take(&mut self) -> Option<(Box<RequestHead>, Body)> {
        match self {
            Self::Once(request) => request.take(),
            Self::Copies { head, spool: None } => Some((head.clone(), Body::empty())),
            Self::Copies { head, spool: Some(spool) } => {
                let reader = Spool::reader(spool)?;
                Some((head.clone(), Body::source(Box::new(reader))))
            }
        }
    }

    /// It came back whole.
    pub(super) fn give_back(&mut self, request: (Box<RequestHead>, Body)) {
        if let Self::Once(place) = self {
            *place = Some(request);
        }
    }

    /// Whether it can be sent now.
    pub(super) fn replay(&self) -> Replay {
        let possible = match self {
            Self::Once(request) => request.is_some(),
            Self::Copies { spool: None, .. } => true,
            Self::Copies { spool: Some(spool), .. } => !spool.borrow().overflowed,
        };
        if possible { Replay::Possible } else { Replay::Gone }
    }

    /// Whether it can be sent while an earlier one is still under way: all of its body is here.
    pub(super) fn replay_beside(&self) -> Replay {
        match self {
            Self::Copies { spool: None, .. } => Replay::Possible,
            Self::Copies { spool: Some(spool), .. } if spool.borrow().is_whole() => Replay::Possible,
            Self::Copies { .. } | Self::Once(_) => Replay::Gone,
        }
    }
}

/// What was read of a body, and the rest of it.
pub(super) struct Spool {
    rest: Body,
    read: Vec<Bytes>,
    bytes: u64,
    bound: u64,
    overflowed: bool,
    ended: Option<Ended>,
    /// The newest reader; only that one reads on.
    newest: u64,
}

#[derive(Clone)]
enum Ended {
    Whole(Option<Headers>),
    Broken(BodyError),
}

impl Spool {
    fn new(body: Body, bound: u64) -> Self {
        Self { rest: body, read: Vec::new(), bytes: 0, bound, overflowed: false, ended: None, newest: 0 }
    }

    fn is_whole(&self) -> bool {
        !self.overflowed && matches!(self.ended, Some(Ended::Whole(_)))
    }

    /// A reader from the beginning. `None`: the beginning is gone.
    fn reader(spool: &Rc<RefCell<Self>>) -> Option<Reader> {
        let mut this = spool.borrow_mut();
        if this.overflowed {
            return None;
        }
        this.newest += 1;
        Some(Reader { spool: Rc::clone(spool), number: this.newest, at: 0, trailers: true })
    }

    /// Reads on.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let polled = self.rest.poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(Frame::Data(data)))) => {
                self.bytes = self.bytes.saturating_add(data.len() as u64);
                let pieces = PIECES.saturating_add(self.bound / PIECE);
                if self.bytes > self.bound || self.read.len() as u64 >= pieces {
                    self.overflowed = true;
                    self.read = Vec::new();
                } else {
                    self.read.push(kept(data));
                }
                if self.rest.is_end_stream() {
                    self.ended = Some(Ended::Whole(None));
                }
            }
            Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => {
                self.ended = Some(Ended::Whole(Some(trailers.clone())));
            }
            Poll::Ready(Some(Err(error))) => self.ended = Some(Ended::Broken(*error)),
            Poll::Ready(None) if self.ended.is_none() => self.ended = Some(Ended::Whole(None)),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }
}

/// A small piece is copied: it may be a part of a buffer that is much larger.
fn kept(data: &Bytes) -> Bytes {
    if data.len() < SMALL { Bytes::copy_from_slice(data) } else { data.clone() }
}

/// Reads a spooled body from its beginning.
struct Reader {
    spool: Rc<RefCell<Spool>>,
    number: u64,
    at: usize,
    /// Whether the trailers are still to come.
    trailers: bool,
}

impl Source for Reader {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut spool = self.spool.borrow_mut();
        if let Some(data) = spool.read.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::Data(data.clone()))));
        }
        match spool.ended.clone() {
            Some(Ended::Broken(error)) => Poll::Ready(Some(Err(error))),
            Some(Ended::Whole(Some(trailers))) if std::mem::take(&mut self.trailers) => {
                Poll::Ready(Some(Ok(Frame::Trailers(trailers))))
            }
            Some(Ended::Whole(_)) => Poll::Ready(None),
            // A newer attempt reads now; what this one was for is over.
            None if self.number != spool.newest => Poll::Ready(Some(Err(BodyError::Sender))),
            None => {
                let polled = spool.poll_rest(cx);
                match &polled {
                    Poll::Ready(Some(Ok(Frame::Data(_)))) if !spool.overflowed => self.at += 1,
                    Poll::Ready(Some(Ok(Frame::Trailers(_)))) => self.trailers = false,
                    _ => {}
                }
                polled
            }
        }
    }

    fn is_end(&self) -> bool {
        let spool = self.spool.borrow();
        match &spool.ended {
            Some(Ended::Whole(trailers)) => {
                self.at >= spool.read.len() && (trailers.is_none() || !self.trailers)
            }
            Some(Ended::Broken(_)) | None => false,
        }
    }

    fn left(&self) -> Option<u64> {
        let spool = self.spool.borrow();
        let here: u64 = spool.read.iter().skip(self.at).map(|data| data.len() as u64).sum();
        match &spool.ended {
            Some(Ended::Whole(_)) => Some(here),
            Some(Ended::Broken(_)) => None,
            None => spool.rest.size_hint().map(|rest| rest + here),
        }
    }
}
