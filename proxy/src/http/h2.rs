//! HTTP/2 over the codec [`mesh_http2`], with a meter of frames in front of it: the server of one connection, and exchanges on a
//! connection that all requests to an upstream share. It must not know what a handler does or which upstream is the right one.
//!
//! Sources: RFC 9113, RFC 8441 (extended CONNECT).

mod alive;
mod body;
mod client;
mod link;
mod meter;
mod server;
mod tunnel;

pub(super) use body::{PeerBody, inform};
pub(super) use client::{Connection, Gone, connect};
pub(super) use server::{Respond, serve};

/// Bytes a peer may send on one stream before we have passed them on: the bound on what one stream makes us hold.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same for all streams of a client's connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The same for an upstream's: so much larger than a stream's that a few clients who do not read their answers take nothing from the
/// others on the same connection.
const UPSTREAM_WINDOW: u32 = 256 * STREAM_WINDOW;

/// Bytes of bodies that wait in the codec to be written.
const SEND_BUFFER: usize = 128 * 1024;
