//! See `mesh_http1::fuzz::head_edits`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_http1::fuzz::head_edits(data));
