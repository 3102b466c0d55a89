//! Small things that server and client share: tasks of hyper, and the report's one request.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_lifecycle::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest report.
const MOST: u64 = 1 << 20;
/// For whoever is in the same pod.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives hyper's tasks to the set that ends with the process.
#[derive(Clone)]
pub(crate) struct Executor(pub(crate) Tasks);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn("http2", task);
    }
}

/// What a `load` says about itself: it writes that to whoever connects.
pub(crate) async fn get(from: SocketAddr) -> Result<String> {
    let read = async {
        let stream = TcpStream::connect(from).await.with_context(|| format!("no load listens on {from}"))?;
        let mut text = String::new();
        stream.take(MOST).read_to_string(&mut text).await.context("read the report")?;
        Ok(text.trim().to_owned())
    };
    tokio::time::timeout(PATIENCE, read).await.context("no report within 5 s")?
}

/// Asks a sidecar's admin port to drain it.
pub(crate) async fn end_sidecar(admin: SocketAddr) -> Result<()> {
    let ask = async {
        let mut stream =
            TcpStream::connect(admin).await.with_context(|| format!("no sidecar listens on {admin}"))?;
        let request =
            b"POST /drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(request).await.context("ask")?;
        let mut answer = Vec::new();
        stream.take(MOST).read_to_end(&mut answer).await.context("read the answer")?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("HTTP/1.1 202"), "the sidecar answers `{answer}`");
        Ok(())
    };
    tokio::time::timeout(PATIENCE, ask).await.context("no answer within 5 s")?
}
