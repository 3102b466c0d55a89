//! Content in chunks, piece by piece as it arrives; nothing is kept but a few numbers. Extensions are dropped, trailers that have no
//! place there too. It must not know what the content is.
//!
//! Source: RFC 9112 section 7.1.

use crate::bytes::hex;
use crate::fields::is_forbidden_trailer;
use crate::known::Known;
use crate::line::{self, Lines, Section};
use crate::message::{Field, Limits, Span};
use crate::refusal::{Reason, Refusal};

/// Reads the content of one message.
#[derive(Debug, Clone)]
pub struct Chunked {
    state: State,
    /// Of the size: what was read. Of the data: what is still to come.
    left: u64,
    digits: u8,
    extension_bytes: usize,
    limits: Limits,
    trailers: Vec<Field>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Ended,
    Broken(Reason),
}

/// What a call of [`Chunked::decode`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// So many bytes at the start of the buffer are done with (once the data in them was taken).
    pub consumed: usize,
    /// What they were.
    pub what: What,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Nothing yet; call again with more bytes behind those that are left.
    NeedMore,
    /// Bytes of the content, in the buffer of this call. Never empty.
    Data(Span),
    /// The content ended and trailers followed: [`Chunked::trailers`], in the buffer of this call. `End` is next.
    Trailers,
    /// The message is over. The rest of the buffer belongs to the next one.
    End,
}

impl Chunked {
    /// Before the first byte of the content.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size,
            left: 0,
            digits: 0,
            extension_bytes: 0,
            limits: *limits,
            trailers: Vec::new(),
        }
    }

    /// Reads on in `buf`, whose first byte is the first one that was not consumed yet. After a refusal every call refuses.
    pub fn decode(&mut self, buf: &[u8]) -> Result<Chunk, Refusal> {
        self.step(buf).inspect_err(|refusal| self.state = State::Broken(refusal.reason()))
    }

    /// The trailers in the buffer of the call that gave [`What::Trailers`], without those that have no place in trailers.
    pub fn trailers(&self) -> &[Field] {
        &self.trailers
    }

    /// Whether the whole message was read.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    fn step(&mut self, buf: &[u8]) -> Result<Chunk, Refusal> {
        let mut at = 0;
        loop {
            match self.state {
                State::Data => return Ok(self.data(buf, at)),
                State::Trailers => return self.trailer_section(buf, at),
                State::Ended => return Ok(Chunk { consumed: at, what: What::End }),
                State::Broken(reason) => return Err(reason.into()),
                State::Size | State::Extension | State::SizeLf | State::DataCr | State::DataLf => {
                    let Some(byte) = buf.get(at) else {
                        return Ok(Chunk { consumed: at, what: What::NeedMore });
                    };
                    self.state = self.next(*byte)?;
                    at += 1;
                }
            }
        }
    }

    /// The state after a byte outside of data and trailers.
    #[inline]
    fn next(&mut self, byte: u8) -> Result<State, Reason> {
        match (self.state, byte) {
            (State::Size, _) => self.size(byte),
            (State::Extension, b'\n') => Err(Reason::ChunkLineEnd),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, _) => self.extension(byte),
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                Ok(if self.left == 0 { State::Trailers } else { State::Data })
            }
            (State::SizeLf, _) => Err(Reason::ChunkLineEnd),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            _ => Err(Reason::ChunkDataEnd),
        }
    }

    #[inline]
    fn size(&mut self, byte: u8) -> Result<State, Reason> {
        if let Some(digit) = hex(byte) {
            self.digits += 1;
            if self.digits > 16 {
                return Err(Reason::ChunkSize);
            }
            self.left = self.left << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        // As with Content-Length: a peer with signed numbers would read more than 2^63 as something else.
        if self.digits == 0 || i64::try_from(self.left).is_err() {
            return Err(Reason::ChunkSize);
        }
        match byte {
            b'\r' => Ok(State::SizeLf),
            b';' => self.extension(byte),
            b' ' | b'\t' => Err(Reason::ChunkSpace),
            b'\n' => Err(Reason::ChunkLineEnd),
            _ => Err(Reason::ChunkSize),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<State, Reason> {
        if (byte < b' ' && byte != b'\t') || byte == 0x7f {
            return Err(Reason::ChunkExtension);
        }
        self.extension_bytes += 1;
        if self.extension_bytes > self.limits.extension_bytes {
            return Err(Reason::ExtensionsTooLong);
        }
        Ok(State::Extension)
    }

    fn data(&mut self, buf: &[u8], at: usize) -> Chunk {
        let here = buf.len() - at;
        let take = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(here)
            .min((u32::MAX as usize).saturating_sub(at));
        if take == 0 {
            return Chunk { consumed: at, what: What::NeedMore };
        }
        self.left -= take as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        Chunk { consumed: at + take, what: What::Data(Span::new(at, at + take)) }
    }

    /// Reads the trailer section once all of it is there; it starts at `at`.
    fn trailer_section(&mut self, buf: &[u8], at: usize) -> Result<Chunk, Refusal> {
        let limit = at + self.limits.trailer_bytes;
        let mut lines = Lines { buf, at, limit, over: Reason::TrailersTooLarge };
        self.trailers.clear();
        let underscores = self.limits.underscores;
        let take = |field: Field| {
            let name = field.name.of(buf);
            line::check_name(Known::of(name), name, underscores)?;
            Ok(!is_forbidden_trailer(name))
        };
        let most = (self.limits.fields, Reason::TrailersTooLarge);
        if lines.fields(most, &mut self.trailers, take)? == Section::Incomplete {
            return Ok(Chunk { consumed: at, what: What::NeedMore });
        }
        self.state = State::Ended;
        let what = if self.trailers.is_empty() { What::End } else { What::Trailers };
        Ok(Chunk { consumed: lines.at, what })
    }
}
