//! As much of HPACK (RFC 7541) as hostile clients need: literals that may hold anything, indexes, and the status of an answer.
//! Pure.

const DIGITS: [(u8, u32, u32); 10] = [
    (b'0', 0x0, 5),
    (b'1', 0x1, 5),
    (b'2', 0x2, 5),
    (b'3', 0x19, 6),
    (b'4', 0x1a, 6),
    (b'5', 0x1b, 6),
    (b'6', 0x1c, 6),
    (b'7', 0x1d, 6),
    (b'8', 0x1e, 6),
    (b'9', 0x1f, 6),
];

/// A field as a literal that goes into no table.
pub(crate) fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0x00);
    text(block, name);
    text(block, value);
}

/// A field as a literal that becomes the newest entry of the table.
pub(crate) fn indexed_literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0x40);
    text(block, name);
    text(block, value);
}

/// The newest entry of the table.
pub(crate) const NEWEST: u8 = 0x80 + 62;

fn text(block: &mut Vec<u8>, bytes: &[u8]) {
    integer(block, 0, 7, bytes.len());
    block.extend(bytes);
}

/// Section 5.1: an integer in the last `bits` of a byte that begins with `pattern`, continued where it does not fit.
fn integer(block: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let full = (1_usize << bits) - 1;
    let low = |value: usize| u8::try_from(value & 0xff).unwrap_or(u8::MAX);
    if value < full {
        block.push(pattern | low(value));
        return;
    }
    block.push(pattern | low(full));
    let mut rest = value - full;
    while rest >= 128 {
        block.push(0x80 | low(rest & 0x7f));
        rest >>= 7;
    }
    block.push(low(rest));
}

/// A whole list of fields.
pub(crate) fn fields(list: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in list {
        literal(&mut block, name, value);
    }
    block
}

/// The fields of a plain request, and `more`.
pub(crate) fn request(method: &str, path: &str, host: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let plain = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)];
    let list: Vec<(&[u8], &[u8])> =
        plain.iter().chain(more).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    fields(&list)
}

/// The status at the beginning of a block whose table is empty (static table, appendix A).
pub(crate) fn status(block: &[u8]) -> Option<u16> {
    let mut rest = block;
    // Section 6.3: changes of the table's size come first.
    while let [first, after @ ..] = rest {
        if first & 0xe0 != 0x20 {
            break;
        }
        rest = after;
        if first & 0x1f == 0x1f {
            let more = rest.iter().take_while(|byte| **byte & 0x80 != 0).count();
            rest = rest.get(more + 1..)?;
        }
    }
    match rest {
        [indexed @ 0x88..=0x8e, ..] => {
            [200, 204, 206, 304, 400, 404, 500].get(usize::from(indexed - 0x88)).copied()
        }
        // The name `:status` by its index (8), without or with indexing, or never indexed.
        [0x08 | 0x18 | 0x48, length, value @ ..] => digits(*length, value),
        _ => None,
    }
}

fn digits(length: u8, value: &[u8]) -> Option<u16> {
    let bytes = value.get(..usize::from(length & 0x7f))?;
    let text = if length & 0x80 == 0 { bytes.to_vec() } else { huffman(bytes)? };
    std::str::from_utf8(&text).ok()?.parse().ok()
}

/// Three digits in Huffman's code (appendix B).
fn huffman(bytes: &[u8]) -> Option<Vec<u8>> {
    let all = bytes.iter().fold(0_u32, |all, byte| (all << 8) | u32::from(*byte));
    let mut left = u32::try_from(bytes.len()).ok()? * 8;
    let mut text = Vec::new();
    while text.len() < 3 {
        let (digit, _, bits) = DIGITS
            .iter()
            .find(|(_, code, bits)| left >= *bits && (all >> (left - bits)) & ((1 << bits) - 1) == *code)?;
        text.push(*digit);
        left -= bits;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_in_every_form() {
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(&[0x20, 0x3f, 0xe1, 0x1f, 0x8c]), Some(400));
        assert_eq!(status(&[0x08, 3, b'4', b'3', b'1']), Some(431));
        // RFC 7541 C.6.1: 302.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        // C.6.2: 307.
        assert_eq!(status(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307));
        assert_eq!(status(&[0x82]), None);
    }

    #[test]
    fn literals_hold_anything() {
        let mut block = Vec::new();
        literal(&mut block, b"a\r", b"");
        assert_eq!(block, [0, 2, b'a', b'\r', 0]);
        block.clear();
        indexed_literal(&mut block, b"x", &[b'y'; 127]);
        assert_eq!(block.get(..5).unwrap(), [0x40, 1, b'x', 127, 0]);
    }
}
