//! Serves HTTP on a stream: hands each request to a handler, watches the deadlines, and ends gracefully when asked to. It must not
//! know what the handler does.

use std::future::Future;
use std::rc::Rc;

use mesh_lifecycle::tasks::Tasks;

use super::{BadHead, Body, RequestHead, Response, Upgrade, Wire, h1, h2};
use crate::config::{Limits, Timeouts};
use crate::net::Stream;

/// One request as a handler gets it.
#[derive(Debug)]
pub struct Request {
    /// The head, or why it is refused.
    pub head: Result<Box<RequestHead>, BadHead>,
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
    /// The client sent more frames of HTTP/2 that carry nothing than it may.
    Flooded,
    /// The connection broke.
    Broken(std::io::Error),
}

/// Serves until the connection ends.
pub async fn serve<H: Handler>(
    stream: Stream,
    wire: Wire,
    handler: Rc<H>,
    options: &ServerOptions,
) -> ServeEnd {
    match wire {
        Wire::Http1 => Box::pin(h1::serve(stream, handler, options)).await,
        Wire::Http2 => Box::pin(h2::serve(stream, handler, options)).await,
    }
}
