//! Bytes without end over a few connections: how many come through, and what they cost.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ANSWER, Tally};
use crate::accounting::cpu_nanos;
use crate::backend::MUCH;

/// For windows and buffers to grow.
const WARM_UP: Duration = Duration::from_millis(500);
const END: Duration = Duration::from_secs(5);
const BUFFER: usize = 512 * 1024;
const MIB: f64 = 1024.0 * 1024.0;

/// One round against one pair of proxies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) mib_per_second: f64,
    /// CPU time of both proxies.
    pub(crate) cpu_ms_per_mib: f64,
}

/// Reads from `connections` at once for `window` and accounts the processes `pids`.
pub(crate) async fn run(to: SocketAddr, connections: usize, pids: &[u32], window: Duration) -> Result<Round> {
    let (got, tally, tasks) = (Rc::new(Cell::new(0_u64)), Rc::new(Tally::default()), Tasks::new());
    for _ in 0..connections {
        let stream = tokio::time::timeout(ANSWER, open(to)).await.context("no byte comes through")??;
        let (got, tally) = (Rc::clone(&got), Rc::clone(&tally));
        tasks.spawn_local("bulk", async move {
            let ended = read(stream, &got, &tally).await;
            if !tally.stop.get() {
                tally.count(ended.and(Err(anyhow::anyhow!("a connection ended by itself"))));
            }
        });
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, cpu, begin) = (got.get(), cpu_nanos(pids)?, Instant::now());
    tokio::time::sleep(window).await;
    let (bytes, cpu, time) = (got.get() - before, cpu_nanos(pids)?.saturating_sub(cpu), begin.elapsed());
    tally.stop.set(true);
    tasks.shutdown(END).await;
    let why = tally.why.borrow().clone().unwrap_or_default();
    ensure!(tally.failed.get() == 0, "{} connections failed, the first with: {why}", tally.failed.get());
    ensure!(bytes > 0, "no byte came within the window");
    let mib = bytes as f64 / MIB;
    Ok(Round { mib_per_second: mib / time.as_secs_f64(), cpu_ms_per_mib: cpu as f64 / 1e6 / mib })
}

async fn open(to: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await.with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    stream.write_u8(MUCH).await?;
    stream.read_u8().await.context("read the first byte")?;
    Ok(stream)
}

async fn read(mut stream: TcpStream, got: &Cell<u64>, tally: &Tally) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    while !tally.stop.get() {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        got.set(got.get() + count as u64);
    }
    Ok(())
}
