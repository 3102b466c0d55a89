//! How a client reaches the proxy under test: where, in plaintext or as a member of the mesh, and what it calls the service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_identity::{ExpectedServer, Identity};
use mesh_model::spiffe::SpiffeId;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::recorder::Recorder;

const CONNECT: Duration = Duration::from_secs(30);

/// A byte stream of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A connection to the proxy.
pub(crate) type Stream = Box<dyn Io>;

/// Which protocol a member of the mesh asks for in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// What kind of port it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// It stands for one destination, whatever Host says.
    Destination,
    /// The HTTP proxy port: each request names its destination.
    Proxy,
    /// The mesh port.
    Mesh,
}

/// A member's configurations for HTTP/1 and HTTP/2.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) http1: Arc<ClientConfig>,
    pub(crate) http2: Arc<ClientConfig>,
}

impl Member {
    /// Of `identity`, to the sidecar of `server`.
    pub(crate) fn new(identity: &Identity, server: &SpiffeId) -> Self {
        let to = |alpn| identity.client_config(ExpectedServer::Exactly(server.clone()), &[alpn]);
        Self { http1: to(b"amime/h1"), http2: to(b"amime/h2") }
    }
}

/// One way to the proxy.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    /// As it is printed: `outbound`, `inbound mtls`.
    pub(crate) name: String,
    pub(crate) port: Port,
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) member: Option<Member>,
    pub(crate) recorder: Recorder,
    pub(crate) pid: Option<u32>,
}

impl Way {
    /// A new connection.
    pub(crate) async fn connect(&self, speaks: Speaks) -> Result<Stream> {
        tokio::time::timeout(CONNECT, self.open(speaks)).await.context("no connection within 30 s")?
    }

    async fn open(&self, speaks: Speaks) -> Result<Stream> {
        let stream =
            TcpStream::connect(self.address).await.with_context(|| format!("connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        let Some(member) = &self.member else { return Ok(Box::new(stream)) };
        let config = match speaks {
            Speaks::Http1 => &member.http1,
            Speaks::Http2 => &member.http2,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let name = mesh_identity::server_name();
        Ok(Box::new(connector.connect(name, stream).await.context("the handshake of the mesh")?))
    }
}
