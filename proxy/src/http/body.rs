//! The one body type: nothing, bytes of our own, or what a peer sends. It counts what passes, has bounds and deadlines, and tells an
//! observer exactly once how it ended. Data is passed on as it comes; back-pressure is that of the codecs on both sides.

mod source;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

pub(super) use self::source::Content;
pub use self::source::Source;
use super::{Cut, Headers};
use crate::telemetry::Failure;

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// Whole.
    Complete,
    /// The peer that sends it failed.
    Failed,
    /// Its deadline was over, or its sender paused for too long.
    TimedOut,
    /// It is larger than allowed.
    TooLarge,
    /// It is allowed no longer.
    Cut(Failure),
    /// The one who reads it lost interest.
    Dropped,
}

/// Is told what happens to a body.
pub trait Observer {
    /// Trailers pass.
    fn trailers(&mut self, trailers: &Headers);
    /// The end; called exactly once.
    fn end(&mut self, end: BodyEnd);
}

/// Why a body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The peer that sends it failed.
    #[error("the sender of the body failed")]
    Sender,
    /// The peer that sends it broke its protocol.
    #[error("the sender of the body broke its protocol")]
    Protocol,
    /// Its deadline was over.
    #[error("the deadline of the request was over before the body")]
    Deadline,
    /// Nothing of it came for too long.
    #[error("nothing of the body came for too long")]
    Idle,
    /// It is larger than allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// It is allowed no longer.
    #[error("the request is allowed no longer")]
    Cut(Failure),
}

impl BodyError {
    fn end(self) -> BodyEnd {
        match self {
            Self::Sender | Self::Protocol => BodyEnd::Failed,
            Self::Deadline | Self::Idle => BodyEnd::TimedOut,
            Self::TooLarge => BodyEnd::TooLarge,
            Self::Cut(failure) => BodyEnd::Cut(failure),
        }
    }
}

/// A piece of a body.
#[derive(Debug)]
pub enum Frame {
    /// Bytes.
    Data(Bytes),
    /// The fields after it; nothing follows.
    Trailers(Headers),
}

/// What next to poll a body for.
pub(super) type Polled = Poll<Option<Result<Frame, BodyError>>>;

/// A body.
pub struct Body {
    content: Content,
    counter: Option<Rc<Cell<u64>>>,
    observer: Option<Box<dyn Observer>>,
    bounds: Option<Box<Bounds>>,
}

/// Bounds, which few bodies have.
#[derive(Default)]
struct Bounds {
    deadline: Option<Pin<Box<Sleep>>>,
    idle: Option<(Duration, Pin<Box<Sleep>>)>,
    left: Option<u64>,
    cut: Option<Rc<Cut>>,
}

impl Bounds {
    /// Whether what passes is still within the bound on bytes.
    fn takes(&mut self, bytes: usize) -> bool {
        match &mut self.left {
            Some(left) => match left.checked_sub(bytes as u64) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => false,
            },
            None => true,
        }
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> Option<BodyError> {
        if let Some(Poll::Ready(failure)) = self.cut.as_ref().map(|cut| cut.poll(cx)) {
            return Some(BodyError::Cut(failure));
        }
        if self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            return Some(BodyError::Deadline);
        }
        let idle = self.idle.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready());
        idle.then_some(BodyError::Idle)
    }

    fn moved(&mut self) {
        if let Some((limit, sleep)) = &mut self.idle {
            sleep.as_mut().reset(Instant::now() + *limit);
        }
    }
}

impl Body {
    /// Without bytes.
    pub fn empty() -> Self {
        Self::new(Content::Empty)
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Content::Bytes(bytes.into()))
    }

    /// What this source gives.
    pub fn source(source: Box<dyn Source>) -> Self {
        Self::new(Content::Source(source))
    }

    pub(super) fn new(content: Content) -> Self {
        Self { content, counter: None, observer: None, bounds: None }
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
        if let Some(at) = deadline {
            self.bounds().deadline = Some(Box::pin(tokio::time::sleep_until(at)));
        }
        self
    }

    /// Breaks off when nothing comes for so long while it is asked for.
    #[must_use]
    pub fn idle(mut self, limit: Duration) -> Self {
        self.bounds().idle = Some((limit, Box::pin(tokio::time::sleep(limit))));
        self
    }

    /// Breaks off with [`BodyError::TooLarge`] when more than `max` bytes come.
    #[must_use]
    pub fn limited(mut self, max: u64) -> Self {
        self.bounds().left = Some(max);
        self
    }

    /// Breaks off when that is given.
    #[must_use]
    pub fn revocable(mut self, cut: Rc<Cut>) -> Self {
        self.bounds().cut = Some(cut);
        self
    }

    fn bounds(&mut self) -> &mut Bounds {
        self.bounds.get_or_insert_default()
    }

    /// The next piece; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Frame, BodyError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next piece; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let cut = self.bounds.as_ref().and_then(|bounds| bounds.cut.as_ref()?.given());
        if let Some(error) = cut.map(BodyError::Cut) {
            self.finish(error.end());
            return Poll::Ready(Some(Err(error)));
        }
        match self.content.poll(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.passed(frame))),
            Poll::Ready(Some(Err(error))) => {
                self.finish(error.end());
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.finish(BodyEnd::Complete);
                Poll::Ready(None)
            }
            Poll::Pending => match self.bounds.as_mut().and_then(|bounds| bounds.is_over(cx)) {
                None => Poll::Pending,
                Some(error) => {
                    self.finish(error.end());
                    Poll::Ready(Some(Err(error)))
                }
            },
        }
    }

    fn passed(&mut self, frame: Frame) -> Result<Frame, BodyError> {
        match &frame {
            Frame::Data(data) => {
                if let Some(bounds) = &mut self.bounds {
                    bounds.moved();
                    if !bounds.takes(data.len()) {
                        self.finish(BodyEnd::TooLarge);
                        return Err(BodyError::TooLarge);
                    }
                }
                if let Some(counter) = &self.counter {
                    counter.set(counter.get() + data.len() as u64);
                }
            }
            Frame::Trailers(trailers) => {
                if let Some(observer) = &mut self.observer {
                    observer.trailers(trailers);
                }
            }
        }
        // Nobody need ask again after the last frame, so this may be the only chance to tell.
        if self.is_end_stream() {
            self.finish(BodyEnd::Complete);
        }
        Ok(frame)
    }

    fn finish(&mut self, end: BodyEnd) {
        if let Some(mut observer) = self.observer.take() {
            observer.end(end);
        }
    }

    /// Whether it is known that nothing more comes.
    pub fn is_end_stream(&self) -> bool {
        self.content.is_end()
    }

    /// How many bytes are still to come, where that is known.
    pub fn size_hint(&self) -> Option<u64> {
        self.content.left()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // Our own bytes are never cut short by a peer; the codec drops them unread at HEAD.
        let whole = !self.content.is_foreign() || self.is_end_stream();
        self.finish(if whole { BodyEnd::Complete } else { BodyEnd::Dropped });
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("left", &self.size_hint()).finish_non_exhaustive()
    }
}
