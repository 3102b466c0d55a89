//! Classes of bytes, and how to run over them fast without `unsafe`. It must not know what the bytes are part of.

/// A set of bytes.
#[derive(Debug)]
pub(crate) struct Set([bool; 256]);

impl Set {
    const fn new(range: (u8, u8), with: &[u8], without: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = range.0;
        loop {
            put(&mut set, byte, true);
            if byte == range.1 {
                break;
            }
            byte += 1;
        }
        Self(mark(mark(set, with, true), without, false))
    }

    const fn alphanumeric(with: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte: u8 = 0;
        while byte < 128 {
            if byte.is_ascii_alphanumeric() {
                put(&mut set, byte, true);
            }
            byte += 1;
        }
        Self(mark(set, with, true))
    }

    /// Whether the byte is in it.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
    pub(crate) const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }

    /// Whether all bytes are in it; true of none.
    #[inline]
    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        // Without a way out in the middle, since nearly all that is asked about is sound.
        bytes.iter().fold(true, |all, byte| all & self.has(*byte))
    }

    /// How many bytes from the start are in it.
    #[inline]
    pub(crate) fn run(&self, bytes: &[u8]) -> usize {
        bytes.iter().position(|byte| !self.has(*byte)).unwrap_or(bytes.len())
    }
}

#[expect(clippy::indexing_slicing, reason = "a byte is always below 256")]
const fn put(set: &mut [bool; 256], byte: u8, value: bool) {
    set[byte as usize] = value;
}

const fn mark(mut set: [bool; 256], bytes: &[u8], value: bool) -> [bool; 256] {
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        put(&mut set, *first, value);
        rest = tail;
    }
    set
}

/// Bytes of a token: methods, field names, protocols (RFC 9110 section 5.6.2).
pub(crate) static TOKEN: Set = Set::alphanumeric(b"!#$%&'*+-.^_`|~");
/// Bytes of a request target: visible ASCII without `#`.
pub(crate) static TARGET: Set = Set::new((0x21, 0x7e), b"", b"#");
/// Bytes of a host that is a name.
pub(crate) static HOST: Set = Set::alphanumeric(b"-._");
/// Bytes that mean themselves wherever they are encoded (RFC 3986 section 2.3).
pub(crate) static UNRESERVED: Set = Set::alphanumeric(b"-._~");
/// Bytes of a path that never need a closer look: pchar (RFC 3986 section 3.3) and `/`, without `%` and `.`.
pub(crate) static PLAIN_PATH: Set = Set::alphanumeric(b"/-_~!$&'()*+,;=:@");
/// Bytes of a path that stay as they are in the canonical spelling: pchar without `%`.
pub(crate) static PCHAR: Set = Set::alphanumeric(b"-._~!$&'()*+,;=:@");
/// Bytes of a query that stay as they are: visible ASCII without `"`, `#`, `<`, `>`.
pub(crate) static QUERY: Set = Set::new((0x21, 0x7e), b"", b"\"#<>");

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// In each byte of the result the high bit is set if that byte is a control (below 0x20, or 0x7f). Exact for the lowest one, which
/// is all that is asked.
#[inline]
const fn controls(word: u64) -> u64 {
    let low = word.wrapping_sub(0x20 * ONES) & !word;
    let delete = word ^ (0x7f * ONES);
    let delete = delete.wrapping_sub(ONES) & !delete;
    (low | delete) & HIGH
}

/// How many bytes from the start may be part of a field's value: HTAB, SP, visible ASCII, obs-text (RFC 9110 section 5.5).
#[inline]
pub(crate) fn value_run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        while let Some((word, tail)) = rest.split_first_chunk::<8>() {
            let hit = controls(u64::from_le_bytes(*word));
            if hit != 0 {
                rest = rest.get(hit.trailing_zeros() as usize / 8..).unwrap_or_default();
                break;
            }
            rest = tail;
        }
        let clean = |byte: &u8| *byte >= b' ' && *byte != 0x7f;
        let run = rest.iter().position(|byte| !clean(byte));
        match run {
            // A tab is rare, so it costs another round.
            Some(at) if rest.get(at) == Some(&b'\t') => rest = rest.get(at + 1..).unwrap_or_default(),
            Some(at) => return bytes.len() - rest.len() + at,
            None => return bytes.len(),
        }
    }
}

/// Where the next LF is.
#[inline]
pub(crate) fn find_lf(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word) ^ (0x0a * ONES);
        let hit = word.wrapping_sub(ONES) & !word & HIGH;
        if hit != 0 {
            return Some(bytes.len() - rest.len() + hit.trailing_zeros() as usize / 8);
        }
        rest = tail;
    }
    rest.iter().position(|byte| *byte == b'\n').map(|at| bytes.len() - rest.len() + at)
}

/// Without spaces and tabs at both ends.
#[inline]
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [b' ' | b'\t', tail @ ..] = rest {
        rest = tail;
    }
    while let [init @ .., b' ' | b'\t'] = rest {
        rest = init;
    }
    rest
}

/// A decimal number without sign, up to 2^63 - 1: peers that hold it in a signed number read larger ones differently.
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 19 {
        return None;
    }
    let mut value: u64 = 0;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits are below 10^19, which a u64 holds.
        value = value * 10 + u64::from(digit);
    }
    i64::try_from(value).is_ok().then_some(value)
}

/// The value of a hexadecimal digit.
#[inline]
pub(crate) const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
