//! Where the pieces of a body come from. It must not know bounds or observers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;

use super::{BodyError, Frame, Polled};
use crate::http::Headers;
use crate::http::h1::{RequestBody, ResponseBody};
use crate::http::upstream::Used;

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

/// What a body is made of.
pub(in crate::http) enum Content {
    Empty,
    Bytes(Bytes),
    Http1(RequestBody),
    Http1Answer(Box<ResponseBody>),
    Peer(Incoming, Option<Used>),
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
            Self::Source(source) => source.poll_frame(cx),
            Self::Peer(incoming, held) => {
                let polled = Pin::new(&mut *incoming).poll_frame(cx).map(|frame| Some(frame?.map(own)));
                let polled = polled.map(|frame| frame.map(|frame| frame.map_err(|_| BodyError::Sender)));
                if matches!(polled, Poll::Ready(None | Some(Ok(_)))) && incoming.is_end_stream() {
                    drop(held.take());
                }
                polled
            }
        }
    }

    pub(super) fn is_end(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Peer(incoming, _) => incoming.is_end_stream(),
            Self::Http1(body) => body.is_end(),
            Self::Http1Answer(body) => body.is_end(),
            Self::Source(source) => source.is_end(),
        }
    }

    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Peer(incoming, _) => incoming.size_hint().exact(),
            Self::Http1(body) => body.left(),
            Self::Http1Answer(body) => body.left(),
            Self::Source(source) => source.left(),
        }
    }

    /// Whether a peer sends it.
    pub(super) fn is_foreign(&self) -> bool {
        !matches!(self, Self::Empty | Self::Bytes(_))
    }
}

fn own(frame: http_body::Frame<Bytes>) -> Frame {
    match frame.into_data() {
        Ok(data) => Frame::Data(data),
        Err(frame) => Frame::Trailers(Headers::from_map(frame.into_trailers().unwrap_or_default())),
    }
}

/// For the codec underneath.
impl http_body::Body for super::Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        self.poll_next(cx).map(|frame| {
            frame.map(|frame| {
                frame.map(|frame| match frame {
                    Frame::Data(data) => http_body::Frame::data(data),
                    Frame::Trailers(trailers) => http_body::Frame::trailers(trailers.into_map()),
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        super::Body::is_end_stream(self)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        super::Body::size_hint(self).map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}
