//! Encoding of header lists (RFC 7541) that are nearly the same each time, as those of clients and services are: what was
//! sent once is an index from then on. Pure.

/// Index of the newest entry of the dynamic table.
const FIRST_DYNAMIC: usize = 62;
/// `:status 200` in the static table.
pub(crate) const STATUS_200: u8 = 0x88;
const LITERAL_INDEXED: u8 = 0x40;

/// The encoder of one direction of a connection. It never evicts: callers send few different fields.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Oldest first.
    sent: Vec<(&'static str, String)>,
}

impl Encoder {
    /// Adds a field to `block`.
    pub(crate) fn field(&mut self, block: &mut Vec<u8>, name: &'static str, value: &str) {
        let known = self.sent.iter().position(|(n, v)| *n == name && v == value);
        if let Some(position) = known {
            integer(block, 0x80, 7, FIRST_DYNAMIC + (self.sent.len() - 1 - position));
            return;
        }
        self.sent.push((name, value.to_owned()));
        block.push(LITERAL_INDEXED);
        for text in [name, value] {
            integer(block, 0, 7, text.len());
            block.extend(text.as_bytes());
        }
    }
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

/// The first byte that is no change of the table's size (section 6.3). Sizes up to 4,158 take at most three bytes.
pub(crate) fn first_field(block: &[u8]) -> Option<u8> {
    let mut rest = block;
    while let [first, after @ ..] = rest {
        if first & 0xe0 != 0x20 {
            return Some(*first);
        }
        rest = after;
        if first & 0x1f == 0x1f {
            let more = rest.iter().take_while(|byte| **byte & 0x80 != 0).count();
            rest = rest.get(more + 1..).unwrap_or_default();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_spelled_once_and_an_index_from_then_on() {
        let mut encoder = Encoder::default();
        let encode = |encoder: &mut Encoder, name, value| {
            let mut block = Vec::new();
            encoder.field(&mut block, name, value);
            block
        };
        assert_eq!(encode(&mut encoder, "ab", "c"), [0x40, 2, b'a', b'b', 1, b'c']);
        assert_eq!(encode(&mut encoder, "ab", "c"), [0xbe]);
        encode(&mut encoder, "x", "y");
        assert_eq!(encode(&mut encoder, "ab", "c"), [0xbf]);
        assert_eq!(encode(&mut encoder, "x", "y"), [0xbe]);
    }

    #[test]
    fn integers_are_those_of_the_rfcs_examples() {
        let coded = |bits, value| {
            let mut block = Vec::new();
            integer(&mut block, 0, bits, value);
            block
        };
        assert_eq!(coded(5, 10), [10]);
        assert_eq!(coded(5, 1337), [31, 154, 10]);
        assert_eq!(coded(8, 42), [42]);
    }

    #[test]
    fn changes_of_the_tables_size_are_passed_over() {
        assert_eq!(first_field(&[0x20, 0x3f, 0xe1, 0x1f, 0x88]), Some(0x88));
        assert_eq!(first_field(&[0x88]), Some(STATUS_200));
        assert_eq!(first_field(&[0x20]), None);
    }
}
