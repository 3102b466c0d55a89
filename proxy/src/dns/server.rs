//! The server: datagrams, each on a task of its own, and connections with one query after the other. It must not know what is
//! answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Dns;
use super::answer::By;
use super::counters::Trouble;
use crate::net;

/// Bytes of a query over UDP. Real ones have less than 512.
const QUERY: usize = 4096;

/// Between two queries on a connection, for the bytes of one, and to take an answer.
const IDLE: Duration = Duration::from_secs(10);

/// After the system has refused to receive.
const PAUSE: Duration = Duration::from_millis(50);

impl Dns {
    pub(super) fn serve(
        &self,
        datagrams: std::net::UdpSocket,
        listener: std::net::TcpListener,
        tasks: &Tasks,
    ) {
        let (this, owner) = (self.clone(), tasks.clone());
        match UdpSocket::from_std(datagrams) {
            Ok(socket) => tasks.keep("dns datagrams", (this, Arc::new(socket)), move |(this, socket), _| {
                let (socket, owner) = (Arc::clone(socket), owner.clone());
                Box::pin(async move { this.datagrams(socket, &owner).await })
            }),
            Err(error) => tracing::error!(%error, "names cannot be answered over UDP; restart this proxy"),
        }
        let (this, owner) = (self.clone(), tasks.clone());
        tasks.spawn("dns connections", async move {
            if let Err(error) = this.connections(listener, &owner).await {
                tracing::error!(%error, "names cannot be answered over TCP; restart this proxy");
            }
        });
    }

    async fn datagrams(&self, socket: Arc<UdpSocket>, tasks: &Tasks) {
        let Ok(listen) = socket.local_addr() else { return };
        let places = Arc::new(Semaphore::new(self.shared.config.datagrams));
        let stop = tasks.token();
        let mut buffer = vec![0; QUERY];
        loop {
            // Cancel-safe: a datagram is taken when it is returned.
            let received = tokio::select! {
                biased;
                received = socket.recv_from(&mut buffer) => received,
                () = stop.cancelled() => return,
            };
            let (length, client) = match received {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "cannot receive a query");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            if !self.admits(listen, client) {
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.shared.counters.trouble(Trouble::Overload);
                continue;
            };
            let asked = buffer.get(..length).unwrap_or_default().to_vec();
            let (this, socket) = (self.clone(), Arc::clone(&socket));
            tasks.spawn("dns query", async move {
                if let Some(message) = this.answer(&asked, By::Datagram).await
                    && let Err(error) = socket.send_to(&message, client).await
                {
                    tracing::debug!(%client, %error, "cannot send an answer");
                }
                drop(place);
            });
        }
    }

    async fn connections(&self, listener: std::net::TcpListener, tasks: &Tasks) -> std::io::Result<()> {
        let listen = listener.local_addr()?;
        let serve = |accepted: net::Accepted| {
            if !self.admits(listen, accepted.peer) {
                return;
            }
            let (this, permit) = (self.clone(), accepted.permit);
            let Some(stream) = accepted.stream.into_tcp() else { return };
            tasks.spawn("dns connection", async move {
                let _permit = permit;
                if this.connection(stream).await.is_err() {
                    this.shared.counters.trouble(Trouble::Connection);
                }
            });
        };
        let notice = |_| self.shared.counters.trouble(Trouble::Overload);
        net::accept(listener, self.shared.config.connections, tasks.token(), serve, notice).await
    }

    /// One query after the other, so that a client that does not read its answers is asked to wait by its own connection. An error:
    /// the client stopped amid a query, or does not read.
    async fn connection(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            // Its end, or nothing more to ask.
            let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await else { return Ok(()) };
            let mut asked = vec![0; usize::from(length)];
            timeout(IDLE, stream.read_exact(&mut asked)).await??;
            let Some(message) = self.answer(&asked, By::Stream).await else { return Ok(()) };
            let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
            let mut framed = length.to_be_bytes().to_vec();
            framed.extend(message);
            timeout(IDLE, stream.write_all(&framed)).await??;
        }
    }

    fn admits(&self, listen: SocketAddr, client: SocketAddr) -> bool {
        let admitted = self.shared.clients.admit(listen.ip(), client.ip());
        if !admitted {
            self.shared.counters.trouble(Trouble::Stranger);
        }
        admitted
    }
}
