//! One request of a client: head to the handler, its answer to the stream.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use mesh_http2::{Block, Fields, More};
use mesh_lifecycle::failpoint;

use crate::http::body::Content;
use crate::http::deadline::Deadline;
use crate::http::h2::body::{PeerBody, Sending};
use crate::http::h2::link::Handle;
use crate::http::h2::tunnel::Tunnel;
use crate::http::upgrade::Change;
use crate::http::{
    Body, Fault, Handler, Headers, Interim, Kind, Request, RequestHead, Response, Upgrade, response_to,
    websocket,
};
use crate::net::Stream;
use crate::telemetry::Failure;

/// The answering side of a stream, shared with the body of the request for interim answers.
pub(in crate::http) type Respond = Handle;

/// Serves one request.
pub(super) async fn serve<H: Handler>(handler: Rc<H>, block: Block, stream: Handle, stall: Duration) {
    let method = block.pseudo.method.unwrap_or_default();
    let (is_head, is_connect) = match method.of(&block.bytes) {
        b"HEAD" => (true, false),
        b"CONNECT" => (false, true),
        _ => (false, false),
    };
    let length = block.length;
    let waits = block.fields.iter().any(|field| field.name.of(&block.bytes) == b"expect");
    let head = RequestHead::from_http2(block).map(|mut head| {
        head.interim = Interim::http2(stream.clone());
        Box::new(head)
    });
    if let Ok(head) = &head {
        failpoint::reach("http/2", head.target.path());
    }
    let (upgrade, mut tunnel, body) = if is_connect {
        let (upgrade, change) = Upgrade::waits();
        (upgrade, Some(change), Body::empty())
    } else if stream.is_read() {
        (Upgrade::none(), None, Body::empty())
    } else {
        let body = PeerBody::new(stream.clone(), length).answered_by(stream.clone(), waits);
        (Upgrade::none(), None, Body::new(Content::Http2(Box::new(body))))
    };
    let key = head.as_ref().ok().and_then(|head| websocket_key(head));
    let refused = head.as_ref().err().map(|bad| bad.status());
    let response = {
        let mut handling = pin!(handler.handle(Request { head, body, upgrade }));
        poll_fn(|cx| match handling.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            // The client has no interest any more: that cancels the handler.
            Poll::Pending => stream.poll_gone(cx).map(|_| None),
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
        Some(tunnel) if changes => connect(response, tunnel, stream),
        _ => answer(response, is_head, stream, stall).await,
    }
}

/// The key of a request for WebSocket.
fn websocket_key(head: &RequestHead) -> Option<Vec<u8>> {
    let is_websocket = head.upgrade.as_ref()?.eq_ignore_ascii_case("websocket");
    head.headers.get("sec-websocket-key").filter(|_| is_websocket).map(<[u8]>::to_vec)
}

/// An accepted CONNECT: the stream becomes a tunnel.
fn connect(response: Response, change: Change, stream: Handle) {
    const OF_HTTP1: [&str; 4] = ["upgrade", "connection", "sec-websocket-accept", "content-length"];
    let sent = stream.send_block(More::Follows, |fields| {
        fields.put(b":status", b"200");
        response
            .headers
            .put(fields, |name| OF_HTTP1.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes())));
    });
    match sent {
        // Nobody takes it if the handler changed its mind; then the stream just ends.
        Ok(()) => drop(change.send(Stream::tunnel(Box::new(Tunnel::new(stream))))),
        Err(gone) => tracing::debug!(?gone, "a tunnel did not open"),
    }
}

async fn answer(response: Response, is_head: bool, stream: Handle, stall: Duration) {
    let Response { status, headers, body } = response;
    let bodiless = is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let length = body.size_hint().filter(|length| *length > 0 || !bodiless);
    let ends = bodiless || body.is_end_stream();
    let more = if ends { More::Nothing } else { More::Follows };
    match stream.send_block(more, |fields| write(fields, status, &headers, length)) {
        Ok(()) => {
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
        Err(gone) => tracing::debug!(?gone, "an answer was not sent"),
    }
}

/// The head of an answer.
fn write(fields: &mut Fields<'_>, status: StatusCode, headers: &Headers, length: Option<u64>) {
    fields.put(b":status", status.as_str().as_bytes());
    headers.put(fields, |name| {
        name.eq_ignore_ascii_case(b"upgrade")
            || (length.is_some() && name.eq_ignore_ascii_case(b"content-length"))
    });
    if let Some(length) = length {
        fields.put_number(b"content-length", length);
    }
}
