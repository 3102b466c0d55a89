//! Bytes on their way out of one connection: heads and chunk lines, then at most one piece of a body, written together. It must not
//! know what they mean.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::http::buffers;
use crate::net::Stream;

/// What is to be written, in this order.
#[derive(Debug, Default)]
pub(super) struct Out {
    head: Vec<u8>,
    /// Bytes of `head` that are written.
    at: usize,
    data: Bytes,
    tail: &'static [u8],
    flush: bool,
    /// Bytes written.
    count: u64,
}

/// Pieces of a body up to so many bytes are copied.
const COPIED: usize = 2 * 1024;

/// So many bytes of text are written before more is added.
const DUE: usize = 8 * 1024;

impl Out {
    /// Where heads and chunk lines are written to. Nothing may be added while a piece of a body waits.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.data.is_empty() && self.tail.is_empty(), "text goes before the data");
        if self.head.capacity() == 0 {
            self.head = buffers::take_out();
        }
        &mut self.head
    }

    /// A piece of a body, and what ends it. A small one is copied behind the text, since one plain write costs less than a vectored
    /// one; several of them leave together.
    pub(super) fn data(&mut self, data: Bytes, tail: &'static [u8]) {
        if data.len() <= COPIED {
            let text = self.text();
            text.extend_from_slice(&data);
            text.extend_from_slice(tail);
            return;
        }
        debug_assert!(self.data.is_empty(), "one piece at a time");
        self.data = data;
        self.tail = tail;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.len() == self.at && self.data.is_empty() && self.tail.is_empty()
    }

    /// Whether it is to be written before anything is added.
    pub(super) fn is_due(&self) -> bool {
        !self.data.is_empty() || !self.tail.is_empty() || self.head.len() - self.at >= DUE
    }

    /// Bytes written so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Writes all of it.
    pub(super) fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let head = self.head.get(self.at..).unwrap_or_default();
            let count = if self.data.is_empty() && self.tail.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, head))?
            } else {
                let all = [IoSlice::new(head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                let from = usize::from(head.is_empty());
                let slices = all.get(from..).unwrap_or_default();
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(count);
        }
        if self.flush {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.flush = false;
        }
        self.rest();
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, count: usize) {
        self.flush = true;
        self.count += count as u64;
        let of_head = count.min(self.head.len() - self.at);
        self.at += of_head;
        let of_data = (count - of_head).min(self.data.len());
        self.data.advance(of_data);
        self.tail = self.tail.get(count - of_head - of_data..).unwrap_or_default();
        if self.data.is_empty() {
            // Lets the read buffer be used again.
            self.data = Bytes::new();
        }
    }

    /// Gives the buffer back.
    fn rest(&mut self) {
        self.at = 0;
        buffers::give_out(std::mem::take(&mut self.head));
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.rest();
    }
}
