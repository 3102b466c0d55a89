//! HTTP/1.1: connections are kept and used again, as clients do.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use mesh_lifecycle::Tasks;

use super::dial;

type Sender = SendRequest<Full<Bytes>>;

/// Connections that wait for a request.
pub(super) struct Client {
    to: String,
    tasks: Tasks,
    idle: RefCell<Vec<Sender>>,
}

impl Client {
    pub(super) fn new(to: &str, tasks: &Tasks) -> Self {
        Self { to: to.to_owned(), tasks: tasks.clone(), idle: RefCell::default() }
    }

    /// Who answered with 200 and a whole body.
    pub(super) async fn ask(self: Rc<Self>) -> Result<String> {
        let (mut sender, answer) = self.send().await?;
        ensure!(answer.status() == 200, "status {}", answer.status().as_u16());
        let by = answer.headers().get("x-peer").map(HeaderValue::to_str);
        let by = by.and_then(Result::ok).unwrap_or_default().to_owned();
        answer.into_body().collect().await.context("read the body")?;
        if sender.ready().await.is_ok() {
            self.idle.borrow_mut().push(sender);
        }
        Ok(by)
    }

    /// A connection that the other side closed before anything was sent is no failure: then the next one.
    async fn send(&self) -> Result<(Sender, Response<Incoming>)> {
        loop {
            let kept = self.idle.borrow_mut().pop();
            let (mut sender, is_kept) = match kept {
                Some(sender) if sender.is_closed() => continue,
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            let mut request = Request::new(Full::new(Bytes::new()));
            let host = HeaderValue::from_str(&self.to).context("the name of the host")?;
            request.headers_mut().insert(http::header::HOST, host);
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok((sender, answer)),
                Err(error) if is_kept && error.message().is_some() => {}
                Err(error) => bail!(anyhow::Error::from(error.into_error()).context("ask")),
            }
        }
    }

    async fn connect(&self) -> Result<Sender> {
        let stream = dial(&self.to).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("connect")?;
        self.tasks.spawn("connection", async move {
            // Its requests say what failed.
            connection.await.ok();
        });
        Ok(sender)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("to", &self.to).finish_non_exhaustive()
    }
}
