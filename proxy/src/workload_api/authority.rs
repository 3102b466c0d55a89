//! Makes `:authority` of every request `localhost` before the HTTP/2 server sees it. On a Unix socket it says nothing, and clients on
//! gRPC's C core and on Netty fill it with the path of the socket, which is no authority (RFC 3986 section 3.2) and is refused by the
//! server that we have. Bytes in, bytes out; it must not know sockets.
//!
//! Header blocks are read with a table and written without one, so that what the server's table holds depends on nothing of this.

use mesh_http2::hpack::{Decoder, Encoder, INITIAL_TABLE_SIZE, Indexing};

/// Bytes of the client's connection preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// Bytes of a frame's header (section 4.1).
const HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// What a frame may have without a setting that says more, and what a request's head may have here.
const MAX_FRAME: usize = 16_384;

/// One direction of one connection: what the client sends.
pub(super) struct Authorities {
    decoder: Decoder,
    /// Bytes that go on as they are.
    passing: usize,
    /// The begin of a frame that must be seen whole.
    held: Vec<u8>,
    /// A header block that goes on in another frame: its frame's flags and stream, and what there is of it.
    open: Option<(u8, [u8; 4], Vec<u8>)>,
}

/// The client does not speak HTTP/2, or says more in a head than anybody needs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client's frames cannot be read, or a header block has more than {MAX_FRAME} bytes")]
pub(super) struct Unreadable;

impl Authorities {
    pub(super) fn new() -> Self {
        Self { decoder: Decoder::new(INITIAL_TABLE_SIZE), passing: PREFACE, held: Vec::new(), open: None }
    }

    /// Takes what came and appends what goes on.
    pub(super) fn take(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        while !input.is_empty() {
            let (now, later) = input.split_at(self.wanted()?.min(input.len()));
            input = later;
            if self.passing > 0 {
                self.passing -= now.len();
                out.extend_from_slice(now);
                continue;
            }
            self.held.extend_from_slice(now);
            self.held_grew(out)?;
        }
        Ok(())
    }

    /// How many bytes make the next step; at least one.
    fn wanted(&self) -> Result<usize, Unreadable> {
        if self.passing > 0 {
            return Ok(self.passing);
        }
        let Some((length, ..)) = frame(&self.held) else { return Ok(HEADER - self.held.len()) };
        if length > MAX_FRAME {
            return Err(Unreadable);
        }
        Ok(HEADER + length - self.held.len())
    }

    fn held_grew(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let Some((length, kind, flags, stream)) = frame(&self.held) else { return Ok(()) };
        if kind != HEADERS && kind != CONTINUATION {
            out.append(&mut self.held);
            self.passing = length;
            return Ok(());
        }
        if self.held.len() < HEADER + length {
            return Ok(());
        }
        let frame = std::mem::take(&mut self.held);
        let payload = frame.get(HEADER..).unwrap_or_default();
        let (first, stream, mut block) = match (kind, self.open.take()) {
            (HEADERS, None) => (flags, stream, fragment(payload, flags).ok_or(Unreadable)?.to_vec()),
            (CONTINUATION, Some(open)) if open.1 == stream => {
                let (first, stream, mut block) = open;
                block.extend_from_slice(payload);
                (first, stream, block)
            }
            _ => return Err(Unreadable),
        };
        if block.len() > MAX_FRAME {
            return Err(Unreadable);
        }
        if flags & END_HEADERS == 0 {
            self.open = Some((first, stream, block));
            return Ok(());
        }
        block = self.rewritten(&block)?;
        let length = u32::try_from(block.len()).map_err(|_| Unreadable)?.to_be_bytes();
        out.extend_from_slice(length.get(1..).unwrap_or_default());
        out.extend([HEADERS, END_HEADERS | (first & END_STREAM)]);
        out.extend(stream);
        out.append(&mut block);
        Ok(())
    }

    fn rewritten(&mut self, block: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        let decoded = self.decoder.decode(block, &mut |name: &[u8], value: &[u8], _: Indexing| {
            let value = if name == b":authority" { b"localhost" } else { value };
            // Beyond the bound nothing more is kept: what a small block unfolds to is for the table to know, not for us to hold.
            if out.len() <= MAX_FRAME {
                encoder.secret(name, value, &mut out);
            }
        });
        decoded.ok().filter(|()| out.len() <= MAX_FRAME).map(|()| out).ok_or(Unreadable)
    }
}

/// Length, type, flags and stream of a frame, once its header is there.
fn frame(bytes: &[u8]) -> Option<(usize, u8, u8, [u8; 4])> {
    let (header, _) = bytes.split_first_chunk::<HEADER>()?;
    let (length, rest) = header.split_first_chunk::<3>()?;
    let ([kind, flags], stream) = rest.split_first_chunk::<2>()?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    Some((length, *kind, *flags, stream.try_into().ok()?))
}

/// What is left of the payload of HEADERS without padding and priority (section 6.2).
fn fragment(payload: &[u8], flags: u8) -> Option<&[u8]> {
    let (padding, payload) = if flags & PADDED == 0 {
        (0, payload)
    } else {
        let (padding, rest) = payload.split_first()?;
        (usize::from(*padding), rest)
    };
    let payload = if flags & PRIORITY == 0 { payload } else { payload.get(5..)? };
    payload.get(..payload.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE_TEXT: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn framed(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn request(encoder: &mut Encoder, authority: &[u8]) -> Vec<u8> {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.field(b":method", b"POST", &mut block);
        encoder.field(b":authority", authority, &mut block);
        encoder.field(b"workload.spiffe.io", b"true", &mut block);
        block
    }

    /// The fields of every header block in `bytes`, read by a table of its own; other frames as they are.
    fn read(bytes: &[u8]) -> Vec<String> {
        let mut rest = bytes.strip_prefix(PREFACE_TEXT).unwrap();
        let (mut decoder, mut seen) = (Decoder::new(INITIAL_TABLE_SIZE), Vec::new());
        while let Some((length, kind, flags, _)) = frame(rest) {
            let payload = &rest[HEADER..HEADER + length];
            if kind == HEADERS {
                assert_eq!(flags & END_HEADERS, END_HEADERS);
                let mut sink = |name: &[u8], value: &[u8], _: Indexing| {
                    seen.push(format!(
                        "{}={}",
                        String::from_utf8_lossy(name),
                        String::from_utf8_lossy(value)
                    ));
                };
                decoder.decode(payload, &mut sink).unwrap();
            } else {
                seen.push(format!("frame {kind} of {length}"));
            }
            rest = &rest[HEADER + length..];
        }
        assert!(rest.is_empty());
        seen
    }

    const GOOD: [&str; 3] = [":method=POST", ":authority=localhost", "workload.spiffe.io=true"];

    #[test]
    fn every_authority_is_localhost_however_the_bytes_come() {
        let mut encoder = Encoder::new();
        let mut sent = PREFACE_TEXT.to_vec();
        sent.extend(framed(4, 0, &[0; 6]));
        // The third one is in the table by then.
        for _ in 0..3 {
            sent.extend(framed(HEADERS, END_HEADERS, &request(&mut encoder, b"tmp%2Fapi.sock")));
            sent.extend(framed(0, END_STREAM, b"\0\0\0\0\0"));
        }
        for step in [1, 2, 7, 100, 10_000] {
            let (mut authorities, mut out) = (Authorities::new(), Vec::new());
            for part in sent.chunks(step) {
                authorities.take(part, &mut out).unwrap();
            }
            let seen = read(&out);
            assert_eq!(seen[0], "frame 4 of 6");
            for request in seen[1..].chunks(4) {
                assert_eq!(
                    (&request[..3], request[3].as_str()),
                    (&GOOD.map(str::to_owned)[..], "frame 0 of 5")
                );
            }
        }
    }

    #[test]
    fn padding_priority_and_continuations_are_taken_out() {
        let block = request(&mut Encoder::new(), b"/run/api.sock");
        let (one, two) = block.split_at(5);
        let mut padded = vec![3, 0, 0, 0, 0, 16];
        padded.extend_from_slice(one);
        padded.extend([0; 3]);
        let mut sent = PREFACE_TEXT.to_vec();
        sent.extend(framed(HEADERS, PADDED | PRIORITY | END_STREAM, &padded));
        sent.extend(framed(CONTINUATION, END_HEADERS, two));
        let (mut authorities, mut out) = (Authorities::new(), Vec::new());
        authorities.take(&sent, &mut out).unwrap();
        assert_eq!(read(&out), GOOD);
        assert_eq!(out[PREFACE + 4], END_HEADERS | END_STREAM);
    }

    #[test]
    fn what_cannot_be_read_or_has_no_end_is_an_error() {
        let endless = framed(HEADERS, 0, &[0; MAX_FRAME]);
        for bad in [
            framed(CONTINUATION, END_HEADERS, b""),
            framed(HEADERS, END_HEADERS | PADDED, &[9, 1]),
            framed(HEADERS, END_HEADERS, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            [endless.clone(), framed(HEADERS, END_HEADERS, b"")].concat(),
            [endless, framed(CONTINUATION, 0, &[0; 10])].concat(),
            vec![0xff, 0, 0, 1, 4, 0, 0, 0, 1, 0],
        ] {
            let (mut authorities, mut out) = (Authorities::new(), Vec::new());
            let sent = [PREFACE_TEXT, &bad].concat();
            assert_eq!(authorities.take(&sent, &mut out), Err(Unreadable), "{:?}", &bad[..9.min(bad.len())]);
        }
    }

    #[test]
    fn a_small_block_that_unfolds_to_much_is_an_error() {
        let mut encoder = Encoder::new();
        let (long, mut block) = (vec![b'x'; 900], Vec::new());
        for _ in 0..200 {
            encoder.field(b"x-long", &long, &mut block);
        }
        assert!(block.len() < 4096, "the table makes it small: {}", block.len());
        let (mut authorities, mut out) = (Authorities::new(), Vec::new());
        let sent = [PREFACE_TEXT, &framed(HEADERS, END_HEADERS, &block)].concat();
        assert_eq!(authorities.take(&sent, &mut out), Err(Unreadable));
    }
}
