//! A stream of HTTP/2 as a plain two-way stream, after CONNECT (RFC 9113 section 8.5, RFC 8441).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use mesh_http2::{Gone, More};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Handle;

/// Both directions of one stream.
#[derive(Debug)]
pub(super) struct Tunnel {
    stream: Handle,
    rest: Bytes,
    ended: bool,
}

/// Bytes that one write takes.
const PIECE: usize = 16 * 1024;

impl Tunnel {
    pub(super) fn new(stream: Handle) -> Self {
        Self { stream, rest: Bytes::new(), ended: false }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(gone)) => return Poll::Ready(Err(broken(gone))),
                None => self.ended = true,
            }
        }
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(self.rest.get(..count).unwrap_or_default());
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = match ready!(self.stream.poll_room(cx)) {
            Ok(room) => room.min(PIECE),
            Err(gone) => return Poll::Ready(Err(broken(gone))),
        };
        let part = buf.get(..room.min(buf.len())).unwrap_or_default();
        self.stream.send_data(Bytes::copy_from_slice(part), More::Follows).map_err(broken)?;
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A stream that was reset meanwhile has ended too.
        let _ = self.stream.send_data(Bytes::new(), More::Nothing);
        Poll::Ready(Ok(()))
    }
}

fn broken(gone: Gone) -> io::Error {
    let kind = match gone {
        Gone::Reset(_) | Gone::Violation => io::ErrorKind::ConnectionReset,
        Gone::Cancelled | Gone::Unprocessed | Gone::Closed => io::ErrorKind::BrokenPipe,
    };
    kind.into()
}
