//! A full HTTP/2 client without TLS, for the one answer of a round that is looked at in full: status, length, trailers.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use mesh_lifecycle::tasks::Tasks;
use tokio::net::TcpStream;

use super::{ANSWER, Kind, grpc_message};
use crate::backend::SMALL;

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    send: SendRequest<Bytes>,
    head: Request<()>,
    message: Option<Bytes>,
}

/// Connects by prior knowledge (RFC 9113 section 3.3); `tasks` drives the connection.
pub(crate) async fn connect(to: SocketAddr, kind: Kind, host: &str, tasks: &Tasks) -> Result<Client> {
    let stream = tokio::time::timeout(ANSWER, TcpStream::connect(to)).await?;
    let stream = stream.with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    let (send, connection) =
        tokio::time::timeout(ANSWER, h2::client::Builder::new().handshake(stream)).await??;
    tasks.spawn_local("h2 client", async move {
        // How a connection ends shows in the requests that were on it.
        let _ = connection.await;
    });
    let message = (kind == Kind::Grpc).then(|| grpc_message(SMALL));
    Ok(Client { send, head: head(kind, host)?, message })
}

fn head(kind: Kind, host: &str) -> Result<Request<()>> {
    let request = Request::builder().header("x-client-version", "7.31.0").header("x-tenant", "acme");
    let request = if kind == Kind::Grpc {
        request
            .method("POST")
            .uri(format!("http://{host}/bench.v1.Echo/Say"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "10S")
            .header("user-agent", "grpc-bench/1.0")
    } else {
        request
            .method("GET")
            .uri(format!("http://{host}/api/v1/items/42?fields=name,price"))
            .header("accept", "application/json, text/plain;q=0.9")
            .header("user-agent", "mesh-bench/1.0 (load generator)")
    };
    request.body(()).context("make the request")
}

impl Client {
    /// Asks once and takes the whole answer; anything but 200 (and grpc-status 0) is an error, and so is one that is late.
    pub(crate) async fn ask(&mut self) -> Result<()> {
        tokio::time::timeout(ANSWER, self.exchange()).await?
    }

    async fn exchange(&mut self) -> Result<()> {
        let mut send = self.send.clone().ready().await?;
        let (answer, mut stream) = send.send_request(self.head.clone(), self.message.is_none())?;
        if let Some(message) = &self.message {
            stream.send_data(message.clone(), true)?;
        }
        let answer = answer.await?;
        ensure!(answer.status() == 200, "answered {}", answer.status());
        let mut body = answer.into_body();
        let mut got = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            got += data.len();
            body.flow_control().release_capacity(data.len())?;
        }
        let trailers = body.trailers().await?;
        let Some(message) = &self.message else {
            ensure!(got == SMALL, "{got} bytes");
            return Ok(());
        };
        let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        ensure!(status.is_some_and(|status| status == "0"), "grpc-status {status:?}");
        ensure!(got == message.len(), "{got} bytes");
        Ok(())
    }
}
