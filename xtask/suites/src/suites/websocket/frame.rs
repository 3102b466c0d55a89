//! Frames of RFC 6455 section 5, and an endpoint that answers them as sections 5 to 8 say. Pure.

/// Kinds of frames.
pub(super) const CONTINUED: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;
pub(super) const FIN: u8 = 0x80;
/// Largest message that the endpoint takes.
const MAX_MESSAGE: u64 = 64 << 20;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame without its mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// FIN, reserved bits and opcode.
    pub(super) first: u8,
    pub(super) masked: bool,
    pub(super) payload: Vec<u8>,
}

/// A frame as a client sends it.
pub(super) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, 0x80, payload.len());
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame as a server sends it.
pub(super) fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, 0, payload.len());
    bytes.extend(payload);
    bytes
}

fn head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(length) {
        Ok(short @ 0..=125) => bytes.push(mask | u8::try_from(short).unwrap_or_default()),
        Ok(middle) => {
            bytes.push(mask + 126);
            bytes.extend(middle.to_be_bytes());
        }
        Err(_) => {
            bytes.push(mask + 127);
            bytes.extend(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    bytes
}

/// The first frame of `bytes` and how long it is; None when more is needed.
pub(super) fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [first, second, ..] = *bytes else { return None };
    let (length, mut at) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    let masked = second & 0x80 != 0;
    let mask = if masked { bytes.get(at..at + 4)?.to_vec() } else { vec![0] };
    at += if masked { 4 } else { 0 };
    let length = usize::try_from(length.min(MAX_MESSAGE)).ok()?;
    let payload = bytes.get(at..at + length)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some((Frame { first, masked, payload }, at + length))
}

/// A server that sends back what it gets, and closes on what it must not get.
#[derive(Debug, Default)]
pub(super) struct Endpoint {
    buffer: Vec<u8>,
    /// Opcode and bytes of a message whose end has not come.
    message: Option<(u8, Vec<u8>)>,
    pub(super) closed: bool,
}

impl Endpoint {
    /// Takes bytes, gives the bytes of the answer.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.buffer.extend(bytes);
        let mut answer = Vec::new();
        while !self.closed {
            if let Some(code) = self.early_fault() {
                answer.extend(self.close(code));
                break;
            }
            let Some((frame, length)) = parse(&self.buffer) else { break };
            self.buffer.drain(..length);
            match self.frame(frame) {
                Ok(bytes) => answer.extend(bytes),
                Err(code) => answer.extend(self.close(code)),
            }
        }
        answer
    }

    fn close(&mut self, code: u16) -> Vec<u8> {
        self.closed = true;
        plain(FIN | CLOSE, &code.to_be_bytes())
    }

    /// What a head alone tells: a peer need not send the rest.
    fn early_fault(&self) -> Option<u16> {
        let [first, second, ..] = *self.buffer.as_slice() else { return None };
        let opcode = first & 0x0f;
        let control = opcode >= CLOSE;
        let is_bad = first & 0x70 != 0
            || second & 0x80 == 0
            || matches!(opcode, 0x3..=0x7 | 0xb..=0xf)
            || (control && (first & FIN == 0 || second & 0x7f > 125))
            || (opcode == CONTINUED && self.message.is_none())
            || (matches!(opcode, TEXT | BINARY) && self.message.is_some());
        is_bad.then_some(1002)
    }

    fn frame(&mut self, frame: Frame) -> Result<Vec<u8>, u16> {
        let opcode = frame.first & 0x0f;
        match opcode {
            PING => Ok(plain(FIN | PONG, &frame.payload)),
            PONG => Ok(Vec::new()),
            CLOSE => {
                let answer = closing(&frame.payload)?;
                self.closed = true;
                Ok(plain(FIN | CLOSE, &answer))
            }
            _ => {
                let (kind, mut bytes) = self.message.take().unwrap_or((opcode, Vec::new()));
                bytes.extend(frame.payload);
                if kind == TEXT {
                    utf8(&bytes, frame.first & FIN != 0)?;
                }
                if frame.first & FIN == 0 {
                    self.message = Some((kind, bytes));
                    return Ok(Vec::new());
                }
                Ok(plain(FIN | kind, &bytes))
            }
        }
    }
}

/// Section 7.4: the code is echoed; a reason must be UTF-8.
fn closing(payload: &[u8]) -> Result<Vec<u8>, u16> {
    match payload {
        [] => Ok(1000_u16.to_be_bytes().to_vec()),
        [_] => Err(1002),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            std::str::from_utf8(reason).map_err(|_| 1007_u16)?;
            match code {
                1000..=1003 | 1007..=1011 | 3000..=4999 => Ok(code.to_be_bytes().to_vec()),
                _ => Err(1002),
            }
        }
    }
}

/// A message that ends must be UTF-8; one that goes on must not be wrong already.
fn utf8(bytes: &[u8], ends: bool) -> Result<(), u16> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) if error.error_len().is_none() && !ends => Ok(()),
        Err(_) => Err(1007),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_as_they_were_written() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let payload = vec![0xfe; length];
            let bytes = masked(FIN | BINARY, &payload);
            assert_eq!(parse(bytes.get(..bytes.len() - 1).unwrap()), None);
            let (frame, taken) = parse(&bytes).unwrap();
            assert_eq!((frame.payload, frame.masked, taken), (payload, true, bytes.len()));
        }
    }

    #[test]
    fn an_endpoint_echoes_and_closes_as_the_rfc_says() {
        let mut endpoint = Endpoint::default();
        assert_eq!(endpoint.take(&masked(TEXT, b"a")), b"");
        assert_eq!(endpoint.take(&masked(FIN | PING, b"p")), plain(FIN | PONG, b"p"));
        assert_eq!(endpoint.take(&masked(FIN, b"b")), plain(FIN | TEXT, b"ab"));
        assert_eq!(endpoint.take(&masked(FIN | TEXT, b"\xff")), plain(FIN | CLOSE, &1007_u16.to_be_bytes()));
        assert!(endpoint.closed);
        assert_eq!(
            Endpoint::default().take(&plain(FIN | TEXT, b"a")),
            plain(FIN | CLOSE, &1002_u16.to_be_bytes())
        );
    }
}
