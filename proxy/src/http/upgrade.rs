//! A connection that changes its protocol: after 101, or after 200 to CONNECT, what is left of it is a plain stream.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;

use super::upstream::Open;
use crate::net::Stream;

/// The stream that a message's connection will become, if it does.
#[derive(Debug)]
pub struct Upgrade(State);

#[derive(Debug)]
enum State {
    /// The message asks for no change.
    None,
    /// The other side of the codec sends it once the answer is written.
    Waits(oneshot::Receiver<Stream>),
    /// It is there, with its place under the bound on connections.
    Ready(Box<(Stream, Option<Open>)>),
}

/// Gives the stream to its [`Upgrade`].
pub(super) type Change = oneshot::Sender<Stream>;

impl Upgrade {
    /// Of a message that asks for none.
    pub(super) fn none() -> Self {
        Self(State::None)
    }

    /// To come.
    pub(super) fn waits() -> (Self, Change) {
        let (change, waits) = oneshot::channel();
        (Self(State::Waits(waits)), change)
    }

    /// There already.
    pub(super) fn ready(stream: Stream, place: Option<Open>) -> Self {
        Self(State::Ready(Box::new((stream, place))))
    }

    /// Waits for the change. Without one it fails.
    pub async fn stream(self, deadline: Duration) -> io::Result<Changed> {
        match self.0 {
            State::None => Err(io::Error::other("the message asked for no change of protocol")),
            State::Ready(ready) => {
                let (stream, place) = *ready;
                Ok(Changed { stream, _place: place })
            }
            State::Waits(waits) => {
                let stream = tokio::time::timeout(deadline, waits).await?.map_err(io::Error::other)?;
                Ok(Changed { stream, _place: None })
            }
        }
    }
}

/// A stream that was a connection of HTTP, with its place under the bound.
#[derive(Debug)]
pub struct Changed {
    /// The stream.
    pub stream: Stream,
    _place: Option<Open>,
}
