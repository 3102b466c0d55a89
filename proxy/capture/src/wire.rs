//! Netlink messages as bytes: headers, attributes, nesting. It must not know any family of messages.

/// A message that is being written: the netlink header, a header of the family, attributes.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

/// Length, type, flags, sequence number, port id.
const HEADER: usize = 16;
/// The kernel answers with an error or with 0.
pub(crate) const ACK: u16 = 0x004;
pub(crate) const REQUEST: u16 = 0x001;
pub(crate) const EXCL: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;

impl Message {
    pub(crate) fn new(kind: u16, flags: u16, sequence: u32, family_header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend([0; 4]);
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | REQUEST).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(family_header);
        Self { bytes }
    }

    /// An attribute; what follows is aligned to four bytes.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.align()
    }

    /// An attribute of text, with the zero at its end.
    pub(crate) fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let bytes: Vec<u8> = value.bytes().chain([0]).collect();
        self.attribute(kind, &bytes)
    }

    /// An attribute with a number in network order, as nftables has them.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// An attribute with a number in the order of this machine, as rtnetlink has them.
    pub(crate) fn ne32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// An attribute with attributes in it.
    pub(crate) fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend((kind | NESTED).to_ne_bytes());
        inside(self);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.patch(start, &length.to_ne_bytes());
        self
    }

    /// A header inside of an attribute, as some families have it.
    #[cfg(test)]
    pub(crate) fn header(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.patch(0, &length.to_ne_bytes());
        self.bytes
    }

    fn align(&mut self) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        for (byte, value) in self.bytes.iter_mut().skip(at).zip(value) {
            *byte = *value;
        }
    }
}

/// What the kernel answered to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Of the message that it answers.
    pub(crate) sequence: u32,
    /// 0, or an error number.
    pub(crate) error: i32,
}

const ERROR: u16 = 2;

/// Errors and acknowledgements in a datagram; other messages are left out, and so is what is cut off.
pub(crate) fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(HEADER) {
        let Some(length) = u32_at(header, 0).and_then(|length| usize::try_from(length).ok()) else { break };
        let kind = header.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
        if kind == Some(ERROR)
            && let (Some(sequence), Some(error)) = (u32_at(header, 8), u32_at(rest, 0))
        {
            found.push(Answer { sequence, error: error.cast_signed().saturating_neg() });
        }
        if length < HEADER {
            break;
        }
        let Some(next) = bytes.get(length.next_multiple_of(4)..) else { break };
        bytes = next;
    }
    found
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    //! Facts about messages as bytes.

    use super::*;

    #[test]
    fn attributes_are_aligned_and_lengths_are_exact() {
        let mut message = Message::new(0x0a00, CREATE, 7, &[1, 0, 0, 0]);
        message.text(1, "amime").nested(4, |inside| {
            inside.be32(1, 3);
        });
        let bytes = message.into_bytes();
        let mut expected = Vec::new();
        expected.extend(44u32.to_ne_bytes());
        expected.extend(0x0a00u16.to_ne_bytes());
        expected.extend(0x0401u16.to_ne_bytes());
        expected.extend(7u32.to_ne_bytes());
        expected.extend([0; 4]);
        expected.extend([1, 0, 0, 0]);
        expected.extend(10u16.to_ne_bytes());
        expected.extend(1u16.to_ne_bytes());
        expected.extend(b"amime\0\0\0");
        expected.extend(12u16.to_ne_bytes());
        expected.extend(0x8004u16.to_ne_bytes());
        expected.extend(8u16.to_ne_bytes());
        expected.extend(1u16.to_ne_bytes());
        expected.extend([0, 0, 0, 3]);
        assert_eq!(bytes, expected);
    }

    fn answer(sequence: u32, error: i32) -> Vec<u8> {
        let mut message = Message::new(ERROR, 0, sequence, &(-error).to_ne_bytes());
        message.bytes.extend([0; HEADER]);
        message.into_bytes()
    }

    #[test]
    fn answers_are_read_and_cut_ones_are_not() {
        let two = [answer(3, 0), answer(4, 13)].concat();
        let expected = [Answer { sequence: 3, error: 0 }, Answer { sequence: 4, error: 13 }];
        assert_eq!(answers(&two), expected);
        assert_eq!(answers(&two[..two.len() - 20]), expected[..1]);
        assert_eq!(answers(&two[..40]), expected[..1]);
        assert_eq!(answers(&[0; 64]), []);
        assert_eq!(answers(&[]), []);
    }
}
