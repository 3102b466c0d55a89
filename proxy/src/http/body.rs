//! The one body type: nothing, bytes of our own, or what a peer sends. It counts what passes, ends at a deadline, and tells an
//! observer exactly once how it ended. Data is passed on as it comes; back-pressure is that of the codecs on both sides.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// Whole.
    Complete,
    /// The peer that sends it failed.
    Failed,
    /// Its deadline was over.
    TimedOut,
    /// The one who reads it lost interest.
    Dropped,
}

/// Is told what happens to a body.
pub trait Observer {
    /// Trailers pass.
    fn trailers(&mut self, trailers: &HeaderMap);
    /// The end; called exactly once.
    fn end(&mut self, end: BodyEnd);
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The peer that sends it failed.
    #[error("the sender of the body failed")]
    Sender(#[source] hyper::Error),
    /// Its deadline was over.
    #[error("the deadline of the request was over before the body")]
    Deadline,
}

#[derive(Debug)]
enum Content {
    Empty,
    Bytes(Option<Bytes>),
    Peer(Incoming),
}

/// A body.
pub struct Body {
    content: Content,
    counter: Option<Rc<Cell<u64>>>,
    observer: Option<Box<dyn Observer>>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Dropped with the body; makes the connection count it as in flight.
    active: Option<super::server::Active>,
}

impl Body {
    /// Without bytes.
    pub fn empty() -> Self {
        Self::new(Content::Empty)
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Content::Bytes(Some(bytes.into())))
    }

    /// What a peer sends.
    pub(super) fn peer(incoming: Incoming) -> Self {
        Self::new(Content::Peer(incoming))
    }

    fn new(content: Content) -> Self {
        Self { content, counter: None, observer: None, deadline: None, active: None }
    }

    /// Adds the bytes that pass to this counter.
    #[must_use]
    pub fn counted(mut self, counter: Rc<Cell<u64>>) -> Self {
        self.counter = Some(counter);
        self
    }

    /// Tells this observer what happens.
    #[must_use]
    pub fn observed(mut self, observer: Box<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Breaks off at that time.
    #[must_use]
    pub fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline.map(|at| Box::pin(tokio::time::sleep_until(at)));
        self
    }

    /// Keeps the connection's request in flight until the body is dropped.
    pub(super) fn held(mut self, active: super::server::Active) -> Self {
        self.active = Some(active);
        self
    }

    fn finish(&mut self, end: BodyEnd) {
        if let Some(mut observer) = self.observer.take() {
            observer.end(end);
        }
    }

    fn passed(&mut self, frame: &Frame<Bytes>) {
        if let (Some(data), Some(counter)) = (frame.data_ref(), &self.counter) {
            counter.set(counter.get() + data.len() as u64);
        }
        if let (Some(trailers), Some(observer)) = (frame.trailers_ref(), &mut self.observer) {
            observer.trailers(trailers);
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Peer(incoming) => Pin::new(incoming).poll_frame(cx).map_err(BodyError::Sender),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.passed(&frame);
                // The codec need not ask again after the last frame, so this may be the only chance to tell.
                if self.is_end_stream() {
                    self.finish(BodyEnd::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.finish(BodyEnd::Failed);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.finish(BodyEnd::Complete);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let over =
                    self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
                if !over {
                    return Poll::Pending;
                }
                self.finish(BodyEnd::TimedOut);
                Poll::Ready(Some(Err(BodyError::Deadline)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Bytes(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Content::Peer(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Content::Peer(incoming) => incoming.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // Our own bytes are never cut short by a peer; the codec drops them unread at HEAD.
        let whole = !matches!(self.content, Content::Peer(_)) || self.is_end_stream();
        self.finish(if whole { BodyEnd::Complete } else { BodyEnd::Dropped });
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("content", &self.content).finish_non_exhaustive()
    }
}
