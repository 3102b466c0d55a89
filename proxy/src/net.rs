//! Sockets: listeners, accepting, connecting, and the one stream type that the rest of the proxy reads and writes. Nothing else
//! opens a socket (INV-2). It must not know what the bytes mean.

mod accept;
mod namespace;
mod stream;

pub use accept::{Accepted, Listener, Notice, accept};
pub use namespace::{Namespace, NamespaceError, join_user_namespace};
pub use stream::{Duplex, Stream};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mesh_lifecycle::bind::{self, BindError};
use tokio::net::{TcpStream, UdpSocket};

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

/// Sockets for names, over UDP and TCP; where the application is, if that is not here.
pub fn names(
    network: Option<&Namespace>,
    address: SocketAddr,
) -> Result<(std::net::UdpSocket, std::net::TcpListener), BindError> {
    let Some(network) = network else { return bind::udp_and_tcp(address) };
    let gone = || BindError::new(address, io::Error::other("the thread in the namespace is gone"));
    network.within(move || bind::udp_and_tcp(address)).unwrap_or_else(|| Err(gone()))
}

/// A socket for datagrams to and from one peer, on a random port: the kernel drops what comes from anywhere else.
pub async fn datagrams(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr =
        if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(peer).await?;
    Ok(socket)
}

/// Whether this machine has a way to the address. Nothing is sent: the kernel looks for a route.
pub fn is_routable(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    std::net::UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 53))).is_ok()
}

/// Whether the address is this machine's own.
pub fn is_own(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// Turns Nagle's algorithm off. It can only fail on a socket that is already dead, which the next read reports.
pub(crate) fn no_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
}
