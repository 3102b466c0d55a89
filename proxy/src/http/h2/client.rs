//! A connection to an upstream, shared by all requests of the worker, and one exchange on it.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Method, StatusCode};
use mesh_http2::{Block, Full, More, Reason};
use mesh_lifecycle::tasks::Tasks;

use super::alive::Alive;
use super::body::{PeerBody, Sending, Unsent};
use super::link::{Driver, Handle, Link};
use crate::config::Timeouts;
use crate::http::body::Content;
use crate::http::deadline::Limit;
use crate::http::upstream::Used;
use crate::http::{Body, BodyError, Headers, Interim, RequestHead, Response, Scheme};
use crate::net::Stream;
use crate::telemetry::Failure;

/// The connection. Clones are handles of the same one.
#[derive(Clone)]
pub(in crate::http) struct Connection {
    link: Rc<Link>,
    /// Of what is asked for.
    scheme: Scheme,
    /// The last one closes it.
    #[expect(dead_code, reason = "held for its end")]
    owner: Rc<Owner>,
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
type Lost = (Gone, Option<Box<(Box<RequestHead>, Body)>>);

/// Says goodbye once nobody will ask any more.
struct Owner(Rc<Link>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.codec().close();
    }
}

/// Tells those who wait for answers that none will come, however the task ends.
struct Broken(Rc<Link>);

impl Drop for Broken {
    fn drop(&mut self) {
        self.0.codec().broke();
    }
}

/// Opens HTTP/2 on a stream. A task of its own drives it until it ends.
pub(in crate::http) fn connect(
    stream: Stream,
    scheme: Scheme,
    timeouts: Timeouts,
    tasks: &Tasks,
) -> Connection {
    let mut driver = Driver::client(stream);
    let link = Rc::clone(driver.link());
    let mut alive = Alive::new(timeouts.keepalive, timeouts.connect);
    let broken = Broken(Rc::clone(&link));
    tasks.spawn_local("http/2 upstream", async move {
        let _broken = broken;
        poll_fn(|cx| drive(&mut driver, &mut alive, cx)).await;
    });
    Connection { owner: Rc::new(Owner(Rc::clone(&link))), link, scheme }
}

/// Ready once the connection is over.
fn drive(driver: &mut Driver, alive: &mut Alive, cx: &mut Context<'_>) -> Poll<()> {
    driver.attend();
    driver.poll_receive(cx);
    let sent = driver.poll_send(cx);
    if driver.is_flooded() {
        tracing::debug!("an upstream sends more frames than it may; connection closed");
        return Poll::Ready(());
    }
    let ended = driver.link().codec().ended();
    if let Some(ended) = ended {
        tracing::debug!(?ended, error = ?driver.link().error(), "upstream connection ended");
        return Poll::Ready(());
    }
    if sent.is_ready() && driver.link().codec().is_done() {
        return driver.poll_shutdown(cx);
    }
    alive.poll(driver, cx)
}

impl Connection {
    /// Whether it takes no more requests.
    pub(in crate::http) fn is_closed(&self) -> bool {
        self.link.codec().is_leaving()
    }

    /// Sends a request and waits for the head of the answer.
    pub(in crate::http) async fn exchange(
        &self,
        head: Box<RequestHead>,
        body: Body,
        used: Used,
        limit: &mut Limit,
    ) -> Result<Response, Lost> {
        let back = |head, body| Some(Box::new((head, body)));
        if head.upgrade.is_some() || head.method == Method::CONNECT {
            return Err((Gone::Unfit, back(head, body)));
        }
        match poll_fn(|cx| or_late(self.link.codec().poll_ready(cx), limit, cx)).await {
            Some(Ok(())) => {}
            Some(Err(Full)) => return Err((Gone::Unsent, back(head, body))),
            None => return Err((Gone::Late, None)),
        }
        let ends = body.is_end_stream();
        let length = body.size_hint().filter(|_| !ends);
        let more = if ends { More::Nothing } else { More::Follows };
        let is_head = head.method == Method::HEAD;
        let opened =
            self.link.codec().open(more, is_head, |fields| head.to_http2(self.scheme, length, fields));
        let Ok(id) = opened else { return Err((Gone::Unsent, back(head, body))) };
        let stream = Handle::new(&self.link, id);
        let mut sending = Sending::new(stream.clone(), body, ends);
        let answered = poll_fn(|cx| {
            let polled = poll_answer(&mut sending, &stream, &head.interim, cx);
            or_late(polled, limit, cx)
        })
        .await;
        match answered {
            Some(Ok(block)) => Ok(received(block, stream, sending, used)),
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
    stream: &Handle,
    client: &Interim,
    cx: &mut Context<'_>,
) -> Poll<Result<Block, Gone>> {
    if let Poll::Ready(Err(Unsent::Body(error))) = sending.poll(cx) {
        return Poll::Ready(Err(Gone::Body(error)));
    }
    while let Some(Block { bytes, fields, pseudo, .. }) = stream.poll_interim() {
        client.send(status(pseudo.status), &Headers::from_vectors(bytes, fields));
    }
    stream.poll_answer(cx).map_err(|why| gone(why, stream))
}

/// The codec lets no head without one pass.
fn status(status: Option<u16>) -> StatusCode {
    status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::BAD_GATEWAY)
}

fn received(block: Block, stream: Handle, sending: Sending, used: Used) -> Response {
    let Block { bytes, fields, pseudo, length, .. } = block;
    let body = if stream.is_read() {
        Body::empty()
    } else {
        let body = PeerBody::new(stream, length).with_request(sending, Some(used));
        Body::new(Content::Http2(Box::new(body)))
    };
    let mut headers = Headers::from_vectors(bytes, fields);
    headers.remove("proxy-authenticate");
    Response { status: status(pseudo.status), headers, body }
}

fn gone(why: mesh_http2::Gone, stream: &Handle) -> Gone {
    tracing::debug!(?why, "no answer from upstream");
    match why {
        // A stream that a GOAWAY names was above the last one that the peer processed (RFC 9113 section 6.8).
        mesh_http2::Gone::Unprocessed | mesh_http2::Gone::Reset(Reason::REFUSED_STREAM) => {
            Gone::Refused(Failure::UpstreamReset)
        }
        // With TLS 1.3 the server refuses our certificate only after our side of the handshake is done.
        mesh_http2::Gone::Closed if stream.error().is_some_and(|error| is_alert(&error)) => {
            Gone::Refused(Failure::TlsFailed)
        }
        mesh_http2::Gone::Closed if stream.is_violated() => Gone::Broken(Failure::UpstreamProtocol),
        mesh_http2::Gone::Violation => Gone::Broken(Failure::UpstreamProtocol),
        mesh_http2::Gone::Closed | mesh_http2::Gone::Reset(_) | mesh_http2::Gone::Cancelled => {
            Gone::Broken(Failure::UpstreamReset)
        }
    }
}

fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}
