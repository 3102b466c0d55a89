//! Sockets of the simulated network in the places of real ones: the way of a proxy to its controller, and the controller's listener.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_identity::incoming::PeerInfo;
use mesh_identity::{Bytes, Opening, Tunnel, peer_spiffe_id};
use mesh_lifecycle::{CancellationToken, Tasks};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

pub const PORT: u16 = 15010;
const HANDSHAKE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);

/// To a host of the simulation.
#[derive(Debug)]
pub struct ToHost(pub &'static str);

impl fmt::Display for ToHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Tunnel for ToHost {
    fn open(&self) -> Opening {
        let host = self.0;
        Box::pin(async move {
            let stream = tokio::time::timeout(CONNECT, turmoil::net::TcpStream::connect((host, PORT))).await;
            let stream: Bytes = Box::new(stream.map_err(std::io::Error::other)??);
            Ok(stream)
        })
    }
}

/// A connection with its handshake behind it, as [`mesh_identity::incoming`] gives them.
pub struct Peered {
    stream: Box<TlsStream<turmoil::net::TcpStream>>,
    peer: PeerInfo,
}

impl Connected for Peered {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Peered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Peered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

/// Accepts on this host.
pub async fn accepted(
    tls: Arc<rustls::ServerConfig>,
    tasks: &Tasks,
) -> ReceiverStream<std::io::Result<Peered>> {
    let listener = turmoil::net::TcpListener::bind(("0.0.0.0", PORT)).await.unwrap();
    let (finished, queue) = mpsc::channel(16);
    let (acceptor, spawner) = (TlsAcceptor::from(tls), tasks.clone());
    tasks.spawn("accept", async move {
        while let Ok((stream, addr)) = listener.accept().await {
            let (acceptor, finished) = (acceptor.clone(), finished.clone());
            spawner.spawn("handshake", async move {
                let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
                    return;
                };
                let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                let spiffe_id = peer_spiffe_id(certificates).ok();
                let peer = PeerInfo { addr, spiffe_id, not_after: 0, hang_up: CancellationToken::new() };
                finished.send(Ok(Peered { stream: Box::new(stream), peer })).await.ok();
            });
        }
    });
    ReceiverStream::new(queue)
}
