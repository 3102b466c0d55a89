//! As much of HTTP/2 (RFC 9113) as a load generator and its back end need, without I/O: frames in, frames out, windows,
//! settings and pings answered. The library that the proxies' own clients use would cost more than the proxies do, and the
//! load's core, not the proxy, would be the limit. Header blocks that come in are not decoded: one request of every round is
//! asked by a full client, which checks what this one only counts.

pub(crate) mod hpack;

use anyhow::{Result, bail, ensure};

pub(crate) const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
/// Nobody sends longer frames unless told that it may (section 4.2).
const MAX_FRAME: usize = 16 * 1024;
const FIRST_WINDOW: i64 = 65_535;
/// What we let a peer send on a connection, renewed when half of it came.
const OUR_WINDOW: u32 = 1 << 30;
const TABLE_SIZE: u32 = 4096;

/// A frame that says something about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    Headers {
        stream: u32,
        end: bool,
        /// The first byte that names a field.
        first: Option<u8>,
    },
    Data {
        stream: u32,
        end: bool,
        length: usize,
    },
}

/// One side of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) incoming: Vec<u8>,
    pub(crate) outgoing: Vec<u8>,
    taken: usize,
    /// Bytes of DATA that the peer still takes.
    window: i64,
    received: u32,
}

impl Wire {
    /// Our settings are the first that the peer reads.
    pub(crate) fn new() -> Self {
        let mut wire = Self {
            incoming: Vec::with_capacity(MAX_FRAME),
            outgoing: Vec::new(),
            taken: 0,
            window: FIRST_WINDOW,
            received: 0,
        };
        // SETTINGS_ENABLE_PUSH 0, SETTINGS_MAX_CONCURRENT_STREAMS 256, SETTINGS_INITIAL_WINDOW_SIZE.
        let mut settings = Vec::new();
        for (name, value) in [(2_u16, 0_u32), (3, 256), (4, OUR_WINDOW)] {
            settings.extend(name.to_be_bytes());
            settings.extend(value.to_be_bytes());
        }
        wire.frame(4, 0, 0, &settings);
        wire.frame(8, 0, 0, &(OUR_WINDOW - 65_535).to_be_bytes());
        wire
    }

    pub(crate) fn may_send(&self, length: usize) -> bool {
        i64::try_from(length).is_ok_and(|length| length <= self.window)
    }

    pub(crate) fn headers(&mut self, stream: u32, flags: u8, block: &[u8]) {
        self.frame(1, flags | END_HEADERS, stream, block);
    }

    /// The caller asked [`Self::may_send`].
    pub(crate) fn data(&mut self, stream: u32, flags: u8, bytes: &[u8]) {
        self.window -= i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        self.frame(0, flags, stream, bytes);
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.outgoing.extend(length.into_iter().skip(1));
        self.outgoing.extend([kind, flags]);
        self.outgoing.extend(stream.to_be_bytes());
        self.outgoing.extend(payload);
    }

    /// The next frame about a stream, or None when more bytes are needed. What is about the connection is dealt with here.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            let rest = self.incoming.get(self.taken..).unwrap_or_default();
            let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else { break };
            let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
            let length = usize::try_from(u32::from_be_bytes([0, l0, l1, l2]))?;
            ensure!(length <= MAX_FRAME, "a frame of {length} bytes");
            let Some(payload) = rest.get(..length) else { break };
            let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
            let end = flags & END_STREAM != 0;
            self.taken += HEAD + length;
            match kind {
                0 => {
                    let frame = Frame::Data { stream, end, length };
                    self.renew(length)?;
                    return Ok(Some(frame));
                }
                1 => return Ok(Some(Frame::Headers { stream, end, first: hpack::first_field(payload) })),
                3 => bail!("stream {stream} was reset: {payload:?}"),
                4 if flags & ACK == 0 => {
                    settings(payload)?;
                    self.frame(4, ACK, 0, &[]);
                }
                6 if flags & ACK == 0 => {
                    let payload = payload.to_vec();
                    self.frame(6, ACK, 0, &payload);
                }
                7 => bail!("the peer ends the connection: {payload:?}"),
                8 if stream == 0 => {
                    let (increment, _) = payload.split_first_chunk().unwrap_or((&[0; 4], &[]));
                    self.window += i64::from(u32::from_be_bytes(*increment) & 0x7fff_ffff);
                }
                // Priorities, windows of streams (ours are never full), acknowledgements, continuations.
                _ => {}
            }
        }
        self.incoming.drain(..self.taken);
        self.taken = 0;
        Ok(None)
    }

    fn renew(&mut self, length: usize) -> Result<()> {
        self.received += u32::try_from(length)?;
        if self.received > OUR_WINDOW / 2 {
            let increment = std::mem::take(&mut self.received).to_be_bytes();
            self.frame(8, 0, 0, &increment);
        }
        Ok(())
    }
}

/// What our encoder relies on must not be taken away.
fn settings(payload: &[u8]) -> Result<()> {
    for entry in payload.as_chunks::<6>().0 {
        let [n0, n1, v0, v1, v2, v3] = *entry;
        let value = u32::from_be_bytes([v0, v1, v2, v3]);
        let is_table_size = u16::from_be_bytes([n0, n1]) == 1;
        ensure!(!is_table_size || value >= TABLE_SIZE, "the peer wants a header table of {value} bytes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: &mut Wire, to: &mut Wire) {
        to.incoming.append(&mut from.outgoing);
    }

    #[test]
    fn frames_arrive_whole_and_settings_are_acknowledged() {
        let (mut a, mut b) = (Wire::new(), Wire::new());
        a.headers(1, 0, &[0x88]);
        a.data(1, END_STREAM, b"hello");
        let all = std::mem::take(&mut a.outgoing);
        let mut seen = Vec::new();
        for byte in all {
            b.incoming.push(byte);
            seen.extend(b.next().unwrap());
        }
        assert_eq!(
            seen,
            [
                Frame::Headers { stream: 1, end: false, first: Some(0x88) },
                Frame::Data { stream: 1, end: true, length: 5 }
            ]
        );
        between(&mut b, &mut a);
        assert_eq!(a.next().unwrap(), None);
        assert!(a.outgoing.ends_with(&[0, 0, 0, 4, ACK, 0, 0, 0, 0]), "{:?}", a.outgoing);
    }

    #[test]
    fn what_may_be_sent_shrinks_with_data_and_grows_with_updates() {
        let (mut a, mut b) = (Wire::new(), Wire::new());
        a.data(1, 0, &[0; 16_000]);
        assert!(a.may_send(49_535) && !a.may_send(49_536));
        between(&mut b, &mut a);
        assert_eq!(a.next().unwrap(), None);
        assert!(a.may_send(1 << 29));
    }

    #[test]
    fn a_reset_a_goodbye_and_a_frame_too_long_are_errors() {
        for bytes in [
            vec![0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8],
            vec![0, 0, 0, 7, 0, 0, 0, 0, 0],
            vec![1, 0, 0, 0, 0, 0, 0, 0, 1],
            vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        ] {
            let mut wire = Wire::new();
            wire.incoming = bytes;
            assert!(wire.next().is_err());
        }
    }
}
