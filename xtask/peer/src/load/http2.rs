//! HTTP/2 and gRPC: one connection for everything, and a new one when the other side ends it.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use mesh_lifecycle::Tasks;

use crate::exec::Executor;
use crate::server::{WHOLE, message, messages};

use super::dial;

type Sender = SendRequest<Full<Bytes>>;

/// The connection, once there is one.
pub(super) struct Client {
    to: String,
    tasks: Tasks,
    sender: RefCell<Option<Sender>>,
    /// One at a time makes a new one.
    connecting: tokio::sync::Semaphore,
}

impl Client {
    pub(super) fn new(to: &str, tasks: &Tasks) -> Self {
        Self {
            to: to.to_owned(),
            tasks: tasks.clone(),
            sender: RefCell::new(None),
            connecting: tokio::sync::Semaphore::new(1),
        }
    }

    /// Who answered with 200 and a whole body.
    pub(super) async fn get(self: Rc<Self>) -> Result<String> {
        let (by, answer) = self.send(&self.request("/", Method::GET, Bytes::new())?).await?;
        answer.into_body().collect().await.context("read the body")?;
        Ok(by)
    }

    /// Who sent every message of the stream, and status 0 at its end.
    pub(super) async fn call(self: Rc<Self>) -> Result<String> {
        let mut request = self.request("/peer.Peer/Tick", Method::POST, message(b"begin"))?;
        let headers = request.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        let (by, answer) = self.send(&request).await?;
        let in_head = answer.headers().get("grpc-status").cloned();
        let body = answer.into_body().collect().await.context("read the stream")?;
        let status = body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned()).or(in_head);
        let status = status.context("the stream has no grpc-status")?;
        ensure!(status == "0", "grpc-status {}", status.to_str().unwrap_or("?"));
        let received = messages(&body.to_bytes());
        ensure!(received == Some(WHOLE), "{received:?} messages");
        Ok(by)
    }

    fn request(&self, path: &str, method: Method, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let uri = format!("http://{}{path}", self.to);
        Request::builder().method(method).uri(uri).body(Full::new(body)).context("the name of the host")
    }

    /// What was not sent since the connection is at its end is sent on a new one.
    async fn send(&self, request: &Request<Full<Bytes>>) -> Result<(String, Response<Incoming>)> {
        loop {
            let mut sender = self.sender().await?;
            let answer = match sender.try_send_request(request.clone()).await {
                Ok(answer) => answer,
                Err(error) if error.message().is_some() => {
                    *self.sender.borrow_mut() = None;
                    continue;
                }
                Err(error) => {
                    if sender.is_closed() {
                        self.forget();
                    }
                    bail!(anyhow::Error::from(error.into_error()).context("ask"));
                }
            };
            ensure!(answer.status() == 200, "status {}", answer.status().as_u16());
            let by = answer.headers().get("x-peer").map(HeaderValue::to_str);
            return Ok((by.and_then(Result::ok).unwrap_or_default().to_owned(), answer));
        }
    }

    fn forget(&self) {
        let mut kept = self.sender.borrow_mut();
        if kept.as_ref().is_some_and(Sender::is_closed) {
            *kept = None;
        }
    }

    async fn sender(&self) -> Result<Sender> {
        loop {
            let kept = self.sender.borrow().clone();
            if let Some(mut sender) = kept.filter(|sender| !sender.is_closed()) {
                if sender.ready().await.is_ok() {
                    return Ok(sender);
                }
                self.forget();
                continue;
            }
            let _one = self.connecting.acquire().await.context("connect")?;
            if self.sender.borrow().as_ref().is_some_and(|sender| !sender.is_closed()) {
                continue;
            }
            let stream = dial(&self.to).await?;
            let (sender, connection) =
                hyper::client::conn::http2::handshake(Executor(self.tasks.clone()), TokioIo::new(stream))
                    .await
                    .context("connect")?;
            self.tasks.spawn("connection", async move {
                // Its requests say what failed.
                connection.await.ok();
            });
            *self.sender.borrow_mut() = Some(sender);
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("to", &self.to).finish_non_exhaustive()
    }
}
