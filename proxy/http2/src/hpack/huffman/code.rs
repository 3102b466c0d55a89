//! The code itself. It is canonical: codes of one length are numbers one behind the other in the order of the symbols, and a longer
//! code begins where the shorter ones end. So the lengths of Appendix B say all of it.

/// All bytes, and the end mark.
pub(super) const SYMBOLS: usize = 257;

/// The symbol that ends a text and must not be in one.
pub(super) const END_MARK: u16 = 256;

/// The longest code.
pub(super) const LONGEST: u32 = 30;

/// How many bits [`SHORT`] looks at. Most of what is in headers has five to eight, so that most steps give two symbols.
pub(super) const SHORT_BITS: u32 = 11;

/// By the next bits: the first symbol, the second, how many there are, the bits of the first and of all (8, 8, 8, 4 and 4 bits from the
/// lowest). 0 stands for a code that is longer.
pub(super) static SHORT: [u32; 1 << SHORT_BITS] = short();

/// By length.
static LEVELS: [Level; LONGEST as usize + 1] = LEVELS_OF_CODE;
const LEVELS_OF_CODE: [Level; LONGEST as usize + 1] = levels();

/// The symbols in the order of their codes.
static ORDERED: [u16; SYMBOLS] = ORDER;
const ORDER: [u16; SYMBOLS] = ordered();

/// The codes of one length.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The first code, and where its symbol is in [`ORDERED`].
    first: u32,
    at: usize,
    /// The code behind the last.
    end: u32,
}

/// The symbol at the beginning of the window, whatever its length, and that length.
#[allow(clippy::cast_possible_truncation, reason = "at most 30 bits are left of the window")]
pub(super) fn long(window: u64) -> (u16, u32) {
    for (level, bits) in LEVELS.iter().zip(0u32..).skip(1) {
        let code = (window >> (64 - bits)) as u32;
        if code < level.end {
            let symbol = ORDERED.get(level.at + (code - level.first) as usize);
            return (symbol.copied().unwrap_or(END_MARK), bits);
        }
    }
    (END_MARK, LONGEST)
}

/// The lengths of the codes (RFC 7541 Appendix B).
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
const fn ordered() -> [u16; SYMBOLS] {
    let mut ordered = [0; SYMBOLS];
    let (mut at, mut bits) = (0, 1);
    while bits <= LONGEST {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as u32 == bits {
                ordered[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    ordered
}

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
const fn levels() -> [Level; LONGEST as usize + 1] {
    let mut levels = [Level { first: 0, at: 0, end: 0 }; LONGEST as usize + 1];
    let (mut code, mut at, mut bits) = (0, 0, 1);
    while bits <= LONGEST {
        code <<= 1;
        levels[bits as usize] = Level { first: code, at, end: code };
        while at < SYMBOLS && LENGTHS[ORDER[at] as usize] as u32 == bits {
            code += 1;
            at += 1;
        }
        levels[bits as usize].end = code;
        bits += 1;
    }
    levels
}

/// Code and length of a symbol.
#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
pub(super) const fn of(symbol: usize) -> (u32, u32) {
    let bits = LENGTHS[symbol];
    let level = levels()[bits as usize];
    let mut code = level.first;
    let mut before = 0;
    while before < symbol {
        code += (LENGTHS[before] == bits) as u32;
        before += 1;
    }
    (code, bits as u32)
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn short() -> [u32; 1 << SHORT_BITS] {
    let mut short = [0; 1 << SHORT_BITS];
    let mut window = 0;
    while window < short.len() {
        let bits = window as u64;
        if let Some((first, length)) = at_front(bits << (64 - SHORT_BITS), SHORT_BITS) {
            let (mut second, mut count, mut total) = (0, 1, length);
            if let Some((symbol, more)) = at_front(bits << (64 - SHORT_BITS) << length, SHORT_BITS - length) {
                (second, count, total) = (symbol, 2, length + more);
            }
            short[window] = total << 28 | length << 24 | count << 16 | second << 8 | first;
        }
        window += 1;
    }
    short
}

/// The symbol at the beginning of the window, if its code has at most `most` bits.
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
const fn at_front(window: u64, most: u32) -> Option<(u32, u32)> {
    let mut bits = 1;
    while bits <= most {
        let code = (window >> (64 - bits)) as u32;
        let level = LEVELS_OF_CODE[bits as usize];
        if code < level.end {
            return Some((ORDER[level.at + (code - level.first) as usize] as u32, bits));
        }
        bits += 1;
    }
    None
}
