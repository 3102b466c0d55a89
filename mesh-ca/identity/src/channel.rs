//! gRPC channels between the parts of the mesh. They must not know which service is called.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use mesh_reach::Resolver;
use rustls::ClientConfig;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::identity::{ExpectedServer, Identity};
use crate::way::{Bytes, Way};

/// Connecting, with the lookup and the handshake, takes no longer.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A peer that is gone is noticed after interval and timeout.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The protocol of gRPC in ALPN.
pub(crate) const H2: &[&[u8]] = &[b"h2"];

/// A channel over mTLS. It connects with the first call and again whenever the connection is lost; each connection
/// is made with the certificate and the bundle of its moment, and to an address that the name has at that moment. A call
/// fails with `UNAVAILABLE` while there is none.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn connect(identity: &Identity, to: impl Into<Way>, expected: ExpectedServer) -> Channel {
    dial(to.into(), identity.mark(), identity.client_config(expected, H2))
}

pub(crate) fn dial(way: Way, mark: Option<u32>, config: Arc<ClientConfig>) -> Channel {
    // Scheme `http`, because it is this connector and not tonic that speaks TLS.
    Endpoint::from_shared(format!("http://{}", way.authority()))
        .expect("an address or a name with a port is a valid authority")
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(Dial { way, mark, connector: TlsConnector::from(config) })
}

/// Opens the way and shakes hands.
struct Dial {
    way: Way,
    mark: Option<u32>,
    connector: TlsConnector,
}

type Dialled = Pin<Box<dyn Future<Output = Result<TokioIo<TlsStream<Bytes>>, DialError>> + Send>>;

impl Service<Uri> for Dial {
    type Response = TokioIo<TlsStream<Bytes>>;
    type Error = DialError;
    type Future = Dialled;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let (way, mark, connector) = (self.way.clone(), self.mark, self.connector.clone());
        Box::pin(async move {
            let stream = open(&way, mark).await?;
            let name = way.server_name();
            let stream = connector.connect(name, stream).await;
            Ok(TokioIo::new(stream.map_err(|source| DialError::Tls { peer: way.to_string(), source })?))
        })
    }
}

async fn open(way: &Way, mark: Option<u32>) -> Result<Bytes, DialError> {
    match way {
        Way::Tcp(target) => {
            let until = Instant::now() + CONNECT_DEADLINE;
            let stream = mesh_reach::tcp(target, &Resolver::marked(mark), until).await?;
            // Small messages must not wait for each other; without it the channel works too.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(stream))
        }
        Way::Through(tunnel) => {
            tunnel.open().await.map_err(|source| DialError::Tunnel { peer: tunnel.to_string(), source })
        }
    }
}

/// Why there is no connection; found in the sources of tonic's `Status`.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// There is no such name, or nobody answers there.
    #[error(transparent)]
    Reach(#[from] mesh_reach::DialError),
    /// There is no way there.
    #[error("cannot reach {peer}")]
    Tunnel {
        /// Where.
        peer: String,
        /// What the tunnel says.
        source: std::io::Error,
    },
    /// Somebody answers whom this process does not trust, or who does not trust it.
    #[error("the TLS handshake with {peer} failed")]
    Tls {
        /// Where.
        peer: String,
        /// What rustls says.
        source: std::io::Error,
    },
}
