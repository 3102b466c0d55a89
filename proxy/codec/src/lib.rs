//! The HTTP/1 codec: bytes to heads, bodies and trailers, and back. Strict by construction; it performs no I/O, allocates nothing
//! per message that the caller did not hand in, and knows neither routes nor connections.
//!
//! # Where bytes enter and leave
//! - [`request()`] and [`response()`] read one head at the start of a buffer. [`Scan`] is the same for a buffer that grows, and keeps
//!   a peer that sends byte by byte from making us read everything again each time.
//! - [`Chunked`] reads a body with `Transfer-Encoding: chunked` piece by piece, [`canonical`] makes the one spelling of path and
//!   authority that routing, policy, logs and the next hop see.
//! - [`encode`] writes heads, chunks and trailers. It writes the framing itself, from [`Framing`]: no byte of a peer's framing
//!   fields is ever forwarded, and a field that could break a line is refused.
//!
//! # What strict means
//! A message that two implementations could read differently is refused, never repaired: RFC 9112 allows a server to be lenient in
//! about a dozen places (bare LF, folded lines, a second Content-Length with the same value, ...), and each of them has been the
//! door of a smuggling attack. [`Reason`] has one member for each refusal. A line is judged when it is complete, so the verdict
//! depends on the bytes alone and not on how the network cut them.
//!
//! # What is checked elsewhere
//! - Heads of HTTP/2 are taken apart by `mesh-http2`; the proxy's `http` module makes them the same canonical head, through
//!   [`canonical`] and [`fields`], and its property "an HTTP/2 head becomes an HTTP/1 head that reads the same" lives there.
//! - Matching of routes lives in `mesh-model` (`route`), with its own properties.
//! - The bodies of the fuzz targets of this package are in `fuzz`; they run as properties in `cargo test`, and under a fuzzer from
//!   the directory `fuzz/`.

mod bytes;
pub mod canonical;
mod chunked;
mod connection;
pub mod encode;
pub mod fields;
mod framing;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod known;
mod line;
mod message;
mod refusal;
mod request;
mod response;
mod scan;
#[cfg(test)]
mod tests;

pub use chunked::{Chunk, Chunked, What};
pub use message::{Field, Form, Framing, Limits, RequestLine, ResponseLine, Span, Underscores, Version};
pub use refusal::{Reason, Refusal};
pub use request::request;
pub use response::response;
pub use scan::Scan;
