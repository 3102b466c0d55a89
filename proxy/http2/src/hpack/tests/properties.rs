//! Properties of reading and writing.

use super::super::huffman;
use super::{Pairs, read, write};
use crate::hpack::{Decoder, Encoder};
use proptest::prelude::*;

/// A field as it travels: of a few names and values, so that they come again, or of any.
pub(super) fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        4 => prop::sample::select(vec![
            ":method", ":path", ":status", ":authority", ":scheme", "user-agent", "Content-Type", "authorization", "cookie",
            "x-own", "X-Own", "date", "accept-encoding", "grpc-timeout", "te",
        ]).prop_map(|name| name.as_bytes().to_vec()),
        1 => "[a-zA-Z0-9-]{1,40}".prop_map(String::into_bytes),
    ];
    let value = prop_oneof![
        4 => prop::sample::select(vec![
            "", "GET", "POST", "/", "/index.html", "200", "404", "201", "application/grpc", "gzip, deflate", "http", "https",
            "a value of more than sixteen bytes", "a value of more than sixteen Bytes",
        ]).prop_map(|value| value.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ];
    (name, value)
}

fn lowered(pairs: &Pairs) -> Pairs {
    pairs.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_while_the_size_of_the_table_changes(
        blocks in prop::collection::vec((
            prop::collection::vec(prop_oneof![0u32..300, Just(4096), any::<u32>()], 0..3),
            prop::collection::vec(field(), 0..12),
        ), 1..12)
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for (sizes, fields) in &blocks {
            for size in sizes {
                encoder.set_table_size(*size);
            }
            let block = write(&mut encoder, fields);
            prop_assert_eq!(read(&mut decoder, &block), Ok(lowered(fields)));
            prop_assert_eq!(encoder.table().size(), decoder.table().size());
            prop_assert_eq!(encoder.table().limit(), decoder.table().limit());
            if let Some(size) = sizes.last() {
                prop_assert!(encoder.table().limit() <= *size as usize);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_within_the_bounds(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8),
        max_table in 0usize..10_000,
    ) {
        let mut decoder = Decoder::new(max_table);
        for block in &blocks {
            let read = read(&mut decoder, block);
            prop_assert!(decoder.table().limit() <= max_table.max(4096));
            prop_assert!(decoder.table().size() <= decoder.table().limit());
            if read.is_err() {
                break;
            }
        }
    }

    /// Bytes that mean something more often than any bytes do.
    #[test]
    fn a_block_that_is_edited_is_read_or_refused(
        fields in prop::collection::vec(field(), 1..12),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut block = write(&mut Encoder::new(), &fields);
        for (at, byte) in edits {
            let at = at.index(block.len());
            block[at] = byte;
        }
        let mut decoder = Decoder::new(4096);
        let whole = read(&mut decoder, &block);
        prop_assert!(decoder.table().size() <= 4096);
        // What stands before a cut is told the same way.
        let cut = cut.index(block.len());
        if let (Ok(whole), Ok(part)) = (whole, read(&mut Decoder::new(4096), &block[..cut])) {
            prop_assert!(whole.starts_with(&part));
        }
    }

    #[test]
    fn a_text_that_is_folded_unfolds(text in prop::collection::vec(any::<u8>(), 0..200), before in 0usize..20) {
        let coded = huffman::fold(&text);
        let mut out = vec![7; before];
        let end = huffman::unfold(&coded, &mut out, before).unwrap();
        prop_assert_eq!(&out[before..end], text.as_slice());
        prop_assert!(out[..before].iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_text_of_letters_unfolds(text in "[ -~]{0,200}") {
        let mut out = Vec::new();
        let end = huffman::unfold(&huffman::fold(text.as_bytes()), &mut out, 0).unwrap();
        prop_assert_eq!(&out[..end], text.as_bytes());
    }

    /// There is one way to write a text: what unfolds folds to the same bytes.
    #[test]
    fn any_bytes_unfold_to_what_folds_to_them(coded in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff)], 0..40)) {
        let mut out = Vec::new();
        if let Ok(end) = huffman::unfold(&coded, &mut out, 0) {
            prop_assert_eq!(huffman::fold(&out[..end]), coded);
        }
    }
}

#[test]
fn each_byte_unfolds_at_each_place() {
    for byte in 0..=255u8 {
        for len in 0..24 {
            let mut text = vec![b'a'; len];
            text.push(byte);
            text.extend(vec![byte; len % 3]);
            let mut out = Vec::new();
            let end = huffman::unfold(&huffman::fold(&text), &mut out, 0).unwrap();
            assert_eq!(out[..end], text);
        }
    }
}
