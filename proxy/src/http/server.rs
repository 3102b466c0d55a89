//! Serves HTTP on a stream: hands each request to a handler, watches the deadlines, and ends gracefully when asked to. It must not
//! know what the handler does.

mod watch;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_lifecycle::tasks::Tasks;
use tokio::time::{Instant, MissedTickBehavior};

pub(super) use self::watch::Active;
use self::watch::{Verdict, Watch};
use super::h1;
use super::metered::{Metered, Moved};
use super::upstream::LocalExecutor;
use super::body::Content;
use super::{BadHead, Body, RequestHead, Response, Upgrade, Wire};
use crate::config::{HEAD_BYTES, Limits, Timeouts};
use crate::net::Stream;

/// One request as a handler gets it.
#[derive(Debug)]
pub struct Request {
    /// The head, or why it is refused.
    pub head: Result<RequestHead, BadHead>,
    /// The body.
    pub body: Body,
    /// What the connection becomes if the answer changes the protocol.
    pub upgrade: Upgrade,
}

/// Answers requests.
pub trait Handler: 'static {
    /// Answers one request. Dropping the future is its cancellation: the client went away.
    fn handle(self: Rc<Self>, request: Request) -> impl Future<Output = Response>;
}

/// How a connection is served.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Bounds.
    pub limits: Limits,
    /// Owns the streams of HTTP/2; its token asks for the graceful end.
    pub tasks: Tasks,
}

/// How a connection ended.
#[derive(Debug)]
pub enum ServeEnd {
    /// As HTTP ends.
    Closed,
    /// Nothing happened for too long.
    Idle,
    /// A head took too long.
    HeadTimeout,
    /// A head was refused.
    Refused(BadHead),
    /// The client did not keep to HTTP.
    Protocol(Box<dyn std::error::Error>),
    /// The connection broke.
    Broken(std::io::Error),
}

/// Bytes a peer may send on one stream of HTTP/2 before we have passed them on: the bound on what one stream makes us hold.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Serves until the connection ends.
pub async fn serve<H: Handler>(
    stream: Stream,
    wire: Wire,
    handler: Rc<H>,
    options: &ServerOptions,
) -> ServeEnd {
    match wire {
        Wire::Http1 => h1::serve(stream, handler, options).await,
        Wire::Http2 => Box::pin(serve_http2(stream, handler, options)).await,
    }
}

async fn serve_http2<H: Handler>(stream: Stream, handler: Rc<H>, options: &ServerOptions) -> ServeEnd {
    let moved = Arc::new(Moved::default());
    let watch = Watch::new(Arc::clone(&moved), Wire::Http2, options.timeouts);
    let io = TokioIo::new(Metered::new(stream, moved));
    let service = service_fn(|request| answer(Rc::clone(&handler), request, Rc::clone(&watch)));
    let connection = http2(options).serve_connection(io, service);
    let mut connection = pin!(connection);
    let poll = |cx: &mut Context<'_>, act: Act| {
        if act == Act::EndGracefully {
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    };
    drive(poll, &watch, options, Duration::ZERO).await
}

fn http2(options: &ServerOptions) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor::new(options.tasks.clone()));
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(options.limits.streams_accepted)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Some(options.timeouts.pool_idle))
        .keep_alive_timeout(options.timeouts.head)
        .auto_date_header(false);
    builder
}

/// What the loop asks of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Go,
    EndGracefully,
}

/// Polls the connection beside its deadlines and the wish to end. `linger` passes between that wish and the graceful end.
async fn drive(
    mut connection: impl FnMut(&mut Context<'_>, Act) -> Poll<hyper::Result<()>>,
    watch: &Watch,
    options: &ServerOptions,
    linger: Duration,
) -> ServeEnd {
    let stop = options.tasks.token();
    let mut tick = tokio::time::interval(watch.period());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut act = Act::Go;
    let mut end_at = None;
    loop {
        tokio::select! {
            biased;
            result = poll_fn(|cx| connection(cx, std::mem::replace(&mut act, Act::Go))) => {
                return if watch.is_idled() { ServeEnd::Idle } else { ended(result) };
            }
            () = stop.cancelled(), if !watch.is_ending() => {
                watch.end();
                end_at = Some(Instant::now() + linger);
            }
            () = tokio::time::sleep_until(end_at.unwrap_or_else(Instant::now)), if end_at.is_some() => {
                act = Act::EndGracefully;
                end_at = None;
            }
            _ = tick.tick() => match watch.look(Instant::now()) {
                Verdict::Fine => {}
                Verdict::HeadTimeout => return ServeEnd::HeadTimeout,
                Verdict::Stalled => return ServeEnd::Idle,
                Verdict::Idle => {
                    watch.end();
                    act = Act::EndGracefully;
                    tick.reset_after(options.timeouts.head);
                    if watch.was_idle() {
                        return ServeEnd::Idle;
                    }
                }
            },
        }
    }
}

fn ended(result: hyper::Result<()>) -> ServeEnd {
    match result {
        Ok(()) => ServeEnd::Closed,
        Err(error) => ServeEnd::Protocol(Box::new(error)),
    }
}

async fn answer<H: Handler>(
    handler: Rc<H>,
    request: ::http::Request<Incoming>,
    watch: Rc<Watch>,
) -> Result<::http::Response<Body>, Infallible> {
    let active = watch.begin();
    let (parts, incoming) = request.into_parts();
    let body = Body::new(Content::Peer(incoming, None));
    let request = Request { head: RequestHead::from_http2(parts), body, upgrade: Upgrade::none() };
    let Response { status, headers, body } = handler.handle(request).await;
    let mut response = ::http::Response::new(body.held(active));
    *response.status_mut() = status;
    *response.headers_mut() = headers.into_map();
    Ok(response)
}
