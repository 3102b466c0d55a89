//! Accepts mTLS connections for the gRPC servers of the mesh. It must not know what they serve: connections leave as
//! a stream for tonic's `serve_with_incoming`, with [`PeerInfo`] in the extensions of each request.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_lifecycle::{CancellationToken, Tasks};
use mesh_model::spiffe::SpiffeId;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use crate::peer::{self, peer_spiffe_id};

/// A client has this long for the handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Handshakes at a time; beyond that the oldest makes room, unless it has only begun.
pub const HANDSHAKES: usize = 1024;
/// An honest handshake takes less, on a machine that is not overloaded.
const PATIENCE: Duration = Duration::from_secs(2);
/// Finished handshakes that the server has not taken yet.
const QUEUE: usize = 16;
/// Wait after an accept that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end, in the extensions of every request of the connection.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Where the connection came from.
    pub addr: SocketAddr,
    /// Who it is; `None` if no certificate was shown, which `ClientAuth::Optional` allows.
    pub spiffe_id: Option<SpiffeId>,
    /// When the certificate ends, Unix seconds; 0 without one.
    pub not_after: u64,
    /// Cancelled, the connection ends: for a peer that does not even read why.
    pub hang_up: CancellationToken,
}

/// What happened to connections so far.
#[derive(Debug, Default)]
pub struct IncomingCounters {
    accepted: AtomicU64,
    failed: AtomicU64,
    full: AtomicU64,
    crowded_out: AtomicU64,
}

impl IncomingCounters {
    /// Handshakes that succeeded.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Handshakes that failed or took too long.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Handshakes that took long and had to make room for others.
    pub fn crowded_out(&self) -> u64 {
        self.crowded_out.load(Ordering::Relaxed)
    }

    /// Times that accepting had to wait because the bound was reached.
    pub fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }
}

/// The accepted connections. It ends when the tasks are asked to end.
#[derive(Debug)]
pub struct Accepted {
    queue: mpsc::Receiver<PeerStream>,
    counters: Arc<IncomingCounters>,
}

impl Accepted {
    /// What happened so far.
    pub fn counters(&self) -> Arc<IncomingCounters> {
        Arc::clone(&self.counters)
    }
}

impl Stream for Accepted {
    type Item = io::Result<PeerStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_recv(cx).map(|stream| stream.map(Ok))
    }
}

/// Accepts on `listener` with `config` ([`crate::Identity::server_config`]). At most `limit` connections live at
/// once, handshakes included; more wait in the kernel's queue.
pub fn mtls(listener: TcpListener, config: Arc<ServerConfig>, tasks: &Tasks, limit: usize) -> Accepted {
    let (finished, queue) = mpsc::channel(QUEUE);
    let counters = Arc::<IncomingCounters>::default();
    let acceptor = Acceptor {
        tls: TlsAcceptor::from(config),
        places: Arc::new(Semaphore::new(limit.max(1))),
        counters: Arc::clone(&counters),
        finished,
        shaking: Arc::new(Shaking::new(HANDSHAKES.min(limit.max(1)))),
        tasks: tasks.clone(),
        stop: tasks.token(),
    };
    tasks.spawn("accept mtls", acceptor.run(listener));
    Accepted { queue, counters }
}

struct Acceptor {
    tls: TlsAcceptor,
    places: Arc<Semaphore>,
    counters: Arc<IncomingCounters>,
    finished: mpsc::Sender<PeerStream>,
    shaking: Arc<Shaking>,
    tasks: Tasks,
    stop: CancellationToken,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        loop {
            if self.places.available_permits() == 0 {
                self.counters.full.fetch_add(1, Ordering::Relaxed);
            }
            // A place before the accept: who does not fit stays in the kernel's bounded queue.
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.finished.closed() => return,
                accepted = async {
                    self.room().await;
                    let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
                    listener.accept().await.map(|(stream, addr)| (stream, addr, place))
                } => accepted,
            };
            match accepted {
                Ok((stream, addr, place)) => self.shake(stream, addr, place),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Until there is room for one more handshake. While there is none, what has not got on is given up, oldest first: connections that say
    /// nothing keep nobody out.
    async fn room(&self) {
        while let Some(wait) = self.shaking.crowded(Instant::now()) {
            if wait.is_zero() {
                self.counters.crowded_out.fetch_add(1, Ordering::Relaxed);
            }
            // Either one has ended, or the oldest has had its time.
            let _ = tokio::time::timeout(wait, self.shaking.ended.notified()).await;
        }
    }

    fn shake(&self, stream: TcpStream, addr: SocketAddr, place: OwnedSemaphorePermit) {
        let (tls, counters, finished) = (self.tls.clone(), Arc::clone(&self.counters), self.finished.clone());
        let (stop, turn) = (self.stop.clone(), Shaking::enter(&self.shaking, Instant::now()));
        self.tasks.spawn("mtls handshake", async move {
            let shaken = tokio::select! {
                () = stop.cancelled() => return,
                () = turn.given_up.cancelled() => Ok(Err(io::Error::other("others needed the room"))),
                shaken = tokio::time::timeout(HANDSHAKE_DEADLINE, handshake(tls, stream, addr, place)) => shaken,
            };
            drop(turn);
            let reason = match shaken {
                Ok(Ok(stream)) => {
                    counters.accepted.fetch_add(1, Ordering::Relaxed);
                    // The server is gone if nobody takes it; so is the connection then.
                    let _ = finished.send(stream).await;
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it took too long".to_owned(),
            };
            counters.failed.fetch_add(1, Ordering::Relaxed);
            tracing::info!(peer = %addr, reason, "TLS handshake refused");
        });
    }
}

/// Handshakes that have not ended, oldest first.
struct Shaking {
    limit: usize,
    all: Mutex<Begun>,
    ended: Notify,
}

#[derive(Default)]
struct Begun {
    last: u64,
    handshakes: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// A handshake's place among them.
struct Turn {
    shaking: Arc<Shaking>,
    number: u64,
    given_up: CancellationToken,
}

impl Shaking {
    fn new(limit: usize) -> Self {
        Self { limit, all: Mutex::default(), ended: Notify::new() }
    }

    fn enter(shaking: &Arc<Self>, now: Instant) -> Turn {
        let given_up = CancellationToken::new();
        let mut all = shaking.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.last += 1;
        let number = all.last;
        all.handshakes.insert(number, (now, given_up.clone()));
        Turn { shaking: Arc::clone(shaking), number, given_up }
    }

    /// Without room: how long to wait; nothing when the oldest was just told to go.
    fn crowded(&self, now: Instant) -> Option<Duration> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.handshakes.len() < self.limit {
            return None;
        }
        let oldest = all.handshakes.first_entry()?;
        let wait = PATIENCE.saturating_sub(now.saturating_duration_since(oldest.get().0));
        if wait.is_zero() {
            oldest.remove().1.cancel();
        }
        Some(wait)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.shaking.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.handshakes.remove(&self.number);
        self.shaking.ended.notify_one();
    }
}

async fn handshake(
    tls: TlsAcceptor,
    stream: TcpStream,
    addr: SocketAddr,
    place: OwnedSemaphorePermit,
) -> io::Result<PeerStream> {
    // Small messages must not wait for each other; without it the connection works too.
    let _ = stream.set_nodelay(true);
    let stream = tls.accept(stream).await?;
    let hang_up = CancellationToken::new();
    let hung_up = HungUp(Box::pin(hang_up.clone().cancelled_owned()));
    let mut peer = PeerInfo { addr, spiffe_id: None, not_after: 0, hang_up };
    if let Some(certs) = stream.get_ref().1.peer_certificates() {
        peer.spiffe_id = Some(peer_spiffe_id(certs).map_err(io::Error::other)?);
        peer.not_after =
            certs.first().and_then(|leaf| peer::read(leaf).ok()).map_or(0, |leaf| leaf.not_after);
    }
    Ok(PeerStream { stream: Box::new(stream), peer, hung_up, _place: place })
}

/// An accepted connection; its place is free again when it is dropped.
#[derive(Debug)]
pub struct PeerStream {
    stream: Box<TlsStream<TcpStream>>,
    peer: PeerInfo,
    hung_up: HungUp,
    _place: OwnedSemaphorePermit,
}

/// Ready when somebody hangs up.
struct HungUp(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl fmt::Debug for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HungUp")
    }
}

impl PeerStream {
    /// Who is at the other end.
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }
}

impl Connected for PeerStream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.hung_up.0.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut *self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
