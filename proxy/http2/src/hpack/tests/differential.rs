//! Another HPACK (`httlib-hpack`) reads what we write, and we read what it writes, with its tables and its compression.

use super::properties::field;
use super::{Pairs, read, write};
use crate::hpack::{Decoder, Encoder};
use proptest::prelude::*;

fn theirs(decoder: &mut httlib_hpack::Decoder<'_>, mut block: Vec<u8>) -> Pairs {
    let mut fields = Vec::new();
    decoder.decode(&mut block, &mut fields).expect("our block is readable");
    fields.into_iter().map(|(name, value, _)| (name, value)).collect()
}

proptest! {
    #[test]
    fn the_other_reads_what_we_write(blocks in prop::collection::vec(prop::collection::vec(field(), 0..12), 1..8)) {
        let mut encoder = Encoder::new();
        let mut decoder = httlib_hpack::Decoder::with_dynamic_size(4096);
        for fields in &blocks {
            let block = write(&mut encoder, fields);
            let lowered: Pairs =
                fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
            prop_assert_eq!(theirs(&mut decoder, block), lowered);
        }
    }

    #[test]
    fn we_read_what_the_other_writes(
        blocks in prop::collection::vec(prop::collection::vec((field(), 0u8..32), 0..12), 1..8)
    ) {
        let mut encoder = httlib_hpack::Encoder::with_dynamic_size(4096);
        let mut decoder = Decoder::new(4096);
        for fields in &blocks {
            let mut block = Vec::new();
            for ((name, value), flags) in fields {
                // Never indexed and indexed at once is nothing.
                let flags = if flags & 0x8 == 0 { *flags } else { flags & !0x4 };
                encoder.encode((name.clone(), value.clone(), flags), &mut block).unwrap();
            }
            let expected: Pairs = fields.iter().map(|(field, _)| field.clone()).collect();
            prop_assert_eq!(read(&mut decoder, &block), Ok(expected));
        }
    }
}
