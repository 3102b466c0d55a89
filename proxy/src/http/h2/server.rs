//! The server of one connection: its streams are driven by the connection's own task, beside its deadlines and the wish to end.

mod stream;

pub(in crate::http) use self::stream::Respond;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mesh_http2::{Block, Ended, Reason};
use tokio_util::sync::WaitForCancellationFuture;

use super::alive::Alive;
use super::link::{Driver, Handle};
use crate::config::Timeouts;
use crate::http::deadline::Deadline;
use crate::http::{Handler, ServeEnd, ServerOptions};
use crate::net::Stream;

/// Serves until the connection ends.
pub(in crate::http) async fn serve<H: Handler>(
    stream: Stream,
    handler: Rc<H>,
    options: &ServerOptions,
) -> ServeEnd {
    let token = options.tasks.token();
    let stall = options.timeouts.stall;
    let mut server = Server {
        alive: Alive::new(options.timeouts.pool_idle, options.timeouts.head),
        driver: Driver::server(stream, options.limits.streams_accepted),
        streams: FuturesUnordered::new(),
        start: |block, stream| stream::serve(Rc::clone(&handler), block, stream, stall),
        timeouts: options.timeouts,
        deadline: Deadline::never(),
        seen: None,
        state: State::Greeting,
    };
    server.deadline.set_after(options.timeouts.head);
    let mut stop = pin!(token.cancelled());
    poll_fn(|cx| server.poll(stop.as_mut(), cx)).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The client has not said which HTTP/2 it speaks.
    Greeting,
    Open,
    /// GOAWAY was sent, because the proxy ends or the connection was idle.
    Ending,
    Idled,
    Flooded,
}

struct Server<F, S> {
    driver: Driver,
    streams: FuturesUnordered<F>,
    start: S,
    timeouts: Timeouts,
    deadline: Deadline,
    alive: Alive,
    /// Whether streams were open, and how many bytes had moved, at the last look.
    seen: Option<(bool, u64)>,
    state: State,
}

impl<F, S> Server<F, S>
where
    F: Future<Output = ()>,
    S: Fn(Block, Handle) -> F,
{
    fn poll(
        &mut self,
        stop: Pin<&mut WaitForCancellationFuture<'_>>,
        cx: &mut Context<'_>,
    ) -> Poll<ServeEnd> {
        self.driver.attend();
        if matches!(self.state, State::Open | State::Greeting) && stop.poll(cx).is_ready() {
            self.state = State::Ending;
            self.driver.link().codec().leave();
        }
        self.poll_streams(cx);
        if self.driver.is_flooded() && self.state != State::Flooded {
            self.state = State::Flooded;
            self.driver.link().codec().abort(Reason::ENHANCE_YOUR_CALM);
        }
        let sent = self.driver.poll_send(cx);
        // Nothing more is read then, so the end of the connection is that of this write.
        if let Some(end) = self.ended() {
            return Poll::Ready(end);
        }
        if sent.is_ready() && self.driver.link().codec().is_done() {
            let idled = self.state == State::Idled;
            return self
                .driver
                .poll_shutdown(cx)
                .map(|()| if idled { ServeEnd::Idle } else { ServeEnd::Closed });
        }
        self.poll_deadlines(cx)
    }

    /// Takes new streams and drives the open ones, until none of them gets on.
    fn poll_streams(&mut self, cx: &mut Context<'_>) {
        loop {
            let mut moved = self.driver.poll_receive(cx);
            loop {
                let accepted = self.driver.link().codec().accept();
                let Some((id, block)) = accepted else { break };
                let stream = Handle::new(self.driver.link(), id);
                self.streams.push((self.start)(block, stream));
            }
            while let Poll::Ready(Some(())) = self.streams.poll_next_unpin(cx) {
                moved = true;
            }
            if !moved || self.driver.is_due() {
                return;
            }
        }
    }

    fn ended(&self) -> Option<ServeEnd> {
        let ended = self.driver.link().codec().ended()?;
        Some(match ended {
            Ended::ByUs(Reason::ENHANCE_YOUR_CALM) => ServeEnd::Flooded,
            Ended::ByUs(reason) => ServeEnd::Protocol(Box::new(Violation(reason))),
            Ended::Broken => match self.driver.link().error() {
                Some(error) => ServeEnd::Broken(io::Error::new(error.kind(), error.to_string())),
                None => ServeEnd::Closed,
            },
        })
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<ServeEnd> {
        if self.state == State::Greeting && self.driver.link().codec().is_settled() {
            self.state = State::Open;
        }
        // Tunnels have a task of their own, so a stream may be open without being among ours.
        let busy = !self.streams.is_empty() || self.driver.link().codec().has_streams();
        let now = (busy, self.driver.moved());
        if self.seen != Some(now) && self.state != State::Greeting {
            self.seen = Some(now);
            if self.state != State::Idled {
                self.deadline.set_after(if busy { self.timeouts.tunnel_idle } else { self.timeouts.idle });
            }
        }
        while self.deadline.poll(cx).is_ready() {
            if self.state == State::Greeting {
                return Poll::Ready(ServeEnd::HeadTimeout);
            }
            if busy || self.state == State::Idled {
                return Poll::Ready(ServeEnd::Idle);
            }
            self.state = State::Idled;
            self.driver.link().codec().leave();
            self.deadline.set_after(self.timeouts.head);
        }
        self.alive.poll(&self.driver, cx).map(|()| ServeEnd::Broken(io::ErrorKind::TimedOut.into()))
    }
}

/// What a client did not keep to.
#[derive(Debug, thiserror::Error)]
#[error("the client does not keep to HTTP/2: {0}")]
struct Violation(Reason);
