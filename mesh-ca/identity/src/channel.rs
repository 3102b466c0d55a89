//! gRPC channels between the parts of the mesh. They must not know which service is called.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::identity::{ExpectedServer, Identity};

/// Connecting, with the handshake, takes no longer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A peer that is gone is noticed after interval and timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The protocol of gRPC in ALPN.
pub(crate) const H2: &[&[u8]] = &[b"h2"];

/// A channel over mTLS. It connects with the first call and again whenever the connection is lost; each connection
/// is made with the certificate and the bundle of its moment. A call fails with `UNAVAILABLE` while there is none.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn connect(identity: &Identity, addr: SocketAddr, expected: ExpectedServer) -> Channel {
    dial(addr, identity.mark(), identity.client_config(expected, H2))
}

pub(crate) fn dial(addr: SocketAddr, mark: Option<u32>, config: Arc<ClientConfig>) -> Channel {
    // Scheme `http`, because it is this connector and not tonic that speaks TLS.
    Endpoint::from_shared(format!("http://{addr}"))
        .expect("a socket address is a valid authority")
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(Dial { addr, mark, connector: TlsConnector::from(config) })
}

/// Connects to one address and shakes hands.
struct Dial {
    addr: SocketAddr,
    mark: Option<u32>,
    connector: TlsConnector,
}

type Dialled = Pin<Box<dyn Future<Output = Result<TokioIo<TlsStream<TcpStream>>, DialError>> + Send>>;

impl Service<Uri> for Dial {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = DialError;
    type Future = Dialled;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let (addr, mark, connector) = (self.addr, self.mark, self.connector.clone());
        Box::pin(async move {
            let stream = mesh_lifecycle::dial::tcp(addr, mark)
                .await
                .map_err(|source| DialError::Connect { addr, source })?;
            // Small messages must not wait for each other; without it the channel works too.
            let _ = stream.set_nodelay(true);
            let name = ServerName::IpAddress(addr.ip().into());
            let stream =
                connector.connect(name, stream).await.map_err(|source| DialError::Tls { addr, source })?;
            Ok(TokioIo::new(stream))
        })
    }
}

/// Why there is no connection; found in the sources of tonic's `Status`.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answers there.
    #[error("cannot connect to {addr}")]
    Connect {
        /// Where.
        addr: SocketAddr,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// Somebody answers whom this process does not trust, or who does not trust it.
    #[error("the TLS handshake with {addr} failed")]
    Tls {
        /// Where.
        addr: SocketAddr,
        /// What rustls says.
        source: std::io::Error,
    },
}
