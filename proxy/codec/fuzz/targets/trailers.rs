//! See `mesh_http1::fuzz::trailers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_http1::fuzz::trailers(data));
