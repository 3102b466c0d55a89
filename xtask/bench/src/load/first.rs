//! How long a new connection takes to its first byte.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ANSWER;
use crate::stats::median;

/// Who begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// The client, at once.
    Client,
    /// The server; the client waits for it.
    Server,
}

/// Opens `count` connections, one after the other; the median from the connect to the first byte of the server, in milliseconds.
pub(crate) async fn run(to: SocketAddr, speaks: Speaks, count: usize) -> Result<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        tokio::time::timeout(ANSWER, one(to, speaks)).await.context("the first byte does not come")??;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    median(&times).context("no connection was made")
}

async fn one(to: SocketAddr, speaks: Speaks) -> Result<()> {
    let mut stream = TcpStream::connect(to).await.with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    if speaks == Speaks::Client {
        // No protocol begins with it.
        stream.write_u8(1).await?;
    }
    stream.read_u8().await.context("read the first byte")?;
    Ok(())
}
