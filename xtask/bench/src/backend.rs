//! The service behind all proxies: HTTP/1.1, HTTP/2 without TLS and gRPC-like answers, on a thread of its own. It answers
//! from prepared bytes, so that what is measured is the proxy. It must not know who calls.

mod bytes;
mod h1;
mod h2;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_lifecycle::tasks::Tasks;
use tokio::net::TcpListener;

/// Bytes of the small answer.
pub(crate) const SMALL: usize = 128;
/// Bytes of the large answer.
pub(crate) const LARGE: usize = 64 * 1024;
/// Where the large answer is.
pub(crate) const LARGE_PATH: &str = "/large";
/// Headers of every answer beside `content-length`: five, as a small service sends them.
const HEADERS: [(&str, &str); 5] = [
    ("content-type", "text/plain; charset=utf-8"),
    ("server", "bench-backend"),
    ("cache-control", "no-store, max-age=0"),
    ("x-service-version", "2026.11.4-rc1"),
    ("vary", "accept-encoding"),
];
/// To the service of bytes: send without end. Anything else is sent back, once.
pub(crate) const MUCH: u8 = 0xbe;
const START: Duration = Duration::from_secs(10);

/// Where the service listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backend {
    pub(crate) h1: SocketAddr,
    pub(crate) h2: SocketAddr,
    /// A client says with its first byte what it wants: see [`MUCH`].
    pub(crate) bytes: SocketAddr,
    /// Speaks first.
    pub(crate) greets: SocketAddr,
}

/// Starts it; it runs as long as this process. The thread inherits the caller's core.
pub(crate) fn start() -> Result<Backend> {
    let (found, told) = sync_channel(1);
    let serve = move || {
        let serving = runtime().and_then(|runtime| {
            let local = tokio::task::LocalSet::new();
            runtime.block_on(local.run_until(async {
                let h1 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let h2 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let bytes = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let greets = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let here = Backend {
                    h1: h1.local_addr()?,
                    h2: h2.local_addr()?,
                    bytes: bytes.local_addr()?,
                    greets: greets.local_addr()?,
                };
                if found.send(Ok(here)).is_err() {
                    return Ok(());
                }
                let tasks = Tasks::new();
                tokio::try_join!(
                    h1::serve(h1, &tasks),
                    h2::serve(h2, &tasks),
                    bytes::serve(bytes, &tasks),
                    bytes::greet(greets, &tasks),
                )?;
                Ok(())
            }))
        });
        if let Err(error) = serving {
            // The first error reaches whoever waits for the addresses; later ones end the connections they belong to.
            let _ = found.send(Err(error));
        }
    };
    std::thread::Builder::new().name("backend".to_owned()).spawn(serve).context("start the back end")?;
    told.recv_timeout(START).context("the back end does not start")?
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")
}

fn body(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}
