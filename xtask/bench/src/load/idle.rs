//! Idle connections: each is opened, asks once and stays. What the proxy's memory grew by is what a connection costs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ANSWER, Kind, h1};
use crate::accounting::{Memory, memory};

/// Connections that stay open.
pub(crate) const CONNECTIONS: usize = 2000;
/// For buffers to be given back after the last answer.
const SETTLE: Duration = Duration::from_secs(2);

/// Memory before the connections and with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    /// Before anything was asked.
    pub(crate) fresh: Memory,
    /// After the first request.
    pub(crate) before: Memory,
    pub(crate) with: Memory,
}

impl Growth {
    /// Private memory of one connection, KiB.
    pub(crate) fn per_connection(&self) -> f64 {
        let grown = self.with.private_kib.saturating_sub(self.before.private_kib);
        grown as f64 / CONNECTIONS as f64
    }
}

/// How the connections are made.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Plain,
    /// TLS with a certificate of ours; the name is what SNI says.
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

/// Opens the connections one after the other, so that the proxy needs one connection to the back end.
pub(crate) async fn run(to: SocketAddr, host: &str, pids: &[u32], way: &Way) -> Result<Growth> {
    let fresh = memory(pids)?;
    // One first: what the proxy makes once, for its first request, is no connection's cost.
    let first = open(to, host, way).await?;
    let before = memory(pids)?;
    let mut open_ones = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        let one = open(to, host, way).await;
        open_ones.push(one.with_context(|| format!("connection {number} of {CONNECTIONS}"))?);
    }
    tokio::time::sleep(SETTLE).await;
    let with = memory(pids)?;
    drop((first, open_ones));
    Ok(Growth { fresh, before, with })
}

/// A connection that nothing is asked of any more.
#[derive(Debug)]
enum Open {
    Plain(#[expect(dead_code, reason = "kept open")] h1::Client<TcpStream>),
    Tls(
        #[expect(dead_code, reason = "kept open")]
        Box<h1::Client<tokio_rustls::client::TlsStream<TcpStream>>>,
    ),
}

async fn open(to: SocketAddr, host: &str, way: &Way) -> Result<Open> {
    let opening = async {
        match way {
            Way::Plain => {
                let mut client = h1::connect(to, Kind::H1, host).await?;
                client.ask().await?;
                client.rest();
                Ok(Open::Plain(client))
            }
            Way::Tls(config, name) => {
                let stream = TcpStream::connect(to).await.with_context(|| format!("connect to {to}"))?;
                stream.set_nodelay(true)?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?;
                let mut client = h1::Client::new(stream, h1::request(Kind::H1, host));
                client.ask().await?;
                client.rest();
                Ok(Open::Tls(Box::new(client)))
            }
        }
    };
    match tokio::time::timeout(ANSWER, opening).await {
        Ok(opened) => opened,
        Err(_) => bail!("{to} does not answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_divided_by_the_connections() {
        let growth = Growth {
            fresh: Memory::default(),
            before: Memory { private_kib: 1000, resident_kib: 0 },
            with: Memory { private_kib: 7000, resident_kib: 0 },
        };
        assert!((growth.per_connection() - 3.0).abs() < 1e-9);
    }
}
