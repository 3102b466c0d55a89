//! Frames on their way in: each is judged and does what it does to its stream or to the connection. An error is the end of the connection.
//!
//! Source: RFC 9113 sections 5 and 6.

use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::{Connection, LEAVING, Leaving, Role, THERE};
use crate::block::{Block, Part, Problem};
use crate::frame::{HEADER, Header, Kind, LARGEST_WINDOW, PAYLOAD, PREFACE, Reason, flag, number, unpadded};
use crate::stream::{Gone, Side, Stream};

/// Payloads below this are copied, so that the buffer they came in can be used again at once.
const COPIED: usize = 1024;

/// Encoded bytes of a head beyond what it may have decoded: no encoder makes a head larger than it is by more.
const OVERHEAD: usize = 16 * 1024;

/// CONTINUATION frames of one head (CVE-2024-27316).
const CONTINUATIONS: u32 = 16;

/// Beside the flags of a frame: the stream's priority depends on itself, which is an error of the stream (RFC 7540 section 5.3.1).
const DEPENDS_ON_ITSELF: u8 = 0x80;

/// A header block whose end has not come.
#[derive(Debug)]
pub(super) struct Partial {
    stream: u32,
    flags: u8,
    bytes: Vec<u8>,
    frames: u32,
}

impl Connection {
    /// Takes in what was read; what is no whole frame yet stays in `bytes`. An error has ended the connection: what waits to be written
    /// says why.
    pub fn receive(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), Reason> {
        let result = self.frames(bytes, now);
        if let Err(reason) = result {
            self.abort(reason);
        }
        result
    }

    fn frames(&mut self, bytes: &mut BytesMut, now: Instant) -> Result<(), Reason> {
        while self.preface > 0 {
            let wanted = PREFACE.get(PREFACE.len() - self.preface..).unwrap_or_default();
            let count = wanted.len().min(bytes.len());
            if wanted.get(..count) != bytes.get(..count) {
                return Err(Reason::PROTOCOL_ERROR);
            }
            bytes.advance(count);
            self.preface -= count;
            if bytes.is_empty() {
                return Ok(());
            }
        }
        while let Some(header) = Header::read(bytes) {
            if header.length > PAYLOAD {
                return Err(Reason::FRAME_SIZE_ERROR);
            }
            if !self.settled && (header.kind != Kind::Settings || header.has(flag::ACK)) {
                return Err(Reason::PROTOCOL_ERROR);
            }
            let Some(payload) = bytes.get(HEADER..HEADER + header.length) else {
                bytes.reserve(HEADER + header.length - bytes.len());
                return Ok(());
            };
            if let Some(partial) = &self.block
                && (header.kind != Kind::Continuation || header.stream != partial.stream)
            {
                return Err(Reason::PROTOCOL_ERROR);
            }
            if header.kind == Kind::Data {
                bytes.advance(HEADER);
                let payload = if header.length < COPIED {
                    let copy = Bytes::copy_from_slice(bytes.get(..header.length).unwrap_or_default());
                    bytes.advance(header.length);
                    copy
                } else {
                    bytes.split_to(header.length).freeze()
                };
                self.data(header, payload, now)?;
            } else {
                self.frame_of(header, payload, now)?;
                bytes.advance(HEADER + header.length);
            }
        }
        Ok(())
    }

    fn frame_of(&mut self, header: Header, payload: &[u8], now: Instant) -> Result<(), Reason> {
        match header.kind {
            Kind::Headers => self.headers(header, payload, now),
            Kind::Continuation => self.continuation(header, payload, now),
            Kind::Priority => self.priority(header, payload, now),
            Kind::Reset => self.was_reset(header, payload, now),
            Kind::Settings => self.settings(header, payload),
            Kind::Ping => self.was_pinged(header, payload),
            Kind::GoAway => self.peer_goes_away(header, payload),
            Kind::WindowUpdate => self.window_update(header, payload, now),
            Kind::PushPromise => Err(Reason::PROTOCOL_ERROR),
            Kind::Data | Kind::Unknown => Ok(()),
        }
    }

    /// Whether nobody has opened that stream yet.
    fn is_idle(&self, id: u32) -> bool {
        let theirs = (id % 2 == 1) == (self.role == Role::Server);
        if theirs { self.role == Role::Client || id > self.last_theirs } else { id >= self.next_ours }
    }

    fn data(&mut self, header: Header, payload: Bytes, now: Instant) -> Result<(), Reason> {
        let (id, total) = (header.stream, i64::try_from(header.length).unwrap_or(i64::MAX));
        if id == 0 || self.is_idle(id) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if total > self.receive_window {
            return Err(Reason::FLOW_CONTROL_ERROR);
        }
        self.receive_window -= total;
        let data = unpadded(header, &payload).ok_or(Reason::PROTOCOL_ERROR)?;
        let data = payload.slice_ref(data);
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.gone.is_none()) else {
            self.claim(header.length);
            return self.late(id, now);
        };
        if stream.receiving == Side::Ended {
            self.claim(header.length);
            return self.violate(id, Reason::STREAM_CLOSED, now);
        }
        if total > stream.receive_window {
            self.claim(header.length);
            return self.violate(id, Reason::FLOW_CONTROL_ERROR, now);
        }
        stream.receive_window -= total;
        let padding = header.length - data.len();
        if padding > 0 {
            // It is read as soon as it is here.
            stream.unclaimed = stream.unclaimed.saturating_add(u32::try_from(padding).unwrap_or(u32::MAX));
        }
        let ends = header.has(flag::END_STREAM);
        let sound = takes(stream, data.len(), ends) && (self.role == Role::Server || stream.answered);
        if !sound {
            self.claim(header.length);
            return self.violate(id, Reason::PROTOCOL_ERROR, now);
        }
        if ends {
            stream.receiving = Side::Ended;
        }
        if !data.is_empty() {
            stream.data.push_back(data);
        }
        stream.wake_reader();
        self.claim(padding);
        if ends {
            self.settle(id);
        }
        Ok(())
    }

    /// A frame for a stream that is over.
    fn late(&mut self, id: u32, now: Instant) -> Result<(), Reason> {
        // It was on its way when we ended the stream; and a client has nothing to tell a server about streams that are over.
        if self.role == Role::Client || self.ended_by_us.contains(&id) {
            return Ok(());
        }
        match self.streams.get(&id).and_then(|stream| stream.gone) {
            // The peer itself has ended it (RFC 9113 section 5.1).
            Some(Gone::Reset(_)) => self.refuse(id, Reason::STREAM_CLOSED, now),
            Some(Gone::Violation | Gone::Cancelled | Gone::Unprocessed | Gone::Closed) => Ok(()),
            None => self.violate(id, Reason::STREAM_CLOSED, now),
        }
    }

    fn headers(&mut self, header: Header, payload: &[u8], now: Instant) -> Result<(), Reason> {
        let id = header.stream;
        if id == 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let mut block = unpadded(header, payload).ok_or(Reason::PROTOCOL_ERROR)?;
        let mut flags = header.flags & flag::END_STREAM;
        if header.has(flag::PRIORITY) {
            if number(block) == Some(id) {
                flags |= DEPENDS_ON_ITSELF;
            }
            block = block.get(5..).ok_or(Reason::FRAME_SIZE_ERROR)?;
        }
        if header.has(flag::END_HEADERS) {
            return self.head(id, flags, block, now);
        }
        self.block = Some(Partial { stream: id, flags, bytes: block.to_vec(), frames: 0 });
        Ok(())
    }

    fn continuation(&mut self, header: Header, payload: &[u8], now: Instant) -> Result<(), Reason> {
        let partial = self.block.as_mut().ok_or(Reason::PROTOCOL_ERROR)?;
        partial.frames += 1;
        if partial.bytes.len() + payload.len() > self.config.head.bytes + OVERHEAD
            || partial.frames > CONTINUATIONS
        {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        partial.bytes.extend_from_slice(payload);
        if !header.has(flag::END_HEADERS) {
            return Ok(());
        }
        let Partial { stream, flags, bytes, .. } = self.block.take().ok_or(Reason::PROTOCOL_ERROR)?;
        self.head(stream, flags, &bytes, now)
    }

    /// A whole header block. It is decoded in any case, or the compression would be out of step.
    fn head(&mut self, id: u32, flags: u8, bytes: &[u8], now: Instant) -> Result<(), Reason> {
        let (part, bounds) = match (self.role, self.streams.get(&id)) {
            (Role::Server, None) => (Part::Request, self.config.head),
            (Role::Client, Some(stream)) if !stream.answered => (Part::Response, self.config.head),
            (Role::Client, None) | (_, Some(_)) => (Part::Trailers, self.config.trailers),
        };
        let mut block = Block::over((self.config.vectors)());
        self.decoder
            .decode(bytes, &mut |name: &[u8], value: &[u8], indexing| {
                block.take(name, value, indexing, bounds);
            })
            .map_err(|_| Reason::COMPRESSION_ERROR)?;
        block.finish(part);
        if flags & DEPENDS_ON_ITSELF != 0 {
            block.spoil();
        }
        let ends = flags & flag::END_STREAM != 0;
        match part {
            Part::Request => self.request(id, block, ends, now),
            Part::Response => self.answer(id, block, ends, now),
            Part::Trailers => self.end_of_body(id, block, ends, now),
        }
    }

    fn request(&mut self, id: u32, block: Block, ends: bool, now: Instant) -> Result<(), Reason> {
        if id.is_multiple_of(2) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if id <= self.last_theirs {
            if self.ended_by_us.contains(&id) {
                return Ok(());
            }
            return Err(if self.over.contains(&id) { Reason::STREAM_CLOSED } else { Reason::PROTOCOL_ERROR });
        }
        self.last_theirs = id;
        if matches!(self.leaving, Leaving::Said(last) if id > last) {
            // The peer was told so before it sent this.
            return Ok(());
        }
        if self.open >= self.config.ours.streams.map_or(usize::MAX, |streams| streams as usize) {
            // A few may be on their way before the peer knows our bound; one that goes on holds all it may have, for nothing.
            return self.violate(id, Reason::REFUSED_STREAM, now);
        }
        if block.problem() == Some(Problem::Malformed)
            || (ends && block.length.is_some_and(|length| length > 0))
        {
            return self.violate(id, Reason::PROTOCOL_ERROR, now);
        }
        let mut stream = Stream::new(self.theirs.window, self.config.ours.stream_window);
        stream.length = block.length;
        if ends {
            stream.receiving = Side::Ended;
        }
        self.streams.insert(id, stream);
        self.open += 1;
        self.accepted.push_back((id, block));
        Ok(())
    }

    fn answer(&mut self, id: u32, block: Block, ends: bool, now: Instant) -> Result<(), Reason> {
        let most = self.config.interims;
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.gone.is_none()) else {
            return Ok(());
        };
        let status = block.pseudo.status.unwrap_or_default();
        let is_interim = (100..200).contains(&status);
        stream.interims_seen += u32::from(is_interim);
        let sound = block.problem().is_none()
            && !(is_interim && (ends || status == 101 || stream.interims_seen > most));
        if !sound {
            return self.violate(id, Reason::PROTOCOL_ERROR, now);
        }
        if is_interim {
            stream.interims.push_back(block);
            stream.wake_reader();
            return Ok(());
        }
        stream.answered = true;
        let bodiless = stream.is_head || matches!(status, 204 | 304);
        stream.length = if bodiless { Some(0) } else { block.length };
        stream.head = Some(Box::new(block));
        if ends {
            if stream.length.is_some_and(|length| length > 0) {
                return self.violate(id, Reason::PROTOCOL_ERROR, now);
            }
            stream.receiving = Side::Ended;
        }
        stream.wake_reader();
        self.settle(id);
        Ok(())
    }

    fn end_of_body(&mut self, id: u32, block: Block, ends: bool, now: Instant) -> Result<(), Reason> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return if self.is_idle(id) { Err(Reason::PROTOCOL_ERROR) } else { Ok(()) };
        };
        if stream.gone.is_some() {
            return self.late(id, now);
        }
        if stream.receiving == Side::Ended {
            return self.violate(id, Reason::STREAM_CLOSED, now);
        }
        if !ends || block.problem().is_some() || !takes(stream, 0, true) {
            return self.violate(id, Reason::PROTOCOL_ERROR, now);
        }
        stream.receiving = Side::Ended;
        stream.trailers = Some(Box::new(block));
        stream.wake_reader();
        self.settle(id);
        Ok(())
    }

    fn priority(&mut self, header: Header, payload: &[u8], now: Instant) -> Result<(), Reason> {
        let id = header.stream;
        if id == 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if payload.len() != 5 {
            return self.violate(id, Reason::FRAME_SIZE_ERROR, now);
        }
        if number(payload) == Some(id) {
            return self.violate(id, Reason::PROTOCOL_ERROR, now);
        }
        Ok(())
    }

    fn was_reset(&mut self, header: Header, payload: &[u8], now: Instant) -> Result<(), Reason> {
        let id = header.stream;
        let [a, b, c, d] = *<&[u8; 4]>::try_from(payload).map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        if id == 0 || self.is_idle(id) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.is_over() {
            return Ok(());
        }
        stream.end(Gone::Reset(Reason(u32::from_be_bytes([a, b, c, d]))));
        self.settle(id);
        if self.role == Role::Server && !self.peer_resets.take(now) {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        Ok(())
    }

    fn settings(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        if header.has(flag::ACK) {
            return if payload.is_empty() { Ok(()) } else { Err(Reason::FRAME_SIZE_ERROR) };
        }
        self.settled = true;
        let before = self.theirs;
        self.theirs.read(payload)?;
        let more = i64::from(self.theirs.window) - i64::from(before.window);
        if more != 0 {
            for stream in self.streams.values_mut() {
                stream.send_window += more;
                if stream.send_window > i64::from(LARGEST_WINDOW) {
                    return Err(Reason::FLOW_CONTROL_ERROR);
                }
                stream.wake_writer();
            }
        }
        if self.theirs.table != before.table {
            self.encoder.set_table_size(self.theirs.table);
        }
        self.frame(Kind::Settings, flag::ACK, 0, &[]);
        self.wake_openers();
        Ok(())
    }

    fn was_pinged(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let content = <[u8; 8]>::try_from(payload).map_err(|_| Reason::FRAME_SIZE_ERROR)?;
        match (header.has(flag::ACK), content) {
            (true, LEAVING) => self.left(),
            (true, THERE) => self.pinged = true,
            (true, _) => {}
            (false, content) => self.frame(Kind::Ping, flag::ACK, 0, &content),
        }
        Ok(())
    }

    fn peer_goes_away(&mut self, header: Header, payload: &[u8]) -> Result<(), Reason> {
        if header.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR);
        }
        // Its reason changes nothing (section 7): what was asked is answered, and the peer closes. To close under it would reset
        // what it still sends, and with that what it has not read.
        let last = number(payload).filter(|_| payload.len() >= 8).ok_or(Reason::FRAME_SIZE_ERROR)?;
        let last = self.peer_leaves.map_or(last, |before| before.min(last));
        self.peer_leaves = Some(last);
        let ours = |id: u32| (id % 2 == 1) == (self.role == Role::Client);
        let mut unprocessed = vec![];
        for (id, stream) in &mut self.streams {
            if ours(*id) && *id > last && !stream.is_over() {
                stream.end(Gone::Unprocessed);
                unprocessed.push(*id);
            }
        }
        for id in unprocessed {
            self.settle(id);
        }
        self.wake_openers();
        Ok(())
    }

    fn window_update(&mut self, header: Header, payload: &[u8], now: Instant) -> Result<(), Reason> {
        let id = header.stream;
        let more = number(payload).filter(|_| payload.len() == 4).ok_or(Reason::FRAME_SIZE_ERROR)?;
        if id != 0 && self.is_idle(id) {
            return Err(Reason::PROTOCOL_ERROR);
        }
        let window = match (id, self.streams.get_mut(&id)) {
            (0, _) if more == 0 => return Err(Reason::PROTOCOL_ERROR),
            (0, _) => &mut self.send_window,
            (_, None) => return Ok(()),
            (_, Some(_)) if more == 0 => return self.violate(id, Reason::PROTOCOL_ERROR, now),
            (_, Some(stream)) => &mut stream.send_window,
        };
        *window += i64::from(more);
        if *window > i64::from(LARGEST_WINDOW) {
            return match id {
                0 => Err(Reason::FLOW_CONTROL_ERROR),
                _ => self.violate(id, Reason::FLOW_CONTROL_ERROR, now),
            };
        }
        match self.streams.get_mut(&id) {
            Some(stream) => stream.wake_writer(),
            None => self.grant(),
        }
        Ok(())
    }
}

/// Counts bytes of a body against its length; whether they fit.
fn takes(stream: &mut Stream, count: usize, ends: bool) -> bool {
    let Some(left) = &mut stream.length else { return true };
    match left.checked_sub(count as u64) {
        Some(rest) => {
            *left = rest;
            !ends || rest == 0
        }
        None => false,
    }
}
