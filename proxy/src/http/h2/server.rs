//! The server of one connection: its streams are driven by the connection's own task, beside its deadlines and the wish to end.

mod stream;

pub(in crate::http) use self::stream::Respond;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use ::h2::{Reason, server};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::WaitForCancellationFuture;

use super::client::Alive;
use super::meter::{Gauge, Metered};
use super::{CONNECTION_WINDOW, RESETS, SEND_BUFFER, STREAM_WINDOW};
use crate::config::{HEAD_BYTES, Timeouts};
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
    let (io, gauge) = Metered::server(stream);
    let handshake = builder(options).handshake(io);
    let mut connection = match tokio::time::timeout(options.timeouts.head, handshake).await {
        Err(_) => return ServeEnd::HeadTimeout,
        Ok(Err(error)) => return ended(error),
        Ok(Ok(connection)) => connection,
    };
    let stall = options.timeouts.stall;
    let mut server = Server {
        alive: Alive::new(connection.ping_pong(), options.timeouts.pool_idle, options.timeouts.head),
        connection,
        streams: FuturesUnordered::new(),
        start: |request, respond| stream::serve(Rc::clone(&handler), request, respond, stall),
        gauge,
        timeouts: options.timeouts,
        deadline: Deadline::never(),
        seen: None,
        state: State::Open,
    };
    let mut stop = pin!(token.cancelled());
    poll_fn(|cx| server.poll(stop.as_mut(), cx)).await
}

fn builder(options: &ServerOptions) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(options.limits.streams_accepted)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(RESETS)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(RESETS))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// GOAWAY was sent, because the proxy ends or the connection was idle.
    Ending,
    Idled,
    Flooded,
}

struct Server<F, S> {
    connection: server::Connection<Metered, Bytes>,
    streams: FuturesUnordered<F>,
    start: S,
    gauge: Rc<Gauge>,
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
    S: Fn(http::Request<::h2::RecvStream>, server::SendResponse<Bytes>) -> F,
{
    fn poll(
        &mut self,
        stop: Pin<&mut WaitForCancellationFuture<'_>>,
        cx: &mut Context<'_>,
    ) -> Poll<ServeEnd> {
        if self.state == State::Open && stop.poll(cx).is_ready() {
            self.state = State::Ending;
            self.connection.graceful_shutdown();
        }
        if let Poll::Ready(end) = self.poll_streams(cx) {
            return Poll::Ready(end);
        }
        if self.gauge.is_flooded() && self.state != State::Flooded {
            self.state = State::Flooded;
            self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            // Nothing more is read, so the end of this connection is that of its last write.
            let _ = self.connection.poll_closed(cx);
            return Poll::Ready(ServeEnd::Flooded);
        }
        self.poll_deadlines(cx)
    }

    /// Takes new streams and drives the open ones, until none of them gets on.
    fn poll_streams(&mut self, cx: &mut Context<'_>) -> Poll<ServeEnd> {
        loop {
            let mut moved = false;
            while let Poll::Ready(accepted) = self.connection.poll_accept(cx) {
                match accepted {
                    Some(Ok((request, respond))) => self.streams.push((self.start)(request, respond)),
                    Some(Err(error)) => return Poll::Ready(ended(error)),
                    None if self.state == State::Idled => return Poll::Ready(ServeEnd::Idle),
                    None => return Poll::Ready(ServeEnd::Closed),
                }
            }
            while let Poll::Ready(Some(())) = self.streams.poll_next_unpin(cx) {
                moved = true;
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<ServeEnd> {
        // Tunnels have a task of their own, so a stream may be open without being among ours.
        let busy = !self.streams.is_empty() || self.connection.has_streams();
        let now = (busy, self.gauge.moved());
        if self.seen != Some(now) {
            self.seen = Some(now);
            if self.state != State::Idled {
                self.deadline.set_after(if busy { self.timeouts.tunnel_idle } else { self.timeouts.idle });
            }
        }
        while self.deadline.poll(cx).is_ready() {
            if busy || self.state == State::Idled {
                return Poll::Ready(ServeEnd::Idle);
            }
            self.state = State::Idled;
            self.connection.graceful_shutdown();
            self.deadline.set_after(self.timeouts.head);
            cx.waker().wake_by_ref();
        }
        self.alive.poll(&self.gauge, cx).map(|()| ServeEnd::Broken(io::ErrorKind::TimedOut.into()))
    }
}

fn ended(error: ::h2::Error) -> ServeEnd {
    if error.is_io() {
        return ServeEnd::Broken(error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()));
    }
    match error.reason() {
        Some(Reason::NO_ERROR) => ServeEnd::Closed,
        Some(Reason::ENHANCE_YOUR_CALM) if error.is_library() => ServeEnd::Flooded,
        _ => ServeEnd::Protocol(Box::new(error)),
    }
}
