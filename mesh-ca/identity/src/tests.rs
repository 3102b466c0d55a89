//! Facts about identities, over real handshakes in memory.

mod approved;
mod federation;
mod handshakes;
mod hostile;
mod profile;
mod sockets;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::ExpectedServer;
use crate::testing::TestCa;
use crate::tls::server_name;

const DEADLINE: Duration = Duration::from_secs(30);

type Server = tokio_rustls::server::TlsStream<DuplexStream>;
type Client = tokio_rustls::client::TlsStream<DuplexStream>;

/// Both ends of a handshake with one byte each way after it: in TLS 1.3 a client learns that it was refused, and gets
/// its ticket, only when it reads.
async fn connect(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> (io::Result<Client>, io::Result<Server>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = async {
        let mut stream = TlsConnector::from(client).connect(server_name(), near).await?;
        stream.write_all(b"?").await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    let server = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.read_u8().await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        Ok(stream)
    };
    tokio::time::timeout(DEADLINE, async { tokio::join!(client, server) }).await.unwrap()
}

fn exactly(ca: &TestCa, namespace: &str, account: &str) -> ExpectedServer {
    ExpectedServer::Exactly(ca.id(namespace, account))
}
