//! The bodies of the fuzz targets: each takes any bytes and panics if a promise of the codec is broken. They run as properties in
//! `cargo test` and under a fuzzer from the directory `fuzz/`. They know the public interface only.
//!
//! The targets for HTTP/2 heads and for the matching of routes are with the code that they try, in the proxy and in `mesh-model`.

#![allow(clippy::indexing_slicing, reason = "a fuzz target says by panicking what it found")]

mod heads;
mod parts;

#[cfg(test)]
pub(crate) use heads::forward;
pub use heads::{head_edits, request_head, request_round_trip, response_head, response_round_trip};
#[cfg(test)]
pub(crate) use parts::{Content, read as read_chunks};
pub use parts::{canonical_authority, canonical_path, chunk_round_trip, chunked_body, trailers};

/// A target: its name, as of its binary in `fuzz/`, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("request_head", request_head),
    ("response_head", response_head),
    ("chunked_body", chunked_body),
    ("trailers", trailers),
    ("canonical_path", canonical_path),
    ("canonical_authority", canonical_authority),
    ("request_round_trip", request_round_trip),
    ("response_round_trip", response_round_trip),
    ("chunk_round_trip", chunk_round_trip),
    ("head_edits", head_edits),
];

/// A few places to cut `len` bytes at, drawn from the bytes themselves, so that one input stands for one test.
fn cuts(data: &[u8]) -> impl Iterator<Item = usize> {
    let seed = data.iter().fold(0usize, |seed, byte| seed.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let len = data.len();
    [seed, seed >> 7, seed >> 13, seed >> 21].into_iter().map(move |at| if len == 0 { 0 } else { at % len })
}
