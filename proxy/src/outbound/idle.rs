//! The end of a request on which nothing moves in either direction. Both bodies count what passes; only if neither count has changed for
//! the whole time is the request idle. It must not know what is done about it.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::http::{Body, BodyError, Frame, Source};

/// Is ready when nothing has moved for long enough.
pub(super) struct Idle {
    limit: Duration,
    moved: [Rc<Cell<u64>>; 2],
    seen: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Idle {
    /// Watches these two counts.
    pub(super) fn new(limit: Duration, moved: [Rc<Cell<u64>>; 2]) -> Self {
        let mut idle = Self { limit, moved, seen: 0, sleep: Box::pin(tokio::time::sleep(limit)) };
        idle.seen = idle.count();
        idle
    }

    fn count(&self) -> u64 {
        self.moved.iter().map(|moved| moved.get()).sum()
    }
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let count = self.count();
            if std::mem::replace(&mut self.seen, count) == count {
                return Poll::Ready(());
            }
            let next = Instant::now() + self.limit;
            self.sleep.as_mut().reset(next);
        }
        Poll::Pending
    }
}

/// A body that breaks off when its request is idle.
pub(super) fn watched(body: Body, idle: Idle) -> Body {
    Body::source(Box::new(Watched { body, idle }))
}

struct Watched {
    body: Body,
    idle: Idle,
}

impl Source for Watched {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match self.body.poll_next(cx) {
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => Pin::new(&mut self.idle).poll(cx).map(|()| Some(Err(BodyError::Idle))),
        }
    }

    fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }

    fn left(&self) -> Option<u64> {
        self.body.size_hint()
    }
}
