//! The HTTP/2 codec: the bytes of a connection, and back. Strict by construction; it performs no I/O and knows neither routes nor
//! sockets.
//!
//! - [`Connection`] is one end of a connection: frames in and out, streams, windows, resets, going away (RFC 9113).
//! - [`Block`] is a decoded head or trailer section in the form that the HTTP/1 codec has too: fields as places in one piece of text.
//! - [`hpack`] reads and writes header blocks (RFC 7541).
//!
//! What a request asks for is judged elsewhere: the proxy makes one canonical head of what either codec gives.

mod block;
mod bucket;
mod connection;
mod frame;
pub mod hpack;
mod out;
mod settings;
mod stream;

pub use block::{Block, Bounds, Problem, Pseudo};
pub use connection::{Config, Connection, Ended, Fields, Full, More, Role};
pub use frame::Reason;
pub use out::{Buffers, Out};
pub use settings::Ours;
pub use stream::Gone;
