//! The server: HTTP/1.1, HTTP/2 by prior knowledge, and one gRPC method, on one port. At its end it refuses nothing that has begun.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mesh_lifecycle::{CancellationToken, Tasks};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};

use crate::cli::ServeArgs;
use crate::exec::Executor;
use crate::faults::Faults;

/// How HTTP/2 begins.
const PREFACE: &[u8] = b"PRI ";
/// Messages of one call, and between two of them.
const MESSAGES: usize = 10;
const BETWEEN: Duration = Duration::from_millis(50);
/// Where probes ask.
const READY: &str = "/ready";
const NAME: HeaderName = HeaderName::from_static("x-peer");

/// Who answers.
#[derive(Debug)]
struct Who {
    name: String,
    faults: Faults,
}

type Answer = Response<Either<Full<Bytes>, Stream>>;

/// Serves until `stop`, and then until what has begun is answered.
pub(crate) async fn serve(args: &ServeArgs, tasks: &Tasks, stop: impl Future<Output = ()>) -> Result<()> {
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("listen on {}", args.listen))?;
    let who = Arc::new(Who { name: args.name.clone(), faults: Faults::new(args) });
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        // A client that went away before it was accepted is nobody's failure.
        let Ok((stream, _)) = accepted else { continue };
        stream.set_nodelay(true).ok();
        let (who, token, tasks_of_it) = (Arc::clone(&who), tasks.token(), tasks.clone());
        tasks.spawn("connection", Box::pin(connection(stream, who, token, tasks_of_it)));
    }
    drop(listener);
    tasks.shutdown(Duration::from_secs(args.drain)).await;
    Ok(())
}

async fn connection(stream: TcpStream, who: Arc<Who>, stop: CancellationToken, tasks: Tasks) {
    let mut first = [0; PREFACE.len()];
    let service = service_fn(move |request| {
        let who = Arc::clone(&who);
        async move { Ok::<_, Infallible>(answer(request, &who).await) }
    });
    let is_http2 = tokio::select! {
        read = stream.peek(&mut first) => read.is_ok() && PREFACE.starts_with(&first),
        // Nothing was asked yet.
        () = stop.cancelled() => return,
    };
    // A connection that fails is seen by the client, which counts.
    if is_http2 {
        let mut builder = hyper::server::conn::http2::Builder::new(Executor(tasks));
        let mut served =
            pin!(builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            served = &mut served => { served.ok(); return; }
            () = stop.cancelled() => served.as_mut().graceful_shutdown(),
        }
        served.await.ok();
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        let mut served =
            pin!(builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            served = &mut served => { served.ok(); return; }
            () = stop.cancelled() => served.as_mut().graceful_shutdown(),
        }
        served.await.ok();
    }
}

async fn answer(request: Request<Incoming>, who: &Who) -> Answer {
    let is_grpc =
        request.headers().get(http::header::CONTENT_TYPE).is_some_and(|kind| kind == "application/grpc");
    let (head, body) = request.into_parts();
    let received = body.collect().await.map(|body| body.to_bytes().len());
    let mut answer = if is_grpc {
        let mut answer = Response::new(Either::Right(Stream::new()));
        answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        answer
    } else {
        let seen = json!({
            "name": who.name,
            "method": head.method.as_str(),
            "target": head.uri.to_string(),
            "version": format!("{:?}", head.version),
            "headers": head.headers.iter().map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            }).collect::<Vec<_>>(),
            "body_bytes": received.unwrap_or_default(),
        });
        let mut answer = Response::new(Either::Left(Full::new(Bytes::from(format!("{seen}\n")))));
        // What asks whether it is ready is no traffic.
        if head.uri.path() != READY {
            *answer.status_mut() = who.faults.next().await;
        }
        answer
    };
    if let Ok(name) = HeaderValue::from_str(&who.name) {
        answer.headers_mut().insert(NAME, name);
    }
    answer
}

/// A gRPC stream: messages with time between them, then the status.
struct Stream {
    left: usize,
    pause: Pin<Box<Sleep>>,
}

impl Stream {
    fn new() -> Self {
        Self { left: MESSAGES, pause: Box::pin(sleep(Duration::ZERO)) }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == usize::MAX {
            return Poll::Ready(None);
        }
        if self.pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if self.left == 0 {
            self.left = usize::MAX;
            let mut trailers = HeaderMap::new();
            trailers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"));
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        self.left -= 1;
        self.pause = Box::pin(sleep(BETWEEN));
        Poll::Ready(Some(Ok(Frame::data(message(b"tick")))))
    }
}

/// Length-prefixed, not compressed. Source: gRPC over HTTP/2, `Length-Prefixed-Message`.
pub(crate) fn message(text: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + text.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    framed.put_slice(text);
    framed.freeze()
}

/// How many whole messages a body has; `None` if there is something else in it.
pub(crate) fn messages(body: &[u8]) -> Option<usize> {
    let (mut rest, mut count) = (body, 0);
    while !rest.is_empty() {
        let (prefix, after) = rest.split_at_checked(5)?;
        let length = u32::from_be_bytes(prefix.get(1..5)?.try_into().ok()?);
        rest = after.get(usize::try_from(length).ok()?..)?;
        count += 1;
    }
    Some(count)
}

/// What a whole answer to a call has.
pub(crate) const WHOLE: usize = MESSAGES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_and_pieces_are_not() {
        let whole = [message(b"a"), message(b""), message(b"tick")].concat();
        assert_eq!(messages(&whole), Some(3));
        assert_eq!(messages(&whole[..whole.len() - 1]), None);
        assert_eq!(messages(b""), Some(0));
    }
}
