//! Bytes that are carried and not read: telling the protocol of a stream that is about to be, and the relay between two streams.
//! It must not know who the peers are.

mod buffers;
mod relay;

pub use relay::{Ended, Relayed, relay};

use std::io;
use std::time::Duration;

use crate::detect::{self, Sniff};
use crate::net::Stream;

/// Reads until it is clear what the stream speaks; what was read stays in front of it. At the end of the stream or at
/// [`detect::BOUND`] what is not clear is opaque. Cancel-safe; the caller sets the deadline.
pub async fn first_bytes(stream: &mut Stream) -> io::Result<Sniff> {
    loop {
        match detect::sniff(stream.peeked()) {
            Sniff::NeedMore => {}
            decided => return Ok(decided),
        }
        if stream.peek_more(detect::BOUND).await? == 0 {
            return Ok(Sniff::Opaque);
        }
    }
}

/// What the client of a stream did first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It spoke.
    Speaks(Sniff),
    /// It said nothing within the quiet time: perhaps it waits for the server.
    Silent,
}

/// Tells the protocol, or that the client is silent for `quiet`. A client that began to speak has until `head` to go on.
pub async fn opening(stream: &mut Stream, quiet: Duration, head: Duration) -> io::Result<Opening> {
    if stream.peeked().is_empty() {
        match tokio::time::timeout(quiet, stream.peek_more(detect::BOUND)).await {
            Err(_) => return Ok(Opening::Silent),
            Ok(Ok(0)) => return Ok(Opening::Speaks(Sniff::Opaque)),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
    // Bytes that stay ambiguous for that long are no HTTP head in progress worth waiting for: carry them as they are.
    match tokio::time::timeout(head, first_bytes(stream)).await {
        Ok(sniff) => sniff.map(Opening::Speaks),
        Err(_) => Ok(Opening::Speaks(Sniff::Opaque)),
    }
}

/// Waits for the first byte, or the end, of either of two streams.
pub async fn who_speaks_first(
    client: &mut Stream,
    server: &mut Stream,
    deadline: Duration,
) -> io::Result<First> {
    let both = async {
        tokio::select! {
            // Cancel-safe: both sides only peek. The server first: if both spoke, its greeting decides.
            biased;
            got = server.peek_more(detect::BOUND) => got.map(|_| First::Server),
            got = client.peek_more(detect::BOUND) => got.map(|_| First::Client),
        }
    };
    match tokio::time::timeout(deadline, both).await {
        Ok(first) => first,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "neither side spoke")),
    }
}

/// Which side spoke (or closed) first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The client.
    Client,
    /// The server.
    Server,
}
