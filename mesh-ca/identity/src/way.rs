//! How another part of the mesh is reached: an address, a name, or a tunnel that the caller brings. It must not know TLS, or what is
//! said.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use mesh_reach::HostPort;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, whatever carries it.
pub type Bytes = Box<dyn Duplex>;

/// A connection that is being made.
pub type Opening = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

/// A way to a peer that is no TCP connection of this machine. Its name is for people.
pub trait Tunnel: fmt::Debug + fmt::Display + Send + Sync {
    /// Opens one more connection. It sets its own deadline.
    fn open(&self) -> Opening;
}

/// Where somebody is and how one gets there.
#[derive(Debug, Clone)]
pub enum Way {
    /// By TCP.
    Tcp(HostPort),
    /// Through something.
    Through(Arc<dyn Tunnel>),
}

impl Way {
    /// What HTTP calls the peer. It decides nothing: who the peer is, its certificate says.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Tcp(target) => target.to_string(),
            Self::Through(_) => "tunnel.invalid".to_owned(),
        }
    }

    /// What TLS calls the peer. It decides nothing, either; sessions are kept under it.
    pub(crate) fn server_name(&self) -> ServerName<'static> {
        let unnamed = || ServerName::try_from("tunnel.invalid").expect("a literal of the right form");
        match self {
            Self::Tcp(target) => match (target.address(), target.name()) {
                (Some(address), _) => ServerName::IpAddress(address.ip().into()),
                (None, Some(name)) => {
                    let name = name.trim_end_matches('.').to_owned();
                    ServerName::try_from(name).unwrap_or_else(|_| unnamed())
                }
                (None, None) => unnamed(),
            },
            Self::Through(_) => unnamed(),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(target) => target.fmt(f),
            Self::Through(tunnel) => tunnel.fmt(f),
        }
    }
}

impl From<HostPort> for Way {
    fn from(target: HostPort) -> Self {
        Self::Tcp(target)
    }
}

impl From<SocketAddr> for Way {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.into())
    }
}
