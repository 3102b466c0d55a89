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
    let mut writer = Writer { out: out.as_mut_slice(), at: from };
    let mut bits = Bits { window: u64::MAX, have: 0, rest: input };
    while bits.refill() {
        for _ in 0..STEPS {
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

/// How many entries of [`SHORT`] the bits after a refill are enough for.
const STEPS: u32 = 56 / SHORT_BITS;

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
    out: &'a mut [u8],
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
    /// The next bits, from the highest on. Behind the first `have` there may be some of `rest`.
    window: u64,
    have: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Makes it at least 56 bits, if there are eight bytes to take them from.
    #[inline]
    fn refill(&mut self) -> bool {
        let Some(chunk) = self.rest.first_chunk::<8>() else { return false };
        self.window = self.first_bits() | u64::from_be_bytes(*chunk) >> self.have;
        let taken = (63 - self.have) >> 3;
        self.rest = self.rest.get(taken as usize..).unwrap_or_default();
        self.have += 8 * taken;
        true
    }

    /// The window without what is behind the first `have` bits, which are fewer than 64.
    #[inline]
    fn first_bits(&self) -> u64 {
        self.window & !(u64::MAX >> self.have)
    }

    /// Takes as many of the last bytes as there is place for, and ones behind them.
    #[inline]
    fn refill_at_the_end(&mut self) {
        let mut window = self.first_bits();
        while let ([first, rest @ ..], true) = (self.rest, self.have <= 55) {
            window |= u64::from(*first) << (56 - self.have);
            self.have += 8;
            self.rest = rest;
        }
        self.window = window | u64::MAX >> self.have;
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
        loop {
            self.refill_at_the_end();
            // What an entry takes is certainly there.
            while self.have >= SHORT_BITS {
                let entry = self.look_up();
                if entry == 0 {
                    break;
                }
                writer.two(entry);
                self.skip(total(entry));
            }
            if self.rest.is_empty() && self.is_padding() {
                return Ok(());
            }
            self.refill_at_the_end();
            self.last_code(writer)?;
        }
    }

    /// Whether what is left is fewer than eight bits, all of them ones: the beginning of the end mark, and of no other code so short.
    #[inline]
    fn is_padding(&self) -> bool {
        self.have < 8 && self.window.leading_ones() >= self.have
    }

    /// One symbol, whose bits must all be there. The ones behind the end complete no code but the end mark.
    fn last_code(&mut self, writer: &mut Writer<'_>) -> Result<(), Malformed> {
        let entry = self.look_up();
        let [first, ..] = entry.to_le_bytes();
        let (symbol, bits) = if entry == 0 { long(self.window) } else { (u16::from(first), of_first(entry)) };
        if bits > self.have {
            return Err(Malformed::Padding);
        }
        writer.one(u8::try_from(symbol).map_err(|_| Malformed::EndMark)?);
        self.skip(bits);
        Ok(())
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
