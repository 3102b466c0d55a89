//! One connection of HTTP/2, either end of it, without I/O: bytes in, bytes out, and streams with their readers and writers. It must not
//! know sockets, requests or what a field means.
//!
//! # How it is driven
//! The owner reads bytes and hands them to [`Connection::receive`], takes what new streams there are ([`Connection::accept`]), and
//! writes what [`Connection::out`] holds. Streams are used by their number, from any task of the same thread; what they write wakes the
//! owner ([`Connection::poll_output`]).
//!
//! # Bounds
//! What is not read is bounded by the windows, what is not written by [`Config::send_buffer`] plus answers to the peer's own frames, for
//! which the owner stops reading at [`Connection::is_clogged`]. Header blocks, interim answers, open streams and resets have bounds
//! that are named where they are kept.
//!
//! Source: RFC 9113.

mod read;
mod receive;
mod send;
#[cfg(test)]
mod tests;

pub use send::{Fields, More};

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use mesh_http1::Field;

use crate::block::{Block, Bounds};
use crate::bucket::Bucket;
use crate::frame::{PREFACE, Reason};
use crate::hpack;
use crate::out::{Buffers, Out};
use crate::settings::{DEFAULT_WINDOW, Ours, Theirs};
use crate::stream::{Gone, Side, Streams, Turn, remember};

/// Which end we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Streams are opened by us.
    Client,
    /// Streams are opened by the peer.
    Server,
}

/// How a connection is kept.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// What we say of ourselves.
    pub ours: Ours,
    /// Bytes of bodies that wait to be written before writers wait.
    pub send_buffer: usize,
    /// What a head may have.
    pub head: Bounds,
    /// What trailers may have.
    pub trailers: Bounds,
    /// Interim answers that one request may have.
    pub interims: u32,
    /// Where the vectors of blocks come from.
    pub vectors: fn() -> (Vec<u8>, Vec<Field>),
    /// Where the bytes on their way out are put together.
    pub buffers: Buffers,
}

/// Bytes of answers to the peer's frames that may wait; beyond them nothing more is read until some are written.
const CLOGGED: usize = 256 * 1024;

/// Streams that the peer may end before they were answered: at once, and each second (CVE-2023-44487).
const PEER_RESETS: (f64, f64) = (200.0, 100.0);

/// Streams that the peer may make us end: at once, and each second (CVE-2025-8671).
const OWN_RESETS: (f64, f64) = (64.0, 10.0);

/// Numbers of streams that we ended which are remembered: what was on its way for them is passed over.
const REMEMBERED: usize = 256;

/// Requests that are woken for one place among the streams.
const WOKEN: usize = 16;

/// A connection.
pub struct Connection {
    role: Role,
    config: Config,
    theirs: Theirs,
    decoder: hpack::Decoder,
    encoder: hpack::Encoder,
    scratch: Vec<u8>,
    out: Out,
    streams: Streams,
    /// Streams that count as open.
    open: usize,
    /// Bytes of the preface still to come.
    preface: usize,
    settled: bool,
    block: Option<receive::Partial>,
    send_window: i64,
    receive_window: i64,
    unclaimed: u32,
    /// The highest stream of the peer's.
    last_theirs: u32,
    /// The next of ours.
    next_ours: u32,
    /// Streams that we ended, and others that are over.
    ended_by_us: VecDeque<u32>,
    over: VecDeque<u32>,
    accepted: VecDeque<(u32, Block)>,
    /// Streams in line for room to write.
    line: VecDeque<u32>,
    /// Requests that wait for a place among the streams.
    openers: VecDeque<Waker>,
    driver: Option<Waker>,
    leaving: Leaving,
    /// The last stream that a peer which goes away has processed.
    peer_leaves: Option<u32>,
    pinged: bool,
    ended: Option<Ended>,
    peer_resets: Bucket,
    own_resets: Bucket,
}

/// Our own going away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// The peer was told, and asked whether it has heard.
    Told,
    /// Streams above this one are not taken.
    Said(u32),
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// We ended it, for this reason.
    ByUs(Reason),
    /// The stream of bytes ended or broke.
    Broken,
}

/// Content of the ping that asks whether GOAWAY was heard.
const LEAVING: [u8; 8] = *b"leaving\0";
/// Content of the ping that asks whether the peer is there.
const THERE: [u8; 8] = *b"there?\0\0";

/// A stream cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Connection {
    /// At its beginning; what we say first waits to be written.
    pub fn new(role: Role, config: Config) -> Self {
        let mut connection = Self {
            role,
            config,
            theirs: Theirs::default(),
            decoder: hpack::Decoder::new(4096),
            encoder: hpack::Encoder::new(),
            scratch: Vec::new(),
            out: Out::new(config.buffers),
            streams: Streams::default(),
            open: 0,
            preface: if role == Role::Server { PREFACE.len() } else { 0 },
            settled: false,
            block: None,
            send_window: i64::from(DEFAULT_WINDOW),
            receive_window: i64::from(DEFAULT_WINDOW),
            unclaimed: 0,
            last_theirs: 0,
            next_ours: 1,
            ended_by_us: VecDeque::new(),
            over: VecDeque::new(),
            accepted: VecDeque::new(),
            line: VecDeque::new(),
            openers: VecDeque::new(),
            driver: None,
            leaving: Leaving::No,
            peer_leaves: None,
            pinged: false,
            ended: None,
            peer_resets: Bucket::new(PEER_RESETS.0, PEER_RESETS.1),
            own_resets: Bucket::new(OWN_RESETS.0, OWN_RESETS.1),
        };
        connection.greet();
        connection
    }

    /// The next stream that the peer opened, with its head. Who takes it holds it ([`Connection::release`]).
    pub fn accept(&mut self) -> Option<(u32, Block)> {
        self.accepted.pop_front()
    }

    /// Whether a stream is open or not released.
    pub fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    /// Whether and why it ended.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Whether it takes no more streams of ours.
    pub fn is_leaving(&self) -> bool {
        self.ended.is_some()
            || self.leaving != Leaving::No
            || self.peer_leaves.is_some()
            || self.next_ours > 0x7fff_fffe
    }

    /// Whether one of both said that it goes away, and nothing is left to do.
    pub fn is_done(&self) -> bool {
        let leaves = match self.role {
            Role::Server => matches!(self.leaving, Leaving::Said(_)),
            Role::Client => self.leaving != Leaving::No || self.peer_leaves.is_some(),
        };
        leaves && self.streams.is_empty() && self.accepted.is_empty()
    }

    /// Whether the peer has said what it can.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// What waits to be written.
    pub fn out(&mut self) -> &mut Out {
        &mut self.out
    }

    /// Whether so much waits to be written that nothing more should be read.
    pub fn is_clogged(&self) -> bool {
        self.out.len() > CLOGGED + self.config.send_buffer
    }

    /// To be called when something was written: those who waited for room may go on.
    pub fn wrote(&mut self, count: usize) {
        self.out.advance(count);
        self.grant();
    }

    /// Ready while there is something to write; wakes when there is.
    pub fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.out.is_empty() {
            remember(&mut self.driver, cx.waker());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// The owner is at work and need not be woken.
    pub fn attend(&mut self) {
        self.driver = None;
    }

    fn wake_driver(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// The stream of bytes has ended or broken.
    pub fn broke(&mut self) {
        self.end(Ended::Broken);
    }

    fn end(&mut self, ended: Ended) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(ended);
        for stream in self.streams.values_mut() {
            // What has come is still given to the reader.
            if !stream.is_over() {
                stream.end(Gone::Closed);
            }
        }
        self.wake_openers();
    }

    fn wake_openers(&mut self) {
        for waker in self.openers.drain(..) {
            waker.wake();
        }
    }

    /// Another holder of the stream.
    pub fn hold(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.holders += 1;
        }
    }

    /// A holder lets go. When the last one does the stream ends: with CANCEL, or with NO_ERROR if all that is missing is the rest of a
    /// request that was answered (RFC 9113 section 8.1).
    pub fn release(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.holders = stream.holders.saturating_sub(1);
        if stream.holders > 0 {
            return;
        }
        if !stream.is_over() {
            let answered = self.role == Role::Server && stream.sending == Side::Ended;
            let reason = if answered { Reason::NO_ERROR } else { Reason::CANCEL };
            self.reset(id, reason);
        }
        self.forget(id);
    }

    /// Takes a stream out of the books.
    fn forget(&mut self, id: u32) {
        let Some(stream) = self.streams.remove(&id) else { return };
        let unread: usize = stream.data.iter().map(Bytes::len).sum();
        self.claim(unread);
        if stream.counted {
            self.closed();
        }
        if matches!(stream.gone, None | Some(Gone::Reset(_))) && self.role == Role::Server {
            note(&mut self.over, id, 16);
        }
        if stream.turn != Turn::None {
            self.grant();
        }
        if self.is_done() {
            self.wake_driver();
        }
    }

    /// A stream counts as open no more.
    fn closed(&mut self) {
        self.open = self.open.saturating_sub(1);
        // Some of them may wait no more, so one place wakes more than one; the others stand in line again.
        let some = if self.open == 0 { self.openers.len() } else { self.openers.len().min(WOKEN) };
        for waker in self.openers.drain(..some) {
            waker.wake();
        }
    }

    /// To be called after a side of the stream ended.
    fn settle(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.counted && stream.is_over())
        else {
            return;
        };
        stream.counted = false;
        let answered = stream.gone.is_none();
        self.closed();
        if answered {
            self.peer_resets.earn();
        }
    }

    /// Ends a stream.
    pub fn reset(&mut self, id: u32, reason: Reason) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_over()) else { return };
        stream.end(Gone::Cancelled);
        self.settle(id);
        self.write_reset(id, reason);
    }

    /// Ends a stream on which the peer broke the protocol. An error ends the connection: there were too many of them.
    fn violate(&mut self, id: u32, reason: Reason, now: Instant) -> Result<(), Reason> {
        if let Some(stream) = self.streams.get_mut(&id) {
            if stream.gone.is_some() {
                return Ok(());
            }
            stream.end(Gone::Violation);
            self.settle(id);
        }
        self.refuse(id, reason, now)
    }

    /// Answers what a stream that is over should not have got with a reset. An error: there were too many of them.
    fn refuse(&mut self, id: u32, reason: Reason, now: Instant) -> Result<(), Reason> {
        self.write_reset(id, reason);
        if self.own_resets.take(now) { Ok(()) } else { Err(Reason::ENHANCE_YOUR_CALM) }
    }

    fn write_reset(&mut self, id: u32, reason: Reason) {
        note(&mut self.ended_by_us, id, REMEMBERED);
        self.send_reset(id, reason);
    }
}

/// Remembers the latest.
fn note(list: &mut VecDeque<u32>, id: u32, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(id);
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("streams", &self.streams.len())
            .field("out", &self.out.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
