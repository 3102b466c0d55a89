//! See `mesh_http1::fuzz::chunk_round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_http1::fuzz::chunk_round_trip(data));
