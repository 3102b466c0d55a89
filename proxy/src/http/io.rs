//! A stream with what was read from it and not used yet. While nothing is on its way it holds no buffer. It must not know HTTP.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::buffers::{self, LargePlace, Size};
use crate::net::Stream;

/// Bytes that are read on the stack where a stream cannot tell that it is readable without being read.
const GLANCE: usize = 1024;

/// A stream and its unread bytes.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) stream: Stream,
    /// What was read and not used. Without capacity while no buffer is held.
    pub(super) read: BytesMut,
    size: Size,
    /// The peer has ended its side.
    pub(super) eof: bool,
    /// Bytes read so far.
    pub(super) count: u64,
    /// The last read filled the buffer.
    full: bool,
    /// Held while the size is the largest.
    large: Option<LargePlace>,
}

impl Io {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            size: Size::Small,
            eof: false,
            count: 0,
            full: false,
            large: None,
        }
    }

    /// Reads more behind what is there; 0 at the end of the stream.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        if self.read.capacity() == 0 {
            ready!(self.poll_begin(cx))?;
            if !self.read.is_empty() {
                return Poll::Ready(Ok(self.read.len()));
            }
        } else if self.read.len() == self.read.capacity() {
            // Takes the whole buffer again if its parts are not held any more.
            self.read.reserve(self.size.bytes());
        }
        let read = pin!(self.stream.read_buf(&mut self.read)).poll(cx);
        if read.is_pending() {
            self.pause();
        }
        let count = ready!(read)?;
        self.count += count as u64;
        self.eof = count == 0;
        self.full = self.read.len() == self.read.capacity();
        Poll::Ready(Ok(count))
    }

    /// Waits for the first byte without holding a buffer.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(readable) = self.stream.poll_readable(cx) {
            ready!(readable)?;
            self.read = buffers::take(self.size);
            return Poll::Ready(Ok(()));
        }
        let mut glance = [0; GLANCE];
        let mut buf = ReadBuf::new(&mut glance);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        self.count += buf.filled().len() as u64;
        self.read = buffers::take(self.size);
        self.read.extend_from_slice(buf.filled());
        self.eof = buf.filled().is_empty();
        Poll::Ready(Ok(()))
    }

    /// Expects so many bytes more: the next read is into a larger buffer if they are many and the last read filled the one at hand,
    /// so that a slow sender never makes us hold a large one.
    pub(super) fn expect(&mut self, left: u64) {
        if self.full && self.read.is_empty() && Size::holding(left) > self.size {
            let next = self.size.next();
            if next == Size::Large {
                self.large = LargePlace::take();
                if self.large.is_none() {
                    return;
                }
            }
            self.pause();
            self.size = next;
            self.full = false;
        }
    }

    /// After all that could be used was: gives the buffer back if nothing is left, and takes a larger one next time if the last read
    /// filled it.
    pub(super) fn grow(&mut self) {
        self.expect(Size::Medium.bytes() as u64);
        self.pause();
    }

    /// Gives the buffer back while nothing comes.
    fn pause(&mut self) {
        if self.read.is_empty() && self.read.capacity() > 0 {
            buffers::give(std::mem::take(&mut self.read), self.size);
        }
    }

    /// Takes the first bytes off.
    pub(super) fn split(&mut self, count: usize) -> Bytes {
        self.read.split_to(count.min(self.read.len())).freeze()
    }

    /// Gives the buffer back if nothing is in it.
    pub(super) fn rest(&mut self) {
        self.pause();
        if self.read.is_empty() {
            self.size = Size::Small;
            self.large = None;
        }
    }

    /// The stream, with the unread bytes in front of it again.
    pub(super) fn into_stream(mut self) -> Stream {
        let read = std::mem::take(&mut self.read);
        let stream = std::mem::replace(&mut self.stream, Stream::closed());
        let stream = stream.rewound(&read);
        buffers::give(read, self.size);
        stream
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.read.capacity() > 0 {
            buffers::give(std::mem::take(&mut self.read), self.size);
        }
    }
}
