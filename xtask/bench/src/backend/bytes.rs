//! Services of plain bytes: one that waits for its client's first byte, one that speaks first. It must not know who calls.

use anyhow::Result;
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::MUCH;

/// What is written at once.
const PIECE: usize = 256 * 1024;

/// Waits for a byte of each client, and sends without end or answers once.
pub(super) async fn serve(listener: TcpListener, tasks: &Tasks) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that has enough closes the connection.
        tasks.spawn_local("bytes", async move { drop(one(stream).await) });
    }
}

async fn one(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let first = stream.read_u8().await?;
    if first != MUCH {
        stream.write_u8(first).await?;
        // The client closes first, so that no port of ours waits after it.
        drop(stream.read_u8().await);
        return Ok(());
    }
    let piece = super::body(PIECE);
    loop {
        stream.write_all(&piece).await?;
    }
}

/// Speaks first.
pub(super) async fn greet(listener: TcpListener, tasks: &Tasks) -> Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tasks.spawn_local("greeting", async move {
            if stream.set_nodelay(true).is_ok() && stream.write_all(b"220 bench ready\r\n").await.is_ok() {
                drop(stream.read_u8().await);
            }
        });
    }
}
