//! Where the pieces of a body come from. It must not know bounds or observers.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{BodyError, Frame, Polled};
use crate::http::h1::{RequestBody, ResponseBody};
use crate::http::h2::PeerBody;

/// Gives the pieces of a body.
pub trait Source {
    /// The next piece; `None` at the end.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>>;

    /// Whether it is known that nothing more comes.
    fn is_end(&self) -> bool;

    /// How many bytes are still to come, where that is known.
    fn left(&self) -> Option<u64> {
        None
    }
}

/// What a body is made of. An enum, so that a piece passes no dynamic dispatch except in the rare source of our own.
pub(in crate::http) enum Content {
    Empty,
    Bytes(Bytes),
    Http1(RequestBody),
    Http1Answer(Box<ResponseBody>),
    Http2(Box<PeerBody>),
    Source(Box<dyn Source>),
}

impl Content {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
            }
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http1Answer(body) => body.poll_frame(cx),
            Self::Http2(body) => body.poll_frame(cx),
            Self::Source(source) => source.poll_frame(cx),
        }
    }

    pub(super) fn is_end(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Http1(body) => body.is_end(),
            Self::Http1Answer(body) => body.is_end(),
            Self::Http2(body) => body.is_end(),
            Self::Source(source) => source.is_end(),
        }
    }

    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Http1(body) => body.left(),
            Self::Http1Answer(body) => body.left(),
            Self::Http2(body) => body.left(),
            Self::Source(source) => source.left(),
        }
    }

    /// Whether a peer sends it.
    pub(super) fn is_foreign(&self) -> bool {
        !matches!(self, Self::Empty | Self::Bytes(_))
    }
}
