//! What goes out on a stream, as the body of its answer: a frame of data for each message, trailers at its end. A stream rests most of the time,
//! so nothing is kept for it between two messages. It must not know what they say.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;
use tonic::Status;

use super::codec::Outgoing;

/// Boxed: a channel has room for 32 of them from its beginning, however few there ever are.
pub(super) type Answer = Result<Box<Outgoing>, Status>;

/// The body. Source: gRPC over HTTP/2, Responses.
#[derive(Debug)]
pub(super) struct Answers {
    messages: mpsc::Receiver<Answer>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

impl Answers {
    /// The answer whose body this is.
    pub(super) fn respond(messages: mpsc::Receiver<Answer>) -> http::Response<tonic::body::Body> {
        let mut response = http::Response::new(tonic::body::Body::new(Self { messages, state: State::Open }));
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(header::CONTENT_TYPE, grpc);
        response
    }
}

impl Body for Answers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        let status = match ready!(self.messages.poll_recv(cx)) {
            Some(Ok(message)) => match message.frame() {
                Some(frame) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                None => Status::out_of_range("an update is longer than a message of gRPC can be"),
            },
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.state = State::Ended;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Ended
    }
}
