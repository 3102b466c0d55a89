//! The recorder's HTTP/2 without TLS.

use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request, Response};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{LARGE, LARGE_PATH, Message, Recorder, TAG};

pub(super) async fn serve(
    recorder: &Recorder,
    stream: TcpStream,
    begin: Vec<u8>,
    number: usize,
    tasks: &Tasks,
) -> Result<()> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(2000)
        .enable_connect_protocol()
        .handshake(Replayed { begin, stream })
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        let recorder = recorder.clone();
        tasks.spawn_local("recorder stream", async move {
            // A proxy that resets a stream is what many rows are about.
            let _ = answer(&recorder, request, respond, number).await;
        });
    }
    Ok(())
}

async fn answer(
    recorder: &Recorder,
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    number: usize,
) -> Result<()> {
    let (head, mut body) = request.into_parts();
    let message = noted(&head, number);
    let tag = message.field(TAG).map_or_else(|| vec![b'x'; 256], <[u8]>::to_vec);
    let index = recorder.note(message);
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        recorder.change(index, |message| {
            message.add_body(&part);
            message.add_raw(&part);
        });
    }
    if let Some(trailers) = body.trailers().await? {
        recorder.change(index, |message| {
            for (name, value) in &trailers {
                message.add_raw(format!("{name}: ").as_bytes());
                message.add_raw(value.as_bytes());
            }
        });
    }
    recorder.change(index, |message| message.whole = true);
    if head.uri.path() == "/stall" {
        return std::future::pending().await;
    }
    let is_head = head.method == http::Method::HEAD;
    let mut stream = respond.send_response(Response::new(()), is_head)?;
    if is_head {
        return Ok(());
    }
    if head.uri.path() != LARGE_PATH {
        let is_grpc = head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
        stream.send_data(tag.into(), !is_grpc)?;
        if is_grpc {
            let status =
                [(http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"))];
            stream.send_trailers(status.into_iter().collect())?;
        }
        return Ok(());
    }
    let mut left = LARGE;
    while left > 0 {
        stream.reserve_capacity(left.min(64 * 1024));
        let Some(capacity) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { break };
        let part = capacity?.min(left);
        left -= part;
        stream.send_data(vec![b'x'; part].into(), left == 0)?;
    }
    Ok(())
}

fn noted(head: &http::request::Parts, number: usize) -> Message {
    let mut fields = vec![(b":scheme".to_vec(), head.uri.scheme_str().unwrap_or_default().into())];
    if let Some(authority) = head.uri.authority() {
        fields.push((b":authority".to_vec(), authority.as_str().into()));
    }
    fields.extend(
        head.headers
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())),
    );
    Message {
        connection: number,
        method: head.method.as_str().into(),
        target: head.uri.path_and_query().map(http::uri::PathAndQuery::as_str).unwrap_or_default().into(),
        fields,
        http2: true,
        ..Message::default()
    }
}

/// A stream whose first bytes were read already.
struct Replayed {
    begin: Vec<u8>,
    stream: TcpStream,
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.begin.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let part = self.begin.len().min(buf.remaining());
        let bytes: Vec<u8> = self.begin.drain(..part).collect();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
