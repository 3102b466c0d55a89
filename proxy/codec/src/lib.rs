//! The HTTP/1 codec: bytes to heads, bodies and trailers, and back. Strict by construction; it performs no I/O, allocates nothing
//! per message that the caller did not hand in, and knows neither routes nor connections.
