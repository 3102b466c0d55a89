//! Closed loop: every connection or stream asks again as soon as it was answered. Shows what a request costs at saturation.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mesh_lifecycle::tasks::Tasks;

use super::{H1_CONNECTIONS, H2_CONNECTIONS, Kind, Tally, h1, h2, h2_lean};
use crate::accounting::cpu_nanos;

/// For connections to fill, caches to warm and balancers to learn.
const WARM_UP: Duration = Duration::from_millis(300);
/// Clients that notice late that the run is over.
const END: Duration = Duration::from_secs(15);

/// One round against one proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// CPU time of the proxy for each request, microseconds.
    pub(crate) cpu_us: f64,
    /// Answers a second.
    pub(crate) rate: f64,
}

/// Loads `to` for `window` and accounts the processes `pids`. A failed request fails the round: a proxy that refuses is cheap.
pub(crate) async fn run(
    to: SocketAddr,
    kind: Kind,
    host: &str,
    pids: &[u32],
    window: Duration,
) -> Result<Round> {
    let (tally, tasks) = (Rc::new(Tally::default()), Tasks::new());
    match kind {
        Kind::H1 | Kind::Large => {
            for _ in 0..H1_CONNECTIONS {
                let mut client = h1::connect(to, kind, host).await?;
                let tally = Rc::clone(&tally);
                tasks.spawn_local("load", async move {
                    while !tally.stop.get() && tally.count(client.ask().await) {}
                });
            }
        }
        Kind::H2 | Kind::Grpc => {
            h2::connect(to, kind, host, &tasks).await?.ask().await?;
            for _ in 0..H2_CONNECTIONS {
                let connection = h2_lean::connect(to, kind, host).await?;
                let tally = Rc::clone(&tally);
                tasks.spawn_local("load", async move {
                    if let Err(error) = connection.work(&tally).await {
                        tally.count(Err(error));
                    }
                });
            }
        }
    }
    tokio::time::sleep(WARM_UP).await;
    let measured = measure(&tally, pids, window).await;
    tally.stop.set(true);
    tasks.shutdown(END).await;
    tally.verdict()?;
    measured
}

async fn measure(tally: &Tally, pids: &[u32], window: Duration) -> Result<Round> {
    let (done, cpu, begin) = (tally.done.get(), cpu_nanos(pids)?, Instant::now());
    tokio::time::sleep(window).await;
    let (done, cpu, time) = (tally.done.get() - done, cpu_nanos(pids)?.saturating_sub(cpu), begin.elapsed());
    tally.verdict()?;
    ensure!(done > 0, "no request was answered within the window");
    Ok(Round { cpu_us: cpu as f64 / 1e3 / done as f64, rate: done as f64 / time.as_secs_f64() })
}
