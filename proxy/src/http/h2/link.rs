//! A connection's codec with its socket: the driver moves bytes, handles of streams are what everybody else holds. It must not know
//! heads.

use std::cell::{RefCell, RefMut};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use mesh_http2::{Block, Bounds, Buffers, Config, Connection, Ended, Fields, Gone, More, Ours, Reason, Role};
use tokio::io::AsyncWrite;

use super::meter::Meter;
use super::{CONNECTION_WINDOW, SEND_BUFFER, STREAM_WINDOW, UPSTREAM_WINDOW};
use crate::config::{HEAD_BYTES, HEADERS, TRAILER_BYTES};
use crate::http::buffers;
use crate::http::headers::vectors;
use crate::http::io::Io;
use crate::http::upstream::INTERIMS;
use crate::net::Stream;

/// What streams share with the driver of their connection.
pub(in crate::http) struct Link {
    codec: RefCell<Connection>,
    /// What the socket broke with.
    error: RefCell<Option<Rc<io::Error>>>,
}

impl Link {
    /// The codec. Nothing else is called while it is borrowed.
    pub(super) fn codec(&self) -> RefMut<'_, Connection> {
        self.codec.borrow_mut()
    }

    /// What the socket broke with, if it did.
    pub(super) fn error(&self) -> Option<Rc<io::Error>> {
        self.error.borrow().clone()
    }
}

/// A stream, held. The last of its handles ends it.
pub(in crate::http) struct Handle {
    link: Rc<Link>,
    id: u32,
}

impl Handle {
    /// Of a stream that the codec counts as held once.
    pub(super) fn new(link: &Rc<Link>, id: u32) -> Self {
        Self { link: Rc::clone(link), id }
    }

    pub(super) fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Gone>>> {
        self.link.codec().poll_data(self.id, cx)
    }

    pub(super) fn trailers(&self) -> Option<Block> {
        self.link.codec().trailers(self.id)
    }

    pub(super) fn is_read(&self) -> bool {
        self.link.codec().is_read(self.id)
    }

    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        self.link.codec().poll_room(self.id, cx)
    }

    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.link.codec().poll_gone(self.id, cx)
    }

    pub(super) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<Block, Gone>> {
        self.link.codec().poll_answer(self.id, cx)
    }

    pub(super) fn poll_interim(&self) -> Option<Block> {
        self.link.codec().poll_interim(self.id)
    }

    pub(super) fn send_block(&self, more: More, fields: impl FnOnce(&mut Fields<'_>)) -> Result<(), Gone> {
        self.link.codec().send_block(self.id, more, fields)
    }

    pub(super) fn send_data(&self, data: Bytes, more: More) -> Result<(), Gone> {
        self.link.codec().send_data(self.id, data, more)
    }

    pub(super) fn reset(&self, reason: Reason) {
        self.link.codec().reset(self.id, reason);
    }

    /// What the socket broke with, if it did.
    pub(super) fn error(&self) -> Option<Rc<io::Error>> {
        self.link.error()
    }

    /// Whether the connection ended because the peer broke the protocol.
    pub(super) fn is_violated(&self) -> bool {
        matches!(self.link.codec().ended(), Some(Ended::ByUs(_)))
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.link.codec().hold(self.id);
        Self { link: Rc::clone(&self.link), id: self.id }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.codec().release(self.id);
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({})", self.id)
    }
}

/// Moves the bytes of one connection.
pub(super) struct Driver {
    io: Io,
    link: Rc<Link>,
    meter: Meter,
    flooded: bool,
    flush: bool,
    written: u64,
}

/// Reads at one turn, so that one connection does not keep all others waiting.
const READS: usize = 16;

/// Pieces that one write takes.
const SLICES: usize = 16;

impl Driver {
    /// Of a client's connection. `streams`: how many it may have open.
    pub(super) fn server(stream: Stream, streams: u32) -> Self {
        let meter = Meter::of_client(stream.is_tls());
        let ours = Ours {
            streams: Some(streams),
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            head: u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX),
            extended_connect: true,
        };
        Self::new(stream, Role::Server, ours, meter)
    }

    /// Of a connection to an upstream.
    pub(super) fn client(stream: Stream) -> Self {
        let ours = Ours {
            streams: None,
            stream_window: STREAM_WINDOW,
            connection_window: UPSTREAM_WINDOW,
            head: u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX),
            extended_connect: false,
        };
        Self::new(stream, Role::Client, ours, Meter::of_upstream())
    }

    fn new(stream: Stream, role: Role, ours: Ours, meter: Meter) -> Self {
        let config = Config {
            ours,
            send_buffer: SEND_BUFFER,
            head: Bounds { bytes: HEAD_BYTES, fields: HEADERS + PSEUDO },
            trailers: Bounds { bytes: TRAILER_BYTES, fields: HEADERS },
            interims: u32::try_from(INTERIMS).unwrap_or(u32::MAX),
            vectors,
            buffers: Buffers { take: buffers::take_out, give: buffers::give_out },
        };
        let link = Link { codec: RefCell::new(Connection::new(role, config)), error: RefCell::default() };
        let io = Io::new(stream);
        Self { io, link: Rc::new(link), meter, flooded: false, flush: false, written: 0 }
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Bytes read.
    pub(super) fn read(&self) -> u64 {
        self.io.count
    }

    /// Bytes moved either way.
    pub(super) fn moved(&self) -> u64 {
        self.io.count + self.written
    }

    /// Whether the peer sent more frames than it may. Nothing more is read from then on.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded
    }

    /// To be called first at each turn: until it has written all, the driver need not be woken for more.
    pub(super) fn attend(&mut self) {
        self.link.codec().attend();
    }

    /// Whether so much waits that it should be written before more is read.
    pub(super) fn is_due(&self) -> bool {
        self.link.codec().out().len() >= SEND_BUFFER
    }

    /// Reads and takes in what is there; whether there was anything. Whatever ends the connection is then known to the codec.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for _ in 0..READS {
            if self.flooded || self.link.codec().ended().is_some() || self.link.codec().is_clogged() {
                return moved;
            }
            let before = self.io.read.len();
            match self.io.poll_fill(cx) {
                Poll::Pending => return moved,
                Poll::Ready(Ok(0)) => self.link.codec().broke(),
                Poll::Ready(Ok(_)) => self.take(before),
                Poll::Ready(Err(error)) => self.broke(error),
            }
            moved = true;
        }
        // More may be there: after everybody else had a turn.
        cx.waker().wake_by_ref();
        moved
    }

    fn take(&mut self, before: usize) {
        if !self.meter.take(self.io.read.get(before..).unwrap_or_default()) {
            // What was read of the flood is not passed on.
            self.flooded = true;
            return;
        }
        let now = crate::http::deadline::now().into_std();
        // Why it failed is among what is written next.
        let _ = self.link.codec().receive(&mut self.io.read, now);
        self.io.grow();
    }

    fn broke(&self, error: io::Error) {
        *self.link.error.borrow_mut() = Some(Rc::new(error));
        self.link.codec().broke();
    }

    /// Writes what waits. Ready once nothing does, or once nothing can be written any more.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let written = ready!(self.poll_write(cx));
        if let Err(error) = written {
            self.broke(error);
            let waits = self.link.codec().out().len();
            self.link.codec().out().advance(waits);
        }
        Poll::Ready(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut codec = self.link.codec();
            let out = codec.out();
            if out.is_empty() {
                out.rest();
                let _ = codec.poll_output(cx);
                break;
            }
            let stream = Pin::new(&mut self.io.stream);
            let count = if let Some(single) = out.single() {
                ready!(stream.poll_write(cx, single))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let used = out.slices(&mut slices);
                ready!(stream.poll_write_vectored(cx, slices.get(..used).unwrap_or_default()))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.flush = true;
            self.written += count as u64;
            self.meter.wrote(count);
            codec.wrote(count);
        }
        if self.flush {
            ready!(Pin::new(&mut self.io.stream).poll_flush(cx))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends our side of the socket.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.io.stream).poll_shutdown(cx).map(drop)
    }
}

/// Fields of a head besides those that an HTTP/1 head has.
const PSEUDO: usize = 5;
