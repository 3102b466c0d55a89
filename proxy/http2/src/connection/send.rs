//! Frames on their way out, and who may write when.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Connection, Full, LEAVING, Leaving, Role, THERE};
use crate::frame::{Header, Kind, LARGEST_WINDOW, PAYLOAD, PREFACE, Reason, flag};
use crate::hpack::Encoder;
use crate::settings::DEFAULT_WINDOW;
use crate::stream::{Gone, Side, Stream, Turn, remember};

/// Less room than this is not worth a frame.
const CRUMBS: usize = 4096;

/// Writes the fields of a block.
#[derive(Debug)]
pub struct Fields<'a> {
    encoder: &'a mut Encoder,
    out: &'a mut Vec<u8>,
}

impl Fields<'_> {
    /// One field. Pseudo fields come first; names are put into lower case.
    pub fn put(&mut self, name: &[u8], value: &[u8]) {
        self.encoder.field(name, value, self.out);
    }

    /// One field that must enter no table on its way, as it came (RFC 7541 section 6.2.3).
    pub fn put_secret(&mut self, name: &[u8], value: &[u8]) {
        self.encoder.secret(name, value, self.out);
    }

    /// One field whose value is a number.
    pub fn put_number(&mut self, name: &[u8], value: u64) {
        let (mut digits, mut at, mut rest) = ([0; 20], 20, value);
        loop {
            at -= 1;
            if let Some(place) = digits.get_mut(at) {
                *place = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.put(name, digits.get(at..).unwrap_or_default());
    }
}

/// What may follow on the same stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// A body or trailers.
    Follows,
    /// Nothing: the stream's side ends.
    Nothing,
}

impl Connection {
    /// What we say first.
    pub(super) fn greet(&mut self) {
        let mut payload = Vec::with_capacity(36);
        self.config.ours.write(self.role == Role::Server, &mut payload);
        if self.role == Role::Client {
            self.out.copy(PREFACE);
        }
        self.frame(Kind::Settings, 0, 0, &payload);
        let more = self.config.ours.connection_window.saturating_sub(DEFAULT_WINDOW);
        if more > 0 {
            self.receive_window += i64::from(more);
            self.frame(Kind::WindowUpdate, 0, 0, &more.to_be_bytes());
        }
    }

    pub(super) fn frame(&mut self, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
        self.out.copy(&Header { length: payload.len(), kind, flags, stream }.bytes());
        self.out.copy(payload);
        self.wake_driver();
    }

    pub(super) fn send_reset(&mut self, id: u32, reason: Reason) {
        self.frame(Kind::Reset, 0, id, &reason.0.to_be_bytes());
    }

    /// Opens a stream with a head. `Full`: [`Connection::poll_ready`] says when there is a place. The caller holds the stream.
    pub fn open(
        &mut self,
        more: More,
        is_head: bool,
        fields: impl FnOnce(&mut Fields<'_>),
    ) -> Result<u32, Full> {
        if self.is_leaving() || self.open >= self.theirs.streams {
            return Err(Full);
        }
        let id = self.next_ours;
        self.next_ours += 2;
        let mut stream = Stream::new(self.theirs.window, self.config.ours.stream_window);
        stream.is_head = is_head;
        if more == More::Nothing {
            stream.sending = Side::Ended;
        }
        self.streams.insert(id, stream);
        self.open += 1;
        self.block(id, more, fields);
        Ok(id)
    }

    /// Waits for a place for one more stream of ours. An error: there will be none.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Full>> {
        if self.is_leaving() {
            return Poll::Ready(Err(Full));
        }
        if self.open < self.theirs.streams {
            return Poll::Ready(Ok(()));
        }
        if !self.openers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.openers.push_back(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Sends the head of an answer, an interim one, or trailers (with [`More::Nothing`]).
    pub fn send_block(
        &mut self,
        id: u32,
        more: More,
        fields: impl FnOnce(&mut Fields<'_>),
    ) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).ok_or(Gone::Closed)?;
        if let Some(gone) = stream.gone {
            return Err(gone);
        }
        if stream.sending == Side::Ended {
            return Err(Gone::Cancelled);
        }
        if more == More::Nothing {
            stream.sending = Side::Ended;
        }
        self.block(id, more, fields);
        self.settle(id);
        Ok(())
    }

    fn block(&mut self, id: u32, more: More, fields: impl FnOnce(&mut Fields<'_>)) {
        let mut block = std::mem::take(&mut self.scratch);
        block.clear();
        self.encoder.begin(&mut block);
        fields(&mut Fields { encoder: &mut self.encoder, out: &mut block });
        let mut flags = if more == More::Nothing { flag::END_STREAM } else { 0 };
        let mut kind = Kind::Headers;
        let mut rest = block.as_slice();
        loop {
            let (part, tail) = rest.split_at(rest.len().min(PAYLOAD));
            let last = if tail.is_empty() { flag::END_HEADERS } else { 0 };
            self.frame(kind, flags | last, id, part);
            if tail.is_empty() {
                break;
            }
            (kind, flags, rest) = (Kind::Continuation, 0, tail);
        }
        self.scratch = block;
    }

    /// Waits until bytes can be sent on the stream; gives how many. Those who wait get their turn in order, one frame each.
    pub fn poll_room(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        let general = self.room();
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Err(Gone::Closed)) };
        if let Some(gone) = stream.gone {
            return Poll::Ready(Err(gone));
        }
        if stream.sending == Side::Ended {
            return Poll::Ready(Err(Gone::Cancelled));
        }
        let own = usize::try_from(stream.send_window).unwrap_or(0);
        let granted = stream.turn == Turn::Granted;
        if granted {
            stream.turn = Turn::None;
        }
        if own == 0 {
            remember(&mut stream.writer, cx.waker());
            if granted {
                self.grant();
            }
            return Poll::Pending;
        }
        if general == 0 || !(granted || self.line.is_empty()) {
            remember(&mut stream.writer, cx.waker());
            if std::mem::replace(&mut stream.turn, Turn::InLine) != Turn::InLine {
                self.line.push_back(id);
            }
            return Poll::Pending;
        }
        Poll::Ready(Ok(own.min(general).min(PAYLOAD)))
    }

    /// Bytes that may be sent on whichever stream.
    fn room(&self) -> usize {
        let buffer = self.config.send_buffer.saturating_sub(self.out.len());
        // Room for crumbs is no room: a body would leave in frames of a few bytes.
        let buffer = if buffer < CRUMBS { 0 } else { buffer };
        usize::try_from(self.send_window).unwrap_or(0).min(buffer)
    }

    /// Gives what room there is to those who stand in line.
    pub(super) fn grant(&mut self) {
        let mut room = self.room();
        while room > 0 {
            let Some(id) = self.line.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.turn = Turn::Granted;
            stream.wake_writer();
            room = room.saturating_sub(PAYLOAD);
        }
    }

    /// Sends bytes, at most as many as [`Connection::poll_room`] gave.
    pub fn send_data(&mut self, id: u32, data: Bytes, more: More) -> Result<(), Gone> {
        let stream = self.streams.get_mut(&id).ok_or(Gone::Closed)?;
        if let Some(gone) = stream.gone {
            return Err(gone);
        }
        if stream.sending == Side::Ended {
            return Err(Gone::Cancelled);
        }
        let length = i64::try_from(data.len()).unwrap_or(i64::MAX);
        stream.send_window -= length;
        self.send_window -= length;
        let flags = if more == More::Nothing {
            stream.sending = Side::Ended;
            flag::END_STREAM
        } else {
            0
        };
        self.out.copy(&Header { length: data.len(), kind: Kind::Data, flags, stream: id }.bytes());
        self.out.push(data);
        self.settle(id);
        self.wake_driver();
        Ok(())
    }

    /// Ready when the stream takes nothing more: it was reset, or its connection ended.
    pub fn poll_gone(&mut self, id: u32, cx: &mut Context<'_>) -> Poll<Gone> {
        let Some(stream) = self.streams.get_mut(&id) else { return Poll::Ready(Gone::Closed) };
        match stream.gone {
            Some(gone) => Poll::Ready(gone),
            None => {
                remember(&mut stream.writer, cx.waker());
                Poll::Pending
            }
        }
    }

    /// Says that we go away, and goes once what was begun is done. Streams that the peer opens before it has heard are served
    /// (RFC 9113 section 6.8).
    pub fn leave(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Told;
            self.go_away(LARGEST_WINDOW, Reason::NO_ERROR);
            self.frame(Kind::Ping, 0, 0, &LEAVING);
        }
    }

    /// The peer has heard.
    pub(super) fn left(&mut self) {
        if self.leaving == Leaving::Told {
            self.leaving = Leaving::Said(self.last_theirs);
            self.go_away(self.last_theirs, Reason::NO_ERROR);
        }
    }

    /// Nobody will open a stream any more: it ends once those that are open have.
    pub fn close(&mut self) {
        if self.ended.is_none() && self.leaving == Leaving::No {
            self.leaving = Leaving::Said(self.last_theirs);
            self.go_away(self.last_theirs, Reason::NO_ERROR);
        }
    }

    /// Ends the connection at once, with a word.
    pub fn abort(&mut self, reason: Reason) {
        self.leaving = Leaving::Said(self.last_theirs);
        self.go_away(self.last_theirs, reason);
        self.end(super::Ended::ByUs(reason));
    }

    fn go_away(&mut self, last: u32, reason: Reason) {
        let payload = (u64::from(last) << 32 | u64::from(reason.0)).to_be_bytes();
        self.frame(Kind::GoAway, 0, 0, &payload);
    }

    /// Asks whether the peer is there.
    pub fn ping(&mut self) {
        self.pinged = false;
        self.frame(Kind::Ping, 0, 0, &THERE);
    }

    /// Whether it said so since.
    pub fn is_there(&self) -> bool {
        self.pinged
    }
}
