//! Settings, ours and the peer's. It must not know what follows from them.
//!
//! Sources: RFC 9113 section 6.5, RFC 8441 section 3.

use crate::frame::{LARGEST_WINDOW, PAYLOAD, Reason};

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// Where every connection begins (RFC 9113 section 6.9.2).
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;

/// What we say of ourselves.
#[derive(Debug, Clone, Copy)]
pub struct Ours {
    /// Streams that the peer may have open; a client says nothing.
    pub streams: Option<u32>,
    /// Bytes that the peer may send on one stream ahead of our reading.
    pub stream_window: u32,
    /// The same for all streams together; at least 65,535.
    pub connection_window: u32,
    /// Bytes of a head, decoded.
    pub head: u32,
    /// A server that takes extended CONNECT.
    pub extended_connect: bool,
}

impl Ours {
    pub(crate) fn write(&self, push: bool, out: &mut Vec<u8>) {
        let mut put = |id: u16, value: u32| {
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        };
        if !push {
            put(ENABLE_PUSH, 0);
        }
        if let Some(streams) = self.streams {
            put(MAX_CONCURRENT_STREAMS, streams);
        }
        put(INITIAL_WINDOW_SIZE, self.stream_window);
        put(MAX_HEADER_LIST_SIZE, self.head);
        if self.extended_connect {
            put(ENABLE_CONNECT_PROTOCOL, 1);
        }
    }
}

/// What the peer said last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theirs {
    pub(crate) table: u32,
    pub(crate) streams: usize,
    pub(crate) window: u32,
    pub(crate) frame: usize,
}

impl Default for Theirs {
    fn default() -> Self {
        Self { table: 4096, streams: usize::MAX, window: DEFAULT_WINDOW, frame: PAYLOAD }
    }
}

impl Theirs {
    /// Takes a payload in; an error ends the connection.
    pub(crate) fn read(&mut self, payload: &[u8]) -> Result<(), Reason> {
        let (entries, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        for [i0, i1, v0, v1, v2, v3] in entries {
            let value = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
            match u16::from_be_bytes([*i0, *i1]) {
                HEADER_TABLE_SIZE => self.table = value,
                ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL if value > 1 => return Err(Reason::PROTOCOL_ERROR),
                MAX_CONCURRENT_STREAMS => self.streams = value as usize,
                INITIAL_WINDOW_SIZE if value > LARGEST_WINDOW => return Err(Reason::FLOW_CONTROL_ERROR),
                INITIAL_WINDOW_SIZE => self.window = value,
                MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                MAX_FRAME_SIZE => self.frame = value as usize,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_say_is_what_a_peer_reads() {
        let ours = Ours {
            streams: Some(7),
            stream_window: 100_000,
            connection_window: 1,
            head: 9,
            extended_connect: true,
        };
        let mut bytes = vec![];
        ours.write(false, &mut bytes);
        let mut theirs = Theirs::default();
        theirs.read(&bytes).unwrap();
        assert_eq!((theirs.streams, theirs.window, theirs.frame, theirs.table), (7, 100_000, PAYLOAD, 4096));
    }

    #[test]
    fn values_out_of_range_end_the_connection() {
        let one = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let read = |bytes: &[u8]| Theirs::default().read(bytes);
        assert_eq!(read(&one(ENABLE_PUSH, 2)), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(read(&one(INITIAL_WINDOW_SIZE, 1 << 31)), Err(Reason::FLOW_CONTROL_ERROR));
        assert_eq!(read(&one(MAX_FRAME_SIZE, 16_383)), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(read(&one(MAX_FRAME_SIZE, 16_777_216)), Err(Reason::PROTOCOL_ERROR));
        assert_eq!(read(b"12345"), Err(Reason::FRAME_SIZE_ERROR));
        assert_eq!(read(&one(0x1234, u32::MAX)), Ok(()));
    }
}
