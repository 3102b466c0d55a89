//! Numbers with a prefix (RFC 7541 section 5.1), and the reader over a block. It must not know what is counted.

use super::malformed::Malformed;

/// How many bytes may follow the prefix: five hold any number of 32 bits.
const CONTINUATION: u32 = 5;

/// What is left of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    #[inline]
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The number whose prefix is the lowest bits of `first` under `mask`, which was read already.
    #[inline]
    pub(super) fn number(&mut self, first: u8, mask: u8) -> Result<usize, Malformed> {
        let prefix = first & mask;
        if prefix < mask { Ok(usize::from(prefix)) } else { self.continued(mask) }
    }

    fn continued(&mut self, mask: u8) -> Result<usize, Malformed> {
        let mut number = u64::from(mask);
        for at in 0..CONTINUATION {
            let byte = self.byte().ok_or(Malformed::Truncated)?;
            number += u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                let number = u32::try_from(number).map_err(|_| Malformed::NumberTooLarge)?;
                return usize::try_from(number).map_err(|_| Malformed::NumberTooLarge);
            }
        }
        Err(Malformed::NumberTooLarge)
    }
}

/// Writes a number behind the bits of `first`, whose lowest bits under `mask` are zero.
#[inline]
pub(super) fn write(first: u8, mask: u8, number: usize, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(small) if small < mask => out.push(first | small),
        _ => write_continued(first, mask, number, out),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn write_continued(first: u8, mask: u8, number: usize, out: &mut Vec<u8>) {
    out.push(first | mask);
    let mut rest = number - usize::from(mask);
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
