//! Sockets: listeners, accepting, connecting, and the one stream type that the rest of the proxy reads and writes. Nothing else
//! opens a socket (INV-2). It must not know what the bytes mean.

mod accept;
mod namespace;
mod stream;

pub use accept::{Accepted, Listener, Notice, accept};
pub use namespace::{Namespace, NamespaceError, join_user_namespace};
pub use stream::{Duplex, Stream};

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The peer or the network refused.
    #[error("cannot connect to {address}")]
    Refused {
        /// The peer.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No answer within the deadline.
    #[error("no answer from {address} within {deadline:?}")]
    Timeout {
        /// The peer.
        address: SocketAddr,
        /// The deadline.
        deadline: Duration,
    },
}

/// Connects with a deadline; small writes leave at once (TCP_NODELAY).
pub async fn connect(address: SocketAddr, deadline: Duration) -> Result<TcpStream, ConnectError> {
    let attempt = TcpStream::connect(address);
    match tokio::time::timeout(deadline, attempt).await {
        Ok(Ok(stream)) => {
            no_delay(&stream);
            Ok(stream)
        }
        Ok(Err(source)) => Err(ConnectError::Refused { address, source }),
        Err(_) => Err(ConnectError::Timeout { address, deadline }),
    }
}

/// Addresses of a host outside the mesh, in the resolver's order.
pub async fn resolve(host: &str, port: u16, deadline: Duration) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::time::timeout(deadline, tokio::net::lookup_host((host, port))).await??;
    Ok(found.collect())
}

/// Turns Nagle's algorithm off. It can only fail on a socket that is already dead, which the next read reports.
pub(crate) fn no_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
}
