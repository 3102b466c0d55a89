//! Facts about identities, over real handshakes.
