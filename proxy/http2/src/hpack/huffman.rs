//! The code that texts may be compressed with (RFC 7541 section 5.2 and Appendix B), read by tables that the compiler makes. It must not
//! know what the texts are. We write no compressed text: it would save a fifth of the bytes for several times the work.

mod code;

use super::malformed::Malformed;
use code::{LONGEST, SHORT, SHORT_BITS, long};

/// Unfolds `input` into `out`, behind its first `from` bytes, and says where the text ends. `out` is only ever made longer, so that it
/// is not cleared each time; what is behind the end means nothing.
pub(super) fn unfold(input: &[u8], out: &mut Vec<u8>, from: usize) -> Result<usize, Malformed> {
    // The shortest code has five bits; each step may write one byte more than it counts.
    let most = from + input.len() * 8 / 5 + 2;
    if out.len() < most {
        out.resize(most.next_multiple_of(256), 0);
    }
    let mut writer = Writer { out, at: from };
    let mut bits = Bits { window: 0, have: 0, rest: input };
    loop {
        bits.refill();
        if bits.have < 5 * SHORT_BITS {
            break;
        }
        for _ in 0..5 {
            let entry = bits.look_up();
            if entry == 0 {
                bits.long_code(&mut writer)?;
                break;
            }
            writer.two(entry);
            bits.skip(total(entry));
        }
    }
    bits.finish(&mut writer)?;
    Ok(writer.at)
}

/// Bits that both symbols of an entry of [`SHORT`] take.
#[inline]
fn total(entry: u32) -> u32 {
    entry >> 28
}

/// Bits that the first symbol takes.
#[inline]
fn of_first(entry: u32) -> u32 {
    entry >> 24 & 0xf
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

impl Writer<'_> {
    /// Writes the one or two symbols of an entry.
    #[inline]
    fn two(&mut self, entry: u32) {
        let [first, second, count, _] = entry.to_le_bytes();
        if let Some(place) = self.out.get_mut(self.at..self.at + 2) {
            place.copy_from_slice(&[first, second]);
        }
        self.at += usize::from(count & 0xf);
    }

    #[inline]
    fn one(&mut self, symbol: u8) {
        if let Some(place) = self.out.get_mut(self.at) {
            *place = symbol;
        }
        self.at += 1;
    }
}

struct Bits<'a> {
    /// The next bits, from the highest on; those behind the first `have` are the same as in `rest`, or ones behind the end.
    window: u64,
    have: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Afterwards there are at least 56 bits, or `rest` is empty.
    #[inline]
    fn refill(&mut self) {
        let next = match self.rest.first_chunk::<8>() {
            Some(chunk) => u64::from_be_bytes(*chunk),
            None => self.last_bytes(),
        };
        self.window |= next >> self.have;
        let room = (63 - self.have) >> 3;
        let taken = u32::try_from(self.rest.len()).map_or(room, |rest| rest.min(room));
        self.rest = self.rest.get(taken as usize..).unwrap_or_default();
        self.have += 8 * taken;
    }

    /// Fewer than eight bytes, and ones behind them.
    #[inline]
    fn last_bytes(&self) -> u64 {
        let mut bytes = [0xff; 8];
        for (to, from) in bytes.iter_mut().zip(self.rest) {
            *to = *from;
        }
        u64::from_be_bytes(bytes)
    }

    #[inline]
    fn look_up(&self) -> u32 {
        SHORT.get((self.window >> (64 - SHORT_BITS)) as usize).copied().unwrap_or_default()
    }

    #[inline]
    fn skip(&mut self, bits: u32) {
        self.window <<= bits;
        self.have -= bits;
    }

    /// One symbol whose code is longer than [`SHORT`] covers, unless there are too few bits for the longest: then nothing happens, and
    /// there will be more after the next refill.
    #[cold]
    fn long_code(&mut self, writer: &mut Writer<'_>) -> Result<(), Malformed> {
        if self.have >= LONGEST {
            let (symbol, bits) = long(self.window);
            writer.one(u8::try_from(symbol).map_err(|_| Malformed::EndMark)?);
            self.skip(bits);
        }
        Ok(())
    }

    /// The last symbols and the padding.
    fn finish(&mut self, writer: &mut Writer<'_>) -> Result<(), Malformed> {
        while self.have > 0 {
            // Ones behind the end make the padding the beginning of the end mark, which is no symbol.
            self.window |= u64::MAX >> self.have;
            let entry = self.look_up();
            if entry == 0 {
                let (symbol, bits) = long(self.window);
                if bits > self.have {
                    return self.padding();
                }
                writer.one(u8::try_from(symbol).map_err(|_| Malformed::EndMark)?);
                self.skip(bits);
            } else if total(entry) <= self.have {
                writer.two(entry);
                self.skip(total(entry));
            } else if of_first(entry) <= self.have {
                let [first, ..] = entry.to_le_bytes();
                writer.one(first);
                self.skip(of_first(entry));
            } else {
                return self.padding();
            }
        }
        Ok(())
    }

    /// What is left is fewer than eight bits, all of them ones.
    fn padding(&self) -> Result<(), Malformed> {
        if self.have < 8 && self.window.leading_ones() >= self.have {
            Ok(())
        } else {
            Err(Malformed::Padding)
        }
    }
}

/// Compresses a text.
#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "eight bits at a time")]
pub(super) fn fold(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut have) = (0u64, 0);
    for symbol in text {
        let (code, len) = code::of(usize::from(*symbol));
        bits = bits << len | u64::from(code);
        have += len;
        while have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    if have > 0 {
        out.push((bits << (8 - have)) as u8 | 0xff >> have);
    }
    out
}
