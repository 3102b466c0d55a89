//! HTTP/1 over our own codec: the server of one connection, and the exchange of one request with an upstream. One task drives the
//! sockets on both sides. It must not know what a handler does or which upstream is the right one.
//!
//! Sources: RFC 9110, RFC 9112.

mod client;
mod conn;
mod incoming;
mod out;
mod respond;
mod server;

pub(super) use client::{Exchange, Failed, Gone, Idle, ResponseBody};
pub(super) use conn::{Informed, RequestBody};
pub(super) use server::serve;

use mesh_http1::{Limits, Underscores};

/// Bounds of one message.
const LIMITS: Limits = Limits {
    head_bytes: crate::config::HEAD_BYTES,
    fields: crate::config::HEADERS,
    trailer_bytes: crate::config::TRAILER_BYTES,
    extension_bytes: 4 * 1024,
    underscores: Underscores::Accept,
};

thread_local! {
    /// Where the codec puts the fields of a head, until they are copied out.
    static FIELDS: std::cell::RefCell<Vec<mesh_http1::Field>> = const { std::cell::RefCell::new(Vec::new()) };
}
