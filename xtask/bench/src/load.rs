//! The load generator: closed loop for saturation, open loop at a fixed rate for latency, idle connections for memory.
//! It speaks to one address and must not know which proxy answers there. Runs inside a `LocalSet`.

pub(crate) mod arrivals;
pub(crate) mod bulk;
pub(crate) mod closed;
pub(crate) mod first;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod h2_lean;
pub(crate) mod idle;
pub(crate) mod open;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP/1.1, 128 bytes back.
    H1,
    /// HTTP/1.1, 64 KiB back.
    Large,
    /// HTTP/2 without TLS, 128 bytes back.
    H2,
    /// A unary gRPC call, 128 bytes both ways.
    Grpc,
}

/// Keep-alive connections of HTTP/1.1.
pub(crate) const H1_CONNECTIONS: usize = 48;
/// Connections of HTTP/2, and streams on each.
pub(crate) const H2_CONNECTIONS: usize = 8;
pub(crate) const H2_STREAMS: usize = 8;
/// A peer has this long to answer one request, and to take a connection.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// What the clients of one run share. They all are on one thread.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) done: Cell<u64>,
    pub(crate) failed: Cell<u64>,
    pub(crate) stop: Cell<bool>,
    /// Why the first of the failed ones failed.
    pub(crate) why: RefCell<Option<String>>,
}

impl Tally {
    /// Counts an answer or a failure; false when the client is of no more use.
    pub(crate) fn count(&self, asked: Result<()>) -> bool {
        match asked {
            Ok(()) => self.done.set(self.done.get() + 1),
            Err(error) => {
                self.failed.set(self.failed.get() + 1);
                self.why.borrow_mut().get_or_insert(format!("{error:#}"));
                return false;
            }
        }
        true
    }

    /// An error when a request failed: a proxy that refuses is cheap, and its figures mean nothing.
    pub(crate) fn verdict(&self) -> Result<()> {
        let failed = self.failed.get();
        let why = self.why.borrow().clone().unwrap_or_default();
        ensure!(failed == 0, "{failed} requests failed, the first with: {why}");
        ensure!(self.done.get() > 0, "no request was answered");
        Ok(())
    }
}

/// A gRPC message of `length` bytes behind its five bytes of frame head: not compressed, length.
pub(crate) fn grpc_message(length: usize) -> Bytes {
    let mut bytes = vec![0_u8];
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend((b'a'..=b'z').cycle().take(length));
    bytes.into()
}

#[cfg(test)]
mod tests;
