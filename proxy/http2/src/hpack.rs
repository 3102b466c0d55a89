//! Header compression for HTTP/2 (RFC 7541): blocks of bytes to fields and back. It must not know what the fields mean, nor frames.
//!
//! # Where bytes enter and leave
//! - [`Decoder`] reads one whole header block and hands over each field in order. There is one for each connection, and it must see
//!   every block of it, also those of streams that nobody waits for: both sides keep the same table.
//! - [`Encoder`] writes a block field by field.
//!
//! # What is bounded
//! - A dynamic table holds no more than the size that was agreed on, of which 32 bytes are counted for each entry; its buffer is at most
//!   twice that, since it is moved to the front rather than wrapped.
//! - A text is at most as long as its block, or 8/5 of that where it is compressed. How much a block unfolds to is not bounded here: an
//!   index of one byte may stand for a field as large as the table, so whoever takes the fields counts them.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod known;
mod malformed;
mod statics;
mod table;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use malformed::Malformed;

/// The size of a dynamic table before either side has said anything (RFC 9113 section 6.5.2).
pub const INITIAL_TABLE_SIZE: usize = 4096;

/// Whether a field may enter the tables of those on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexing {
    /// As the one who writes it sees fit.
    Free,
    /// Never, on no hop: its value is a secret, and a table could be made to tell it (RFC 7541 section 7.1.3). Whoever forwards such a
    /// field writes it so again.
    Never,
}
