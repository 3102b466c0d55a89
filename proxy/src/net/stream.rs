//! The one byte stream of the data path: TCP, TLS over it, or a tunnel through HTTP, each with a buffer of bytes that were looked
//! at and not consumed. An enum, so that a byte passes no dynamic dispatch except in the rare tunnel.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::dialled::Dialled;

/// Any two-way byte stream, for the cold variants.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

enum Io {
    Tcp(TcpStream),
    TlsServer(Box<server::TlsStream<Stream>>),
    TlsClient(Box<client::TlsStream<Stream>>),
    Tunnel(Box<dyn Duplex>),
    Closed,
}

/// A connection, of whatever transport, that can be peeked.
pub struct Stream {
    peeked: BytesMut,
    io: Io,
    /// Whether the last read was filled to the brim, so that more waits in the kernel.
    brimful: bool,
    _dialled: Option<Dialled>,
}

/// What rustls asks for at once.
const SMALL_READ: usize = 4096;
/// What is read for it instead, where much comes.
const READ_AHEAD: usize = 256 * 1024;

/// A peer that does not answer is given up after about two minutes: one that vanished is found, one that is silent is left alone.
/// No `TCP_USER_TIMEOUT`: it would also end connections to peers that are there and do not read for a while.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_mins(1), Duration::from_secs(10), 6);

impl Stream {
    /// Plain TCP.
    pub fn tcp(stream: TcpStream) -> Self {
        Self::new(Io::Tcp(stream))
    }

    /// Plain TCP that we opened.
    pub(super) fn dialled(stream: TcpStream, dialled: Option<Dialled>) -> Self {
        Self { _dialled: dialled, ..Self::tcp(stream) }
    }

    /// A TLS connection that we accepted.
    pub fn tls_server(stream: server::TlsStream<Self>) -> Self {
        Self::new(Io::TlsServer(Box::new(stream)))
    }

    /// A TLS connection that we opened.
    pub fn tls_client(stream: client::TlsStream<Self>) -> Self {
        Self::new(Io::TlsClient(Box::new(stream)))
    }

    /// A tunnel through something else.
    pub fn tunnel(stream: Box<dyn Duplex>) -> Self {
        Self::new(Io::Tunnel(stream))
    }

    fn new(io: Io) -> Self {
        Self { peeked: BytesMut::new(), io, brimful: false, _dialled: None }
    }

    /// Puts bytes back in front of what comes next.
    #[must_use]
    pub fn rewound(mut self, bytes: &[u8]) -> Self {
        if !bytes.is_empty() {
            let mut front = BytesMut::from(bytes);
            front.extend_from_slice(&self.peeked);
            self.peeked = front;
        }
        self
    }

    /// What was looked at and not consumed.
    pub fn peeked(&self) -> &[u8] {
        &self.peeked
    }

    /// Looks at more: waits for at least one more byte, appends it to [`Self::peeked`], returns how many came; 0 at the end of
    /// the stream. Holds at most `bound` bytes; at the bound it returns 0 as well. Cancel-safe: a byte read is never lost.
    pub async fn peek_more(&mut self, bound: usize) -> io::Result<usize> {
        if self.peeked.len() >= bound {
            return Ok(0);
        }
        let mut limited = (&mut self.io).take((bound - self.peeked.len()) as u64);
        limited.read_buf(&mut self.peeked).await
    }

    /// A stream that has ended, to be left where one was taken.
    pub fn closed() -> Self {
        Self::new(Io::Closed)
    }

    /// Waits until there is something to read, without reading it. `None`: this kind of stream cannot tell.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Option<Poll<io::Result<()>>> {
        match &self.io {
            _ if !self.peeked.is_empty() => Some(Poll::Ready(Ok(()))),
            Io::Tcp(stream) => Some(stream.poll_read_ready(cx)),
            Io::TlsServer(_) | Io::TlsClient(_) | Io::Tunnel(_) | Io::Closed => None,
        }
    }

    /// The socket itself, where nothing is around it and nothing was looked at.
    pub fn into_tcp(self) -> Option<TcpStream> {
        match self.io {
            Io::Tcp(stream) if self.peeked.is_empty() => Some(stream),
            _ => None,
        }
    }

    /// Whether it is TLS, which ends here.
    pub fn is_tls(&self) -> bool {
        matches!(self.io, Io::TlsServer(_) | Io::TlsClient(_))
    }

    /// The peer's address, where there is one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.tcp_stream()?.peer_addr().ok()
    }

    /// What is below everything, where that is TCP.
    pub(super) fn tcp_stream(&self) -> Option<&TcpStream> {
        match &self.io {
            Io::Tcp(stream) => Some(stream),
            Io::TlsServer(stream) => stream.get_ref().0.tcp_stream(),
            Io::TlsClient(stream) => stream.get_ref().0.tcp_stream(),
            Io::Tunnel(_) | Io::Closed => None,
        }
    }

    /// Breaks off: the peer gets a reset and not an orderly end, once this is dropped. What was written and not sent is thrown away.
    pub fn abort(&self) {
        let Some(tcp) = self.tcp_stream() else { return };
        if let Err(error) = SockRef::from(tcp).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "cannot reset a connection; it is closed");
        }
    }

    /// Lets the system find out when the peer is gone without a word.
    pub fn keep_alive(&self) {
        let Some(tcp) = self.tcp_stream() else { return };
        let (time, interval, retries) = KEEP_ALIVE;
        let wanted = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
        if let Err(error) = SockRef::from(tcp).set_tcp_keepalive(&wanted) {
            tracing::debug!(%error, "cannot set keepalive");
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.io {
            Io::Tcp(_) => "tcp",
            Io::TlsServer(_) | Io::TlsClient(_) => "tls",
            Io::Tunnel(_) => "tunnel",
            Io::Closed => "closed",
        };
        write!(f, "Stream({kind}, {} peeked)", self.peeked.len())
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::TlsServer(io) => Pin::new(io.as_mut()).poll_read(cx, buf),
            Self::TlsClient(io) => Pin::new(io.as_mut()).poll_read(cx, buf),
            Self::Tunnel(io) => Pin::new(io.as_mut()).poll_read(cx, buf),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.peeked.is_empty() {
            let room = buf.remaining();
            if !(self.brimful && room <= SMALL_READ && matches!(self.io, Io::Tcp(_))) {
                let before = buf.filled().len();
                ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
                self.brimful = buf.filled().len() - before == room;
                return Poll::Ready(Ok(()));
            }
            ready!(self.read_ahead(cx))?;
        }
        let count = self.peeked.len().min(buf.remaining());
        if let Some(bytes) = self.peeked.get(..count) {
            buf.put_slice(bytes);
        }
        self.peeked.advance(count);
        if self.peeked.is_empty() {
            // Gives the allocation back: a connection lives much longer than its first bytes.
            self.peeked = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream {
    /// Bulk under TLS: rustls reads 4 KiB at a time, each a system call. Many of them are made at once.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.peeked.reserve(READ_AHEAD);
        let read = {
            let mut limited = (&mut self.io).take(READ_AHEAD as u64);
            // Loses nothing when dropped.
            pin!(limited.read_buf(&mut self.peeked)).poll(cx)
        };
        match read {
            Poll::Ready(Ok(count)) => {
                self.brimful = count > SMALL_READ;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                // The buffer is given back while nothing comes.
                self.peeked = BytesMut::new();
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Io::TlsServer(io) => Pin::new(io.as_mut()).poll_write(cx, buf),
            Io::TlsClient(io) => Pin::new(io.as_mut()).poll_write(cx, buf),
            Io::Tunnel(io) => Pin::new(io.as_mut()).poll_write(cx, buf),
            Io::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Io::TlsServer(io) => Pin::new(io.as_mut()).poll_write_vectored(cx, bufs),
            Io::TlsClient(io) => Pin::new(io.as_mut()).poll_write_vectored(cx, bufs),
            Io::Tunnel(io) => Pin::new(io.as_mut()).poll_write_vectored(cx, bufs),
            Io::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(io) => io.is_write_vectored(),
            Io::TlsServer(io) => io.is_write_vectored(),
            Io::TlsClient(io) => io.is_write_vectored(),
            Io::Tunnel(io) => io.is_write_vectored(),
            Io::Closed => false,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(io) => Pin::new(io).poll_flush(cx),
            Io::TlsServer(io) => Pin::new(io.as_mut()).poll_flush(cx),
            Io::TlsClient(io) => Pin::new(io.as_mut()).poll_flush(cx),
            Io::Tunnel(io) => Pin::new(io.as_mut()).poll_flush(cx),
            Io::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Io::TlsServer(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            Io::TlsClient(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            Io::Tunnel(io) => Pin::new(io.as_mut()).poll_shutdown(cx),
            Io::Closed => Poll::Ready(Ok(())),
        }
    }
}
