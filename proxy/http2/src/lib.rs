//! The HTTP/2 codec: the bytes of a connection, and back. Strict by construction; it performs no I/O and knows neither routes nor
//! sockets.
//!
//! - [`hpack`] reads and writes blocks of header fields (RFC 7541). What a block means (pseudo fields, which fields may be where, how
//!   large a head may be) is judged by whoever asked for the fields.

pub mod hpack;
