//! The server of one connection: one request after the other, each handed to the handler, with its deadlines and a graceful end.

#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{Method, StatusCode};
use mesh_http1::Version;
use mesh_lifecycle::failpoint;
use tokio::io::AsyncWrite;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::conn::{Arrival, Conn, Received, Waits};
use super::respond::{Answer, Asked, Broken, Change};
use crate::config::Timeouts;
use crate::http::body::Content;
use crate::http::deadline::Deadline;
use crate::http::io::Io;
use crate::http::{BadHead, Body, Handler, Interim, Request, Response, ServeEnd, ServerOptions, Upgrade};
use crate::net::Stream;

/// How long idle connections are kept when the end is near: a request that is on its way meets an open connection, and its answer
/// says `Connection: close`.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of an unread request body that are read and thrown away to keep the connection; with more of it the connection is closed.
const DRAIN: u64 = 64 * 1024;

/// How long, and for how many bytes, a client that still sends is listened to after the last answer: closing at once would destroy
/// the answer on its way (RFC 9112 section 9.6).
const LAST_WORDS: (Duration, u64) = (Duration::from_secs(1), 512 * 1024);

/// Serves until the connection ends.
pub(in crate::http) async fn serve<H: Handler>(
    stream: Stream,
    handler: Rc<H>,
    options: &ServerOptions,
) -> ServeEnd {
    let token = options.tasks.token();
    let mut server = Server {
        conn: Conn::new(stream),
        deadline: Deadline::never(),
        timeouts: options.timeouts,
        ending: false,
    };
    let mut stop = pin!(token.cancelled());
    loop {
        let received = match server.next(stop.as_mut()).await {
            Ok(received) => received,
            Err(end) => return end,
        };
        if let Some(end) = server.one(&handler, *received, &token).await {
            return end;
        }
    }
}

struct Server {
    conn: Rc<Conn>,
    deadline: Deadline,
    timeouts: Timeouts,
    /// The proxy is about to end.
    ending: bool,
}

impl Server {
    /// Waits for the next head.
    async fn next(
        &mut self,
        mut stop: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Result<Box<Received>, ServeEnd> {
        // What is buffered already began with this request or the one before, so it has as long as any head.
        let (read, mut began) = self.conn.count();
        self.deadline.set_after(if began { self.timeouts.head } else { self.idle() });
        poll_fn(|cx| {
            match self.conn.0.borrow_mut().poll_head(cx) {
                Poll::Ready(Arrival::Head(received)) => return Poll::Ready(Ok(received)),
                Poll::Ready(Arrival::Closed) => return Poll::Ready(Err(ServeEnd::Closed)),
                Poll::Ready(Arrival::Broken(error)) => return Poll::Ready(Err(ServeEnd::Broken(error))),
                Poll::Pending => {}
            }
            if !began && self.conn.count() != (read, false) {
                began = true;
                self.deadline.set_after(self.timeouts.head);
            }
            if !self.ending && stop.as_mut().poll(cx).is_ready() {
                self.ending = true;
                if !began {
                    self.deadline.set_after(LINGER);
                }
            }
            self.deadline.poll(cx).map(|()| {
                Err(match (began, self.ending) {
                    (true, _) => ServeEnd::HeadTimeout,
                    (false, true) => ServeEnd::Closed,
                    (false, false) => ServeEnd::Idle,
                })
            })
        })
        .await
    }

    fn idle(&self) -> Duration {
        if self.ending { LINGER } else { self.timeouts.idle }
    }

    /// Serves one request; gives the end of the connection, if this is it.
    async fn one<H: Handler>(
        &mut self,
        handler: &Rc<H>,
        received: Received,
        token: &CancellationToken,
    ) -> Option<ServeEnd> {
        let (asked, refused) = asked(&received);
        if let Ok(head) = &received.head {
            failpoint::reach("http/1", head.target.path());
        }
        let (upgrade, change) = match asked.change {
            Change::None => (Upgrade::none(), None),
            Change::Tunnel | Change::Upgrade => {
                let (upgrade, change) = Upgrade::waits();
                (upgrade, Some(change))
            }
        };
        let body =
            if refused.is_some() { Body::empty() } else { Body::new(Content::Http1(self.conn.body())) };
        let head = received.head.map(|mut head| {
            head.interim = Interim::http1(self.conn.informed());
            head
        });
        let request = Request { head, body, upgrade };
        let handling: Pin<Box<dyn Future<Output = Response>>> = Box::pin(Rc::clone(handler).handle(request));
        let mut response = match self.handled(handling).await {
            Ok(response) => response,
            Err(end) => return Some(end),
        };
        if let Some(bad) = refused {
            response.status = StatusCode::from_u16(bad.status()).unwrap_or(response.status);
        }
        self.ending = self.ending || token.is_cancelled();
        let asked = Asked { keep_alive: asked.keep_alive && !self.ending, ..asked };
        let mut answer = Answer::begin(&mut self.conn.0.borrow_mut(), response, asked);
        if let Err(end) = self.answered(&mut answer).await {
            return Some(end);
        }
        let (changes, close) = (answer.changes, answer.close);
        drop(answer);
        if changes {
            if let Some(change) = change {
                // Nobody takes it if the handler changed its mind; then the connection just ends.
                let _ = change.send(self.stream());
            }
            return Some(ServeEnd::Closed);
        }
        if close || !self.drained().await {
            self.close(refused.is_some()).await;
            return Some(refused.map_or(ServeEnd::Closed, ServeEnd::Refused));
        }
        None
    }

    /// Runs the handler. The end of the client is its cancellation.
    async fn handled(
        &mut self,
        mut handling: Pin<Box<dyn Future<Output = Response>>>,
    ) -> Result<Response, ServeEnd> {
        self.deadline.set_after(self.timeouts.tunnel_idle);
        poll_fn(|cx| {
            if let Poll::Ready(response) = handling.as_mut().poll(cx) {
                return Poll::Ready(Ok(response));
            }
            if let Poll::Ready(error) = self.conn.0.borrow_mut().poll_watch(cx) {
                return Poll::Ready(Err(ServeEnd::Broken(error)));
            }
            self.deadline.poll(cx).map(|()| Err(ServeEnd::Idle))
        })
        .await
    }

    /// Writes the answer. While bytes move there is no deadline.
    async fn answered(&mut self, answer: &mut Answer) -> Result<(), ServeEnd> {
        let mut seen = None;
        poll_fn(|cx| {
            match answer.poll(&self.conn, cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(Broken::Client(error))) => return Poll::Ready(Err(ServeEnd::Broken(error))),
                Poll::Ready(Err(Broken::Body(error))) => {
                    tracing::debug!(%error, "an answer broke off");
                    return Poll::Ready(Err(ServeEnd::Closed));
                }
                Poll::Pending => {}
            }
            let now = self.conn.0.borrow().progress();
            if seen.replace(now) != Some(now) {
                self.deadline.set_after(match now.0 {
                    Waits::Client => self.timeouts.stall,
                    Waits::Body => self.timeouts.tunnel_idle,
                });
            }
            self.deadline.poll(cx).map(|()| Err(ServeEnd::Idle))
        })
        .await
    }

    /// Throws away what is left of the request's body. `false`: there is too much of it, or it broke off.
    async fn drained(&mut self) -> bool {
        if self.conn.0.borrow().incoming.is_done() {
            return true;
        }
        self.deadline.set_after(self.timeouts.head);
        let mut left = DRAIN;
        poll_fn(|cx| self.poll_drain(cx, &mut left)).await
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>, left: &mut u64) -> Poll<bool> {
        let inner = &mut *self.conn.0.borrow_mut();
        loop {
            if inner.incoming.left().is_some_and(|rest| rest > *left) {
                return Poll::Ready(false);
            }
            match inner.incoming.poll_frame(&mut inner.io, cx) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Ok(crate::http::Frame::Data(data)))) => {
                    match left.checked_sub(data.len() as u64) {
                        Some(rest) => *left = rest,
                        None => return Poll::Ready(false),
                    }
                }
                Poll::Ready(Some(Ok(crate::http::Frame::Trailers(_)))) => {}
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Pending => return self.deadline.poll(cx).map(|()| false),
            }
        }
    }

    /// The stream without HTTP, with what the client sent ahead.
    fn stream(&self) -> Stream {
        let mut inner = self.conn.0.borrow_mut();
        std::mem::replace(&mut inner.io, Io::new(Stream::closed())).into_stream()
    }

    /// Ends our side, and listens for a moment to a client that may still send.
    async fn close(&mut self, refused: bool) {
        let (limit, mut left) = LAST_WORDS;
        self.deadline.set_after(limit);
        let ended = poll_fn(|cx| {
            let polled = Pin::new(&mut self.conn.0.borrow_mut().io.stream).poll_shutdown(cx);
            match polled {
                Poll::Ready(result) => Poll::Ready(result.is_ok()),
                Poll::Pending => self.deadline.poll(cx).map(|()| true),
            }
        })
        .await;
        let sends = {
            let inner = self.conn.0.borrow();
            refused || !inner.incoming.is_done() || !inner.io.read.is_empty()
        };
        if ended && sends {
            poll_fn(|cx| self.poll_last_words(cx, &mut left)).await;
        }
    }

    fn poll_last_words(&mut self, cx: &mut Context<'_>, left: &mut u64) -> Poll<()> {
        let inner = &mut *self.conn.0.borrow_mut();
        loop {
            drop(inner.io.split(usize::MAX));
            match inner.io.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => {
                    *left = left.saturating_sub(count as u64);
                    if *left == 0 {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => return self.deadline.poll(cx),
            }
        }
    }
}

/// What decides about the answer, and why the request is refused, if it is.
fn asked(received: &Received) -> (Asked, Option<BadHead>) {
    let refused = Asked { version: Version::Http11, is_head: false, change: Change::None, keep_alive: false };
    match (&received.head, &received.line) {
        (Ok(head), Some(line)) => {
            let asked = Asked {
                version: line.version,
                is_head: head.method == Method::HEAD,
                change: match head.upgrade {
                    _ if head.method == Method::CONNECT => Change::Tunnel,
                    Some(_) => Change::Upgrade,
                    None => Change::None,
                },
                keep_alive: line.keep_alive,
            };
            (asked, None)
        }
        (Err(bad), _) => (refused, Some(*bad)),
        (Ok(_), None) => (refused, None),
    }
}
