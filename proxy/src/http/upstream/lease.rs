//! One request on one connection: sending it, and what becomes of the connection afterwards.

use std::fmt;
use std::rc::Rc;

use hyper::body::Incoming;
use tokio::time::Instant;

use super::h2::{Slot, Used};
use super::{Connection, Upstream};
use crate::http::body::Content;
use crate::http::hygiene::clean_response;
use crate::http::{Body, Headers, Response, Upgrade};
use crate::telemetry::Failure;

/// A connection on which one request may be sent.
pub(super) struct Lease(Kind);

enum Kind {
    Http1 { upstream: Rc<Upstream>, connection: Connection },
    Http2(Slot),
}

/// The answer of an upstream, with what must be kept until its body has ended.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// The answer; its body is still to come, and gives the connection back at its end.
    pub response: Response,
    /// What the connection becomes, if the answer is 101.
    pub upgrade: Option<Upgrade>,
}

/// The connection of a request under way.
pub(in crate::http) enum Held {
    /// HTTP/1: the next request may use it once this one is whole.
    Http1(Box<Reusable>),
    /// HTTP/2: a place is free again.
    Http2(Used),
}

#[derive(Debug)]
/// A connection of HTTP/1 and where it goes back to.
pub(in crate::http) struct Reusable {
    upstream: Rc<Upstream>,
    connection: Connection,
}

impl Held {
    /// The exchange is whole: the connection can take another request.
    pub(in crate::http) fn release(self) {
        match self {
            Self::Http1(reusable) => {
                let Reusable { upstream, connection } = *reusable;
                upstream.put_idle(connection);
            }
            Self::Http2(_) => {}
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1(_) => "Held(http/1)",
            Self::Http2(_) => "Held(http/2)",
        })
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum SendFailure {
    /// The connection was closed before anything of the request left: it can be sent on another one.
    Unsent(Box<::http::Request<Body>>),
    /// It may have reached the upstream.
    Failed(Failure),
}

impl Lease {
    pub(super) fn http1(upstream: Rc<Upstream>, connection: Connection) -> Self {
        Self(Kind::Http1 { upstream, connection })
    }

    pub(super) fn http2(slot: Slot) -> Self {
        Self(Kind::Http2(slot))
    }

    /// Sends the request and waits for the head of the answer.
    pub(super) async fn send(
        self,
        request: ::http::Request<Body>,
        deadline: Instant,
    ) -> Result<UpstreamResponse, SendFailure> {
        match self.0 {
            Kind::Http1 { upstream, mut connection } => {
                let sent = connection.sender.try_send_request(request);
                let mut response = answer(sent, deadline).await?;
                let upgrade = (response.status() == ::http::StatusCode::SWITCHING_PROTOCOLS)
                    .then(|| Upgrade(hyper::upgrade::on(&mut response)));
                let held = Held::Http1(Box::new(Reusable { upstream, connection }));
                Ok(UpstreamResponse { response: canonical(response, held), upgrade })
            }
            Kind::Http2(mut slot) => {
                let sent = slot.sender.try_send_request(request);
                let response = answer(sent, deadline).await?;
                let held = Held::Http2(slot.used);
                Ok(UpstreamResponse { response: canonical(response, held), upgrade: None })
            }
        }
    }
}

type Sent = Result<::http::Response<Incoming>, hyper::client::conn::TrySendError<::http::Request<Body>>>;

async fn answer(
    sent: impl Future<Output = Sent>,
    deadline: Instant,
) -> Result<::http::Response<Incoming>, SendFailure> {
    match tokio::time::timeout_at(deadline, sent).await {
        Err(_) => Err(SendFailure::Failed(Failure::RequestTimeout)),
        Ok(Ok(response)) => Ok(response),
        Ok(Err(mut error)) => match error.take_message() {
            Some(request) => Err(SendFailure::Unsent(Box::new(request))),
            None => {
                tracing::debug!(error = %error.error(), "no answer from upstream");
                Err(SendFailure::Failed(failure_of(error.error())))
            }
        },
    }
}

fn canonical(response: ::http::Response<Incoming>, held: Held) -> Response {
    let (mut parts, body) = response.into_parts();
    clean_response(&mut parts.headers, parts.status);
    let held = if http_body::Body::is_end_stream(&body) {
        held.release();
        None
    } else {
        Some(held)
    };
    let body = Body::new(Content::Peer(body, held));
    Response { status: parts.status, headers: Headers::from_map(parts.headers), body }
}

fn failure_of(error: &hyper::Error) -> Failure {
    // With TLS 1.3 the server refuses our certificate only after our side of the handshake is done.
    let refused = sources(error).any(|source| {
        let inner = source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        inner.is_some_and(|inner| matches!(inner.downcast_ref(), Some(rustls::Error::AlertReceived(_))))
    });
    if refused {
        Failure::TlsFailed
    } else if error.is_parse() {
        Failure::UpstreamProtocol
    } else {
        Failure::UpstreamReset
    }
}

fn sources<'a>(error: &'a hyper::Error) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}
