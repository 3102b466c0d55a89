//! The one byte stream of the data path: TCP, TLS over it, or a tunnel through HTTP, each with a buffer of bytes that were looked
//! at and not consumed. An enum, so that a byte passes no dynamic dispatch except in the rare tunnel.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

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
}

impl Stream {
    /// Plain TCP.
    pub fn tcp(stream: TcpStream) -> Self {
        Self::new(Io::Tcp(stream))
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
        Self { peeked: BytesMut::new(), io }
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
        match &self.io {
            Io::Tcp(stream) => stream.peer_addr().ok(),
            Io::TlsServer(stream) => stream.get_ref().0.peer_addr(),
            Io::TlsClient(stream) => stream.get_ref().0.peer_addr(),
            Io::Tunnel(_) | Io::Closed => None,
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
            return Pin::new(&mut self.io).poll_read(cx, buf);
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
