//! Facts about the codec, each from bytes.
