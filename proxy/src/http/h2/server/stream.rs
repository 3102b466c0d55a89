//! One request of a client: head to the handler, its answer to the stream.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ::h2::{RecvStream, server::SendResponse};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use crate::http::body::Content;
use crate::http::deadline::Deadline;
use crate::http::h2::body::{PeerBody, Sending};
use crate::http::h2::tunnel::Tunnel;
use crate::http::upgrade::Change;
use crate::http::{
    Body, Fault, Handler, Interim, Kind, Request, RequestHead, Response, Upgrade, response_to, websocket,
};
use crate::net::Stream;
use crate::telemetry::Failure;

/// The answering side of a stream, shared with the body of the request for interim answers.
pub(in crate::http) type Respond = Rc<RefCell<SendResponse<Bytes>>>;

/// Serves one request.
pub(super) async fn serve<H: Handler>(
    handler: Rc<H>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    stall: Duration,
) {
    let (parts, recv) = request.into_parts();
    let is_head = parts.method == Method::HEAD;
    let (upgrade, mut tunnel, body) = if parts.method == Method::CONNECT {
        let (upgrade, change) = Upgrade::waits();
        (upgrade, Some((change, recv)), None)
    } else {
        (Upgrade::none(), None, Some(recv))
    };
    let respond: Respond = Rc::new(RefCell::new(respond));
    let body = match body {
        Some(recv) => {
            let waits = parts.headers.contains_key(header::EXPECT);
            let body = PeerBody::new(recv, &parts.headers).answered_by(Rc::clone(&respond), waits);
            Body::new(Content::Http2(Box::new(body)))
        }
        None => Body::empty(),
    };
    let head = RequestHead::from_http2(parts).map(|mut head| {
        head.interim = Interim::http2(Rc::clone(&respond));
        head
    });
    let key = head.as_ref().ok().and_then(websocket_key);
    let refused = head.as_ref().err().map(|bad| bad.status());
    let response = {
        let mut handling = pin!(handler.handle(Request { head, body, upgrade }));
        poll_fn(|cx| match handling.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            // The client has no interest any more: that cancels the handler.
            Poll::Pending => respond.borrow_mut().poll_reset(cx).map(|_| None),
        })
        .await
    };
    let Some(mut response) = response else { return };
    if let Some(status) = refused.and_then(|status| StatusCode::from_u16(status).ok()) {
        response.status = status;
    }
    if let Some(key) = key.filter(|_| response.status == StatusCode::SWITCHING_PROTOCOLS)
        && !websocket::is_proof(&response.headers, &key)
    {
        let detail = "the server changed to WebSocket without reading the key (RFC 6455 section 4.1)";
        response = response_to(&Fault::new(Failure::UpstreamProtocol, detail), Kind::Http);
    }
    let changes = response.status == StatusCode::SWITCHING_PROTOCOLS || response.status.is_success();
    match tunnel.take() {
        Some(tunnel) if changes => connect(response, tunnel, &respond),
        _ => answer(response, is_head, &respond, stall).await,
    }
}

/// The key of a request for WebSocket.
fn websocket_key(head: &RequestHead) -> Option<Vec<u8>> {
    let is_websocket = head.upgrade.as_ref()?.eq_ignore_ascii_case("websocket");
    head.headers.get("sec-websocket-key").filter(|_| is_websocket).map(<[u8]>::to_vec)
}

/// An accepted CONNECT: the stream becomes a tunnel.
fn connect(response: Response, (change, recv): (Change, RecvStream), respond: &Respond) {
    let mut head = http::Response::new(());
    *head.headers_mut() = response.headers.into_map();
    for name in [header::UPGRADE, header::CONNECTION, header::SEC_WEBSOCKET_ACCEPT, header::CONTENT_LENGTH] {
        head.headers_mut().remove(name);
    }
    match respond.borrow_mut().send_response(head, false) {
        // Nobody takes it if the handler changed its mind; then the stream just ends.
        Ok(send) => drop(change.send(Stream::tunnel(Box::new(Tunnel::new(send, recv))))),
        Err(error) => tracing::debug!(%error, "a tunnel did not open"),
    }
}

async fn answer(response: Response, is_head: bool, respond: &Respond, stall: Duration) {
    let Response { status, headers, body } = response;
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    *head.headers_mut() = headers.into_map();
    head.headers_mut().remove(header::UPGRADE);
    let bodiless = is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let length = body.size_hint().filter(|length| *length > 0 || !bodiless);
    if let Some(length) = length {
        head.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let ends = bodiless || body.is_end_stream();
    let sent = respond.borrow_mut().send_response(head, ends);
    match sent {
        Ok(stream) => {
            let body = if bodiless { Body::empty() } else { body };
            let mut sending = Sending::new(stream, body, ends);
            let (mut limit, mut seen) = (Deadline::never(), None);
            // How a body ended is its observer's business. One that nobody reads is dropped, which resets the stream.
            poll_fn(|cx| {
                if sending.poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let waits = sending.waits();
                if waits != std::mem::replace(&mut seen, waits) {
                    match waits {
                        Some(_) => limit.set_after(stall),
                        None => limit.set(None),
                    }
                }
                limit.poll(cx)
            })
            .await;
        }
        Err(error) => tracing::debug!(%error, "an answer was not sent"),
    }
}
