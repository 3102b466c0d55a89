//! The content of one message as it comes in: from framing to pieces. It must not know who sends it.
//!
//! Source: RFC 9112 sections 6 and 7.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use mesh_http1::{Chunked, Framing, Limits, What};

use crate::http::body::Polled;
use crate::http::io::Io;
use crate::http::{BodyError, Frame, Headers};

/// How the rest of the content is framed.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Nothing is to come.
    Done,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Box<Chunked>),
    /// All until the end of the connection.
    UntilClose,
    /// It broke off.
    Broken,
}

/// Small chunks that are there already are put together up to so many bytes.
const GATHER: usize = 4 * 1024;

impl Incoming {
    pub(super) fn new(framing: Framing, limits: &Limits) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(left) => Self::Length(left),
            Framing::Chunked => Self::Chunked(Box::new(Chunked::new(limits))),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Bytes still to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose | Self::Broken => None,
        }
    }

    /// The next piece.
    pub(super) fn poll_frame(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Polled {
        let polled = match self {
            Self::Done => return Poll::Ready(None),
            Self::Broken => return Poll::Ready(Some(Err(BodyError::Sender))),
            Self::Length(left) => ready!(length(left, io, cx)).map(Some),
            Self::UntilClose => ready!(until_close(io, cx)),
            Self::Chunked(chunked) => ready!(chunks(chunked, io, cx)),
        };
        let ended = match (&polled, &*self) {
            (Err(_), _) => {
                *self = Self::Broken;
                false
            }
            (Ok(None | Some(Frame::Trailers(_))), _) | (_, Self::Length(0)) => true,
            (_, Self::Chunked(chunked)) => chunked.is_ended(),
            _ => false,
        };
        if ended {
            *self = Self::Done;
        }
        Poll::Ready(polled.transpose())
    }
}

type Piece = Result<Option<Frame>, BodyError>;

/// Reads until there is something; 0 at the end of the stream.
fn fill(io: &mut Io, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
    io.poll_fill(cx).map_err(|_| BodyError::Sender)
}

fn length(left: &mut u64, io: &mut Io, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyError>> {
    if io.read.is_empty() {
        io.expect(*left);
        if ready!(fill(io, cx))? == 0 {
            return Poll::Ready(Err(BodyError::Sender));
        }
    }
    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(io.read.len());
    *left -= here as u64;
    Poll::Ready(Ok(Frame::Data(io.split(here))))
}

fn until_close(io: &mut Io, cx: &mut Context<'_>) -> Poll<Piece> {
    if io.read.is_empty() {
        io.expect(u64::MAX);
        if ready!(fill(io, cx))? == 0 {
            return Poll::Ready(Ok(None));
        }
    }
    let count = io.read.len();
    Poll::Ready(Ok(Some(Frame::Data(io.split(count)))))
}

fn chunks(chunked: &mut Chunked, io: &mut Io, cx: &mut Context<'_>) -> Poll<Piece> {
    loop {
        let chunk = chunked.decode(&io.read).map_err(|_| BodyError::Protocol)?;
        match chunk.what {
            What::Data(span) => {
                let (start, end) = (span.start as usize, span.end as usize);
                let data = io.split(chunk.consumed).slice(start..end);
                return Poll::Ready(gather(data, chunked, io).map(|data| Some(Frame::Data(data))));
            }
            What::Trailers => {
                let text = io.read.get(..chunk.consumed).unwrap_or_default();
                let trailers = Headers::from_lines(text, chunked.trailers().iter().copied());
                drop(io.split(chunk.consumed));
                return Poll::Ready(Ok(Some(Frame::Trailers(trailers))));
            }
            What::End => {
                drop(io.split(chunk.consumed));
                return Poll::Ready(Ok(None));
            }
            What::NeedMore => {
                drop(io.split(chunk.consumed));
                io.expect(u64::MAX);
                if ready!(fill(io, cx))? == 0 {
                    return Poll::Ready(Err(BodyError::Sender));
                }
            }
        }
    }
}

/// Puts small chunks together that are there already: each piece costs a write.
fn gather(first: Bytes, chunked: &mut Chunked, io: &mut Io) -> Result<Bytes, BodyError> {
    if first.len() >= GATHER || io.read.is_empty() {
        return Ok(first);
    }
    let mut all = BytesMut::new();
    while first.len() + all.len() < GATHER && !io.read.is_empty() {
        // The end and trailers are left for the next call, so they must not be decoded now.
        let mut ahead = chunked.clone();
        let chunk = ahead.decode(&io.read).map_err(|_| BodyError::Protocol)?;
        let What::Data(span) = chunk.what else { break };
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(span.of(&io.read));
        drop(io.split(chunk.consumed));
        *chunked = ahead;
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
