//! What readers take from a stream, and the windows that open again as they do.
//!
//! Source: RFC 9113 section 5.2.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Connection;
use crate::block::Block;
use crate::frame::{Kind, LARGEST_WINDOW};
use crate::settings::DEFAULT_WINDOW;
use crate::stream::{Gone, Side, remember};

impl Connection {
    /// The next interim answer.
    pub fn poll_interim(&mut self, id: u32) -> Option<Block> {
        self.streams.get_mut(&id)?.interims.pop_front()
    }

    /// Waits for the head of the answer.
    pub fn poll_answer(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<Block, Gone>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(Gone::Closed)) };
        if let Some(head) = stream.head.take() {
            return Poll::Ready(Ok(*head));
        }
        match stream.gone {
            Some(gone) => Poll::Ready(Err(gone)),
            None => {
                remember(&mut stream.reader, cx.waker());
                Poll::Pending
            }
        }
    }

    /// Waits for the next bytes; `None` at their end, after which there may be trailers. What is given counts as read.
    pub fn poll_data(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Gone>>> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Some(Err(Gone::Closed))) };
        if let Some(data) = stream.data.pop_front() {
            self.read(id, data.len());
            return Poll::Ready(Some(Ok(data)));
        }
        if stream.receiving == Side::Ended {
            return Poll::Ready(None);
        }
        match stream.gone {
            Some(gone) => Poll::Ready(Some(Err(gone))),
            None => {
                remember(&mut stream.reader, cx.waker());
                Poll::Pending
            }
        }
    }

    /// The trailers, once the bytes have ended.
    pub fn trailers(&mut self, id: u32) -> Option<Block> {
        self.streams.get_mut(&id)?.trailers.take().map(|block| *block)
    }

    /// Whether nothing more comes, read or not.
    pub fn is_read(&self, id: u32) -> bool {
        self.streams.get(&id).is_none_or(|stream| {
            stream.receiving == Side::Ended && stream.data.is_empty() && stream.trailers.is_none()
        })
    }

    /// Bytes of a stream were read: the peer may send as many again, which it is told when they are worth a frame.
    fn read(&mut self, id: u32, count: usize) {
        let window = self.config.ours.stream_window;
        let count32 = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.receiving == Side::Open
            && stream.gone.is_none()
        {
            stream.unclaimed = stream.unclaimed.saturating_add(count32);
            if stream.unclaimed >= window / 2 {
                let more = std::mem::take(&mut stream.unclaimed).min(LARGEST_WINDOW);
                stream.receive_window += i64::from(more);
                self.frame(Kind::WindowUpdate, 0, id, &more.to_be_bytes());
            }
        }
        self.claim(count);
    }

    /// The same for the connection as a whole.
    pub(super) fn claim(&mut self, count: usize) {
        self.unclaimed = self.unclaimed.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if self.unclaimed >= self.config.ours.connection_window.max(DEFAULT_WINDOW) / 2
            && self.ended.is_none()
        {
            let more = std::mem::take(&mut self.unclaimed).min(LARGEST_WINDOW);
            self.receive_window += i64::from(more);
            self.frame(Kind::WindowUpdate, 0, 0, &more.to_be_bytes());
        }
    }
}
