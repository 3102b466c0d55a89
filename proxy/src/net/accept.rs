//! Listeners and the accept loop: a permit is taken before a connection is, so that the bound holds and what is beyond it waits in
//! the kernel. It must not know what is done with a connection.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::backoff::Backoff;
use mesh_lifecycle::bind::{self, BindError};
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_util::sync::CancellationToken;

use super::{Namespace, Stream, canonical, no_delay};
use crate::config::Original;

/// A bound listener, not yet on a worker: std's, because tokio's belongs to the runtime that made it.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<std::net::TcpListener>,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address` once for each worker; the kernel spreads connections over them. With port 0 all share the port that the
    /// first one got.
    pub fn bind(address: SocketAddr, workers: usize) -> Result<Self, BindError> {
        Ok(Self::of(bind::tcp_group(address, workers)?, address))
    }

    /// The same in the network namespace of the application.
    pub fn bind_within(
        namespace: &Namespace,
        address: SocketAddr,
        workers: usize,
    ) -> Result<Self, BindError> {
        match namespace.within(move || bind::tcp_group(address, workers)) {
            Some(sockets) => Ok(Self::of(sockets?, address)),
            None => Err(BindError::new(address, io::Error::other("the thread in the namespace is gone"))),
        }
    }

    fn of(sockets: Vec<std::net::TcpListener>, address: SocketAddr) -> Self {
        let address = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(address);
        Self { sockets, address }
    }

    /// The same for captured connections. One on all addresses of IPv6 takes IPv4 too; on a machine without IPv6 it takes that alone.
    pub fn bind_captured(
        namespace: Option<&Namespace>,
        address: SocketAddr,
        how: Original,
        workers: usize,
    ) -> Result<Self, BindError> {
        let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
        let bind = |address| match namespace {
            Some(namespace) => Self::bind_within(namespace, address, workers),
            None => Self::bind(address, workers),
        };
        let listener = match bind(address) {
            Err(error) if address == all && !in_use(&error) => {
                bind((Ipv4Addr::UNSPECIFIED, address.port()).into())?
            }
            bound => bound?,
        };
        if how == Original::Transparent {
            for socket in &listener.sockets {
                transparent(socket).map_err(|source| BindError::new(address, source))?;
            }
        }
        Ok(listener)
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes one worker's socket.
    pub fn take(&mut self) -> Option<std::net::TcpListener> {
        self.sockets.pop()
    }
}

/// Takes connections to addresses that are not ours. Of a listener for both families IPv4 is asked first: what is captured decides.
fn transparent(socket: &std::net::TcpListener) -> io::Result<()> {
    let options = SockRef::from(socket);
    let both = [options.set_ip_transparent_v4(true), options.set_ip_transparent_v6(true)];
    if both.iter().any(Result::is_ok) {
        return Ok(());
    }
    let text = "it may not take connections to other addresses (TPROXY); it needs CAP_NET_ADMIN in its network namespace";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

fn in_use(error: &BindError) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|source| source.kind() == io::ErrorKind::AddrInUse)
}

/// A connection with its place under the bound, which it gives back when dropped.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: Stream,
    /// Who connected.
    pub peer: SocketAddr,
    /// Its place under the bound.
    pub permit: OwnedSemaphorePermit,
}

/// What the loop tells its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The bound is reached: connections wait in the kernel.
    AtBound,
    /// The system refused to accept, most often for want of file descriptors.
    Failed,
}

/// Accepts until `stop`, then takes what waits in the kernel already: those clients believe to be connected. At most `bound`
/// connections are open at once. `serve` must not block, `notice` counts.
pub async fn accept(
    socket: std::net::TcpListener,
    bound: usize,
    stop: CancellationToken,
    mut serve: impl FnMut(Accepted),
    mut notice: impl FnMut(Notice),
) -> io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    let permits = Arc::new(Semaphore::new(bound));
    let mut pause = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
    loop {
        let next = async {
            let permit = permit(&permits, &mut notice).await?;
            Some((permit, listener.accept().await))
        };
        let (permit, accepted) = tokio::select! {
            // The listener first, so that the queue is empty when `stop` is seen. Cancel-safe: nothing is taken and dropped.
            biased;
            next = next => match next {
                Some(next) => next,
                None => return Ok(()),
            },
            () = stop.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, peer)) => {
                pause.reset();
                no_delay(&stream);
                serve(Accepted { stream: Stream::tcp(stream), peer: canonical(peer), permit });
            }
            Err(error) => {
                notice(Notice::Failed);
                if needs_pause(&error) {
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::time::sleep(pause.next()).await;
                }
            }
        }
    }
}

/// A place under the bound; `None` once the semaphore is closed.
async fn permit(permits: &Arc<Semaphore>, notice: &mut impl FnMut(Notice)) -> Option<OwnedSemaphorePermit> {
    match Arc::clone(permits).try_acquire_owned() {
        Ok(permit) => Some(permit),
        Err(TryAcquireError::Closed) => None,
        Err(TryAcquireError::NoPermits) => {
            notice(Notice::AtBound);
            Arc::clone(permits).acquire_owned().await.ok()
        }
    }
}

/// Whether the listener itself is in trouble, not just the one connection that went away before it was accepted.
fn needs_pause(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
