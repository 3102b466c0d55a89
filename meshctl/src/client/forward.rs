//! A port of this machine whose connections go through a tunnel. It must not know what is said on them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_identity::Tunnel;
use mesh_lifecycle::accept::{self, Accepting};
use mesh_lifecycle::bind::{self, BindError, ReusePort};
use mesh_lifecycle::tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::PodPort;

/// Connections at once; more wait in the kernel's queue. A browser opens six.
pub(crate) const MAX_CONNECTIONS: usize = 64;

/// A port that is ours.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Takes the port.
    pub(crate) fn at(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError::new(address, source);
        let listener = TcpListener::from_std(bind::tcp(address, ReusePort::No)?).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Its connections go there.
    pub(crate) fn through(self, tunnel: PodPort) -> Forward {
        Forward { listening: self, tunnel: Arc::new(tunnel) }
    }
}

/// A port and where it leads.
#[derive(Debug)]
pub(crate) struct Forward {
    listening: Listening,
    tunnel: Arc<PodPort>,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.tunnel, f)
    }
}

impl Forward {
    /// Where it begins.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// Carries connections until it is dropped or `tasks` end.
    pub(crate) async fn run(self, tasks: &Tasks) {
        let accepting = Accepting { what: "the port", task: "forward", most: MAX_CONNECTIONS };
        let Self { listening, tunnel } = self;
        accept::each(
            &listening.listener,
            accepting,
            tasks,
            || {},
            |stream| carry(stream, Arc::clone(&tunnel)),
        )
        .await;
    }
}

/// The browser sees a closed connection where the tunnel fails, and its page says that the controller is away.
async fn carry(mut stream: TcpStream, tunnel: Arc<PodPort>) {
    let mut far = match tunnel.open().await {
        Ok(far) => far,
        Err(error) => return tracing::error!(%error, "{tunnel} cannot be reached"),
    };
    if let Err(error) = tokio::io::copy_bidirectional(&mut stream, &mut far).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
