//! See `mesh_http1::fuzz::canonical_authority`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mesh_http1::fuzz::canonical_authority(data));
