//! HTTP/2 without TLS: plain answers, and for `application/grpc` a message with trailers.

use anyhow::Result;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use mesh_lifecycle::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};

use super::{HEADERS, SMALL, body};
use crate::load::grpc_message;

const STREAMS: u32 = 256;

pub(super) async fn serve(listener: TcpListener, tasks: &Tasks) -> Result<()> {
    let answers = (Bytes::from(body(SMALL)), grpc_message(SMALL));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (plain, message) = answers.clone();
        let inner = tasks.clone();
        tasks.spawn_local("backend h2", async move {
            // A proxy that closes a connection, even in the middle, is not this side's failure.
            let _ = connection(stream, &plain, &message, &inner).await;
        });
    }
}

async fn connection(stream: TcpStream, plain: &Bytes, message: &Bytes, tasks: &Tasks) -> Result<()> {
    let mut connection = h2::server::Builder::new().max_concurrent_streams(STREAMS).handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        if request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc") {
            let message = message.clone();
            tasks.spawn_local("backend grpc", async move {
                // The stream was reset by the caller; nothing is left to answer.
                let _ = grpc(request, respond, message).await;
            });
        } else {
            answer(respond, plain.clone())?;
        }
    }
    Ok(())
}

fn answer(mut respond: SendResponse<Bytes>, body: Bytes) -> Result<()> {
    let mut response = Response::builder().status(200).header("content-length", body.len());
    for (name, value) in HEADERS {
        response = response.header(name, value);
    }
    respond.send_response(response.body(())?, false)?.send_data(body, true)?;
    Ok(())
}

async fn grpc(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, message: Bytes) -> Result<()> {
    let mut body = request.into_body();
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    let head = Response::builder()
        .status(200)
        .header("content-type", "application/grpc")
        .header("server", "bench-backend")
        .body(())?;
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(message, false)?;
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    stream.send_trailers(trailers)?;
    Ok(())
}
