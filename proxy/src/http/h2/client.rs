//! A connection to an upstream, shared by all requests of the worker, and one exchange on it.

mod alive;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::h2::client::{self, ResponseFuture, SendRequest};
use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use mesh_lifecycle::tasks::Tasks;

pub(super) use self::alive::Alive;
use super::body::{PeerBody, Sending, Unsent};
use super::meter::{Gauge, Metered};
use super::{RESETS, SEND_BUFFER, is_padded};
use crate::config::{HEAD_BYTES, Timeouts};
use crate::http::body::Content;
use crate::http::deadline::Limit;
use crate::http::upstream::{INTERIMS, Used};
use crate::http::{Body, BodyError, Headers, Interim, RequestHead, Response};
use crate::net::Stream;
use crate::telemetry::Failure;

/// What an upstream may send ahead of our reading on one stream: what a client who does not read makes us hold.
const WINDOW: u32 = super::STREAM_WINDOW;

/// The same for all streams: so much larger that a few clients who do not read their answers take nothing from the others on the same
/// connection.
const ALL_WINDOWS: u32 = 256 * WINDOW;

/// The connection. Clones are handles of the same one.
#[derive(Clone)]
pub(in crate::http) struct Connection {
    sender: SendRequest<Bytes>,
    closed: Rc<Cell<bool>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::http) enum Gone {
    /// Nothing left on this connection, which takes nothing more.
    Unsent,
    /// The peer says that it did not process it.
    Refused(Failure),
    /// The stream or the connection broke.
    Broken(Failure),
    /// The deadline is over.
    Late,
    /// The request's own body broke off.
    Body(BodyError),
    /// The request cannot be sent on HTTP/2.
    Unfit,
}

/// A failure with the request, if nothing of its body was read.
type Lost = (Gone, Option<Box<(RequestHead, Body)>>);

/// Opens HTTP/2 on a stream. A task of its own drives it until it ends.
pub(in crate::http) async fn connect(
    stream: Stream,
    timeouts: Timeouts,
    tasks: &Tasks,
) -> Result<Connection, ::h2::Error> {
    let (io, gauge) = Metered::client(stream);
    let (sender, mut connection) = client::Builder::new()
        .enable_push(false)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .max_concurrent_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(RESETS))
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Bytes>(io)
        .await?;
    let closed = Rc::<Cell<bool>>::default();
    let ends = Rc::clone(&closed);
    let mut alive = Alive::new(connection.ping_pong(), timeouts.keepalive, timeouts.connect);
    tasks.spawn_local("http/2 upstream", async move {
        poll_fn(|cx| drive(Pin::new(&mut connection), &mut alive, &gauge, cx)).await;
        ends.set(true);
    });
    Ok(Connection { sender, closed })
}

fn drive(
    connection: Pin<&mut client::Connection<Metered, Bytes>>,
    alive: &mut Alive,
    gauge: &Gauge,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if let Poll::Ready(ended) = connection.poll(cx) {
        if let Err(error) = ended {
            tracing::debug!(%error, "upstream connection ended");
        }
        return Poll::Ready(());
    }
    if gauge.is_flooded() {
        tracing::debug!("an upstream sends more frames than it may; connection closed");
        return Poll::Ready(());
    }
    alive.poll(gauge, cx)
}

impl Connection {
    /// Whether it takes no more requests.
    pub(in crate::http) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Sends a request and waits for the head of the answer.
    pub(in crate::http) async fn exchange(
        &self,
        head: RequestHead,
        body: Body,
        used: Used,
        limit: &mut Limit,
    ) -> Result<Response, Lost> {
        let mut sender = self.sender.clone();
        let back = |head, body| Some(Box::new((head, body)));
        if head.upgrade.is_some() || head.method == http::Method::CONNECT {
            return Err((Gone::Unfit, back(head, body)));
        }
        match poll_fn(|cx| or_late(sender.poll_ready(cx), limit, cx)).await {
            Some(Ok(())) => {}
            Some(Err(_)) => {
                self.closed.set(true);
                return Err((Gone::Unsent, back(head, body)));
            }
            None => return Err((Gone::Late, None)),
        }
        let ends = body.is_end_stream();
        let length = body.size_hint().filter(|_| !ends);
        let (response, stream) = match sender.send_request(head.to_http2(length), ends) {
            Ok(sent) => sent,
            Err(error) => {
                tracing::debug!(%error, "a connection takes no more requests");
                self.closed.set(true);
                return Err((Gone::Unsent, back(head, body)));
            }
        };
        let mut sending = Sending::new(stream, body, ends);
        let answered = {
            let (mut response, mut interims) = (pin!(response), 0);
            poll_fn(|cx| {
                let polled = poll_answer(&mut sending, &head.interim, (response.as_mut(), &mut interims), cx);
                or_late(polled, limit, cx)
            })
            .await
        };
        match answered {
            Some(Ok(response)) => Ok(received(response, sending, used)),
            None => Err((Gone::Late, None)),
            Some(Err(gone)) => {
                let body = sending.into_body();
                Err((gone, body.map(|body| Box::new((head, body)))))
            }
        }
    }
}

/// The answer, or nothing once the deadline is over.
fn or_late<T>(polled: Poll<T>, limit: &mut Limit, cx: &mut Context<'_>) -> Poll<Option<T>> {
    match polled {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => limit.poll(cx).map(|()| None),
    }
}

fn poll_answer(
    sending: &mut Sending,
    client: &Interim,
    (mut response, interims): (Pin<&mut ResponseFuture>, &mut usize),
    cx: &mut Context<'_>,
) -> Poll<Result<http::Response<RecvStream>, Gone>> {
    if let Poll::Ready(Err(Unsent::Body(error))) = sending.poll(cx) {
        return Poll::Ready(Err(Gone::Body(error)));
    }
    while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
        *interims += 1;
        if *interims > INTERIMS {
            return Poll::Ready(Err(Gone::Broken(Failure::UpstreamProtocol)));
        }
        let (parts, ()) = interim.into_parts();
        if is_padded(&parts.headers) {
            return Poll::Ready(Err(Gone::Broken(Failure::UpstreamProtocol)));
        }
        client.send(parts.status, &Headers::from_map(parts.headers));
    }
    let response = ready!(response.poll(cx)).map_err(|error| gone(&error))?;
    Poll::Ready(if is_padded(response.headers()) {
        tracing::debug!("a field of an answer has white space around its value");
        Err(Gone::Broken(Failure::UpstreamProtocol))
    } else {
        Ok(response)
    })
}

fn received(response: http::Response<RecvStream>, sending: Sending, used: Used) -> Response {
    let (parts, recv) = response.into_parts();
    let body = if recv.is_end_stream() {
        Body::empty()
    } else {
        let body = PeerBody::new(recv, &parts.headers).with_request(sending, Some(used));
        Body::new(Content::Http2(Box::new(body)))
    };
    let mut headers = Headers::from_map(parts.headers);
    headers.remove("proxy-authenticate");
    Response { status: parts.status, headers, body }
}

fn gone(error: &::h2::Error) -> Gone {
    tracing::debug!(%error, "no answer from upstream");
    // A stream that a GOAWAY names was above the last one that the peer processed (RFC 9113 section 6.8).
    let unseen = error.is_remote()
        && (error.is_go_away() || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)));
    if unseen {
        return Gone::Refused(Failure::UpstreamReset);
    }
    if let Some(io) = error.get_io() {
        // With TLS 1.3 the server refuses our certificate only after our side of the handshake is done.
        let inner = io.get_ref().and_then(|inner| inner.downcast_ref());
        if matches!(inner, Some(rustls::Error::AlertReceived(_))) {
            return Gone::Refused(Failure::TlsFailed);
        }
    }
    Gone::Broken(if error.is_library() { Failure::UpstreamProtocol } else { Failure::UpstreamReset })
}
