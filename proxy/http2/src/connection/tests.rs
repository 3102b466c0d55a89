//! Facts about connections: two of ours with a wire between them, and one of ours with a peer made of bytes.

mod frames;
mod pairs;
