//! HTTP/2 over the `h2` package, with a meter of frames in front of it: the server of one connection, and exchanges on a connection
//! that all requests to an upstream share. It must not know what a handler does or which upstream is the right one.
//!
//! Sources: RFC 9113, RFC 8441 (extended CONNECT).

mod body;
mod client;
mod meter;
mod server;
mod tunnel;

pub(super) use body::{PeerBody, inform};
pub(super) use client::{Connection, Gone, connect};
pub(super) use server::{Respond, serve};

/// Whether a field of an answer or of trailers has white space around its value, which makes them malformed.
fn is_padded(fields: &::http::HeaderMap) -> bool {
    fields.values().any(|value| mesh_http1::fields::is_padded(value.as_bytes()))
}

/// Bytes a peer may send on one stream before we have passed them on: the bound on what one stream makes us hold.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Streams that a peer may reset, or make us reset, without an end in sight; beyond it the connection is closed.
const RESETS: usize = 64;

/// Bytes of a stream's body that wait in the codec to be written.
const SEND_BUFFER: usize = 64 * 1024;
