//! Small things that server and client share: tasks of hyper, and the report's one request.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_lifecycle::Tasks;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Longest report.
const MOST: u64 = 1 << 20;

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
    tokio::time::timeout(Duration::from_secs(5), read).await.context("no report within 5 s")?
}
