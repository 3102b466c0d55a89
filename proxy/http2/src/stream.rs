//! One stream: what came and was not read, what may still come, who waits. It must not know frames or other streams.
//!
//! Source: RFC 9113 sections 5.1 and 5.2.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::task::Waker;

use bytes::Bytes;

use crate::block::Block;
use crate::frame::Reason;

/// Why a stream has no answer, or takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The peer ended it.
    Reset(Reason),
    /// The peer broke the protocol, so we ended it.
    Violation,
    /// We ended it.
    Cancelled,
    /// The peer goes away and says that it did not process it (RFC 9113 section 6.8).
    Unprocessed,
    /// The connection ended.
    Closed,
}

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Open,
    /// END_STREAM passed.
    Ended,
}

/// A place among those who wait for room to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It does not wait.
    None,
    /// It stands in line.
    InLine,
    /// It may pass those who stand in line, for one frame.
    Granted,
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) receiving: Side,
    pub(crate) sending: Side,
    pub(crate) gone: Option<Gone>,
    /// Bytes that we may send.
    pub(crate) send_window: i64,
    /// Bytes that the peer may send.
    pub(crate) receive_window: i64,
    /// Bytes that were read and that the peer does not know of yet.
    pub(crate) unclaimed: u32,
    /// Bytes still to come by `content-length`.
    pub(crate) length: Option<u64>,
    /// An answer to HEAD has a length and no content.
    pub(crate) is_head: bool,
    /// The final head has come (of a stream of ours).
    pub(crate) answered: bool,
    pub(crate) head: Option<Box<Block>>,
    pub(crate) interims: VecDeque<Block>,
    pub(crate) interims_seen: u32,
    pub(crate) data: VecDeque<Bytes>,
    pub(crate) trailers: Option<Box<Block>>,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// Its place among those who wait for room.
    pub(crate) turn: Turn,
    /// How many hold it.
    pub(crate) holders: u32,
    /// It counts as open.
    pub(crate) counted: bool,
}

impl Stream {
    pub(crate) fn new(send_window: u32, receive_window: u32) -> Self {
        Self {
            receiving: Side::Open,
            sending: Side::Open,
            gone: None,
            send_window: i64::from(send_window),
            receive_window: i64::from(receive_window),
            unclaimed: 0,
            length: None,
            is_head: false,
            answered: false,
            head: None,
            interims: VecDeque::new(),
            interims_seen: 0,
            data: VecDeque::new(),
            trailers: None,
            reader: None,
            writer: None,
            turn: Turn::None,
            holders: 1,
            counted: true,
        }
    }

    /// Nothing moves on it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.gone.is_some() || (self.receiving == Side::Ended && self.sending == Side::Ended)
    }

    /// Ends it; the first reason stays.
    pub(crate) fn end(&mut self, gone: Gone) {
        self.gone.get_or_insert(gone);
        self.wake();
    }

    pub(crate) fn wake(&mut self) {
        self.wake_reader();
        self.wake_writer();
    }

    pub(crate) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(crate) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

/// Stores a waker without cloning when it is the same.
pub(crate) fn remember(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(old) => old.clone_from(waker),
        none => *none = Some(waker.clone()),
    }
}

/// Streams by number.
pub(crate) type Streams = HashMap<u32, Stream, BuildHasherDefault<ByNumber>>;

/// Numbers of streams ascend by two and are ours to bound, so spreading them is enough.
#[derive(Debug, Default)]
pub(crate) struct ByNumber(u64);

impl Hasher for ByNumber {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
