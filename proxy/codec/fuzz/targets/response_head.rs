//! See `mesh_http1::fuzz::response_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_http1::fuzz::response_head(data));
