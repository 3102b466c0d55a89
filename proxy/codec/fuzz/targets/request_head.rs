//! See `mesh_http1::fuzz::request_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_http1::fuzz::request_head(data));
