//! Sockets: listeners, accepting, connecting, and the one stream type that the rest of the proxy reads and writes. Nothing else
//! opens a socket (INV-2). It must not know what the bytes mean.

mod accept;
mod dialled;
mod namespace;
mod original;
mod stream;

pub use accept::{Accepted, Listener, Notice, accept};
pub use dialled::Toward;
pub use namespace::{Namespace, NamespaceError, join_network_namespace, join_user_namespace};
pub use original::{NoOriginal, canonical, is_ours, original_destination};
pub use stream::{Duplex, Stream};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mesh_lifecycle::bind::{self, BindError};
use mesh_lifecycle::dial;
use socket2::Socket;
use tokio::net::TcpStream;

use self::dialled::Dialled;

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

/// How connections are opened.
#[derive(Debug, Clone, Default)]
pub struct Dial {
    /// Where the sockets are made, when that is not here.
    pub network: Option<Namespace>,
    /// `SO_MARK`, by which traffic capture knows them.
    pub mark: Option<u32>,
    /// Whose address they come from, where it is not one of this machine's: the peer for which they are opened. Needs a privilege.
    pub source: Option<IpAddr>,
    /// Which of this machine's own addresses they come from, by which traffic capture knows them; the system chooses one for the
    /// family whose address is not there.
    pub own_sources: Option<(Ipv4Addr, Ipv6Addr)>,
    /// What they are for.
    pub toward: Toward,
    /// Whether capture is on, so that one that comes back to us is to be noticed.
    pub captured: bool,
}

/// Whether an application that refuses at its own address is tried on loopback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OrLoopback {
    /// Only its own address.
    #[default]
    No,
    /// Loopback of either family next.
    Yes,
}

/// Connects to an application, which may listen on loopback only.
pub async fn connect_app(
    address: SocketAddr,
    or_loopback: OrLoopback,
    how: &Dial,
    deadline: Duration,
) -> Result<Stream, ConnectError> {
    let first = connect(address, how, deadline).await;
    match &first {
        Err(ConnectError::Refused { source, .. })
            if or_loopback == OrLoopback::Yes && source.kind() == io::ErrorKind::ConnectionRefused => {}
        _ => return first,
    }
    for ip in loopbacks(address).into_iter().filter(|ip| *ip != address.ip()) {
        // A foreign source and loopback do not go together: the system drops such packets.
        let how = Dial { source: None, ..how.clone() };
        if let Ok(stream) = connect((ip, address.port()).into(), &how, deadline).await {
            return Ok(stream);
        }
    }
    first
}

/// The address's own family first.
fn loopbacks(address: SocketAddr) -> [IpAddr; 2] {
    let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if address.is_ipv4() { both } else { [both[1], both[0]] }
}

/// Connects with a deadline; small writes leave at once (TCP_NODELAY).
pub async fn connect(address: SocketAddr, how: &Dial, deadline: Duration) -> Result<Stream, ConnectError> {
    match tokio::time::timeout(deadline, open(address, how)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) => Err(ConnectError::Refused { address, source }),
        Err(_) => Err(ConnectError::Timeout { address, deadline }),
    }
}

async fn open(address: SocketAddr, how: &Dial) -> io::Result<Stream> {
    let socket = match &how.network {
        Some(network) => network.socket(address).await?,
        None => dial::socket(address)?,
    };
    let source = how.source.filter(|source| source.is_ipv4() == address.is_ipv4());
    if let Some(source) = source {
        from(&socket, source)?;
    } else if let Some((v4, v6)) = how.own_sources {
        let own = if address.is_ipv4() { IpAddr::V4(v4) } else { IpAddr::V6(v6) };
        match socket.bind(&SocketAddr::new(own, 0).into()) {
            Err(error) if error.kind() != io::ErrorKind::AddrNotAvailable => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let begun = dial::begin(socket, address, how.mark)?;
    // Noted before anybody can accept it.
    let dialled =
        if how.captured { Some(Dialled::new(canonical(begun.local_addr()?), how.toward)) } else { None };
    let stream = dial::complete(begun).await?;
    no_delay(&stream);
    Ok(Stream::dialled(stream, dialled))
}

/// Lets a connection come from an address that is not ours.
fn from(socket: &Socket, source: IpAddr) -> io::Result<()> {
    match source {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    socket.bind(&SocketAddr::new(source, 0).into())
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

/// Whether this machine has a way to the address. Nothing is sent: the kernel looks for a route.
pub fn is_routable(address: IpAddr) -> bool {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    std::net::UdpSocket::bind((any, 0)).and_then(|socket| socket.connect((address, 53))).is_ok()
}

/// Where a connection to that address comes from, as the kernel chooses. Nothing is sent.
pub fn source_toward(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
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
