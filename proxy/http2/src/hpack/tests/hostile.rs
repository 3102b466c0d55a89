//! Blocks that are refused, and those at the edge of it.

use super::super::table::LARGEST;
use super::{Malformed, hex, pair, read};
use crate::hpack::{Decoder, Encoder};

#[test]
fn a_malformed_block_is_refused_for_its_reason() {
    let cases = [
        // Numbers.
        ("ff", Malformed::Truncated),
        ("ffff", Malformed::Truncated),
        ("ffffffffff7f", Malformed::NumberTooLarge),
        ("ff8080808010", Malformed::NumberTooLarge),
        ("ff808080808000", Malformed::NumberTooLarge),
        ("3fffffffffffff00", Malformed::NumberTooLarge),
        ("007fffffffff7f", Malformed::NumberTooLarge),
        // Indices.
        ("80", Malformed::IndexZero),
        ("82 80", Malformed::IndexZero),
        ("be", Malformed::IndexUnknown),
        ("ff00", Malformed::IndexUnknown),
        ("7f00 0161", Malformed::IndexUnknown),
        ("0f2f 0161", Malformed::IndexUnknown),
        ("1f2f 0161", Malformed::IndexUnknown),
        ("40 0161 0162 bf", Malformed::IndexUnknown),
        ("20 40 0161 0162 be", Malformed::IndexUnknown),
        // Texts that are longer than what is left.
        ("40", Malformed::Truncated),
        ("00", Malformed::Truncated),
        ("04", Malformed::Truncated),
        ("40 02 61", Malformed::Truncated),
        ("40 01 61", Malformed::Truncated),
        ("40 01 61 02 62", Malformed::Truncated),
        ("41 7f ff ff 03 61", Malformed::Truncated),
        ("41 8c f1e3c2e5f23a6ba0ab90f4", Malformed::Truncated),
        ("41 7f", Malformed::Truncated),
        // Compressed texts: more than seven bits of padding, zeros, and the end mark.
        ("41 81 ff", Malformed::Padding),
        ("41 82 1fff", Malformed::Padding),
        ("41 81 00", Malformed::Padding),
        ("41 81 18", Malformed::Padding),
        ("41 81 1e", Malformed::Padding),
        ("41 83 ffffff", Malformed::Padding),
        ("41 84 fffffffc", Malformed::EndMark),
        ("41 84 ffffffff", Malformed::EndMark),
        ("41 85 1ffffffff7", Malformed::EndMark),
        ("41 8c 1ffffffff70000000000001f", Malformed::EndMark),
        ("00 81 ff 01 61", Malformed::Padding),
        // Sizes of the table.
        ("82 20", Malformed::SizeUpdateLate),
        ("20 82 3fe11f", Malformed::SizeUpdateLate),
        ("3fe21f", Malformed::SizeUpdateTooLarge),
        ("20 3fe21f", Malformed::SizeUpdateTooLarge),
    ];
    for (block, malformed) in cases {
        assert_eq!(read(&mut Decoder::new(4096), &hex(block)), Err(malformed), "{block}");
    }
}

#[test]
fn a_block_at_the_edge_is_read() {
    let long = format!("41 7f 80 80 80 80 00 {}", "76".repeat(127));
    let cases = [
        ("", vec![]),
        ("20 3fe11f 82", vec![pair(":method", "GET")]),
        ("41 00", vec![pair(":authority", "")]),
        ("41 80", vec![pair(":authority", "")]),
        ("00 00 00", vec![pair("", "")]),
        ("00 80 80", vec![pair("", "")]),
        // Three bits of padding, and seven.
        ("41 81 1f", vec![pair(":authority", "a")]),
        ("41 83 18ee7f", vec![pair(":authority", "aa:")]),
        // A number of as many bytes as may be.
        (&long, vec![pair(":authority", &"v".repeat(127))]),
    ];
    for (block, fields) in cases {
        assert_eq!(read(&mut Decoder::new(4096), &hex(block)), Ok(fields), "{block}");
    }
}

#[test]
fn a_field_larger_than_the_table_empties_it_and_is_told() {
    let mut decoder = Decoder::new(4096);
    read(&mut decoder, &hex("40 0161 0162")).unwrap();
    let mut block = hex("7e 7f 81 1f");
    block.extend(vec![b'v'; 4096]);
    assert_eq!(read(&mut decoder, &block), Ok(vec![pair("a", &"v".repeat(4096))]));
    assert_eq!((decoder.table().len(), decoder.table().size(), decoder.table().buffer()), (0, 0, 0));
}

#[test]
fn a_name_is_taken_from_the_entry_that_leaves_for_it() {
    let mut decoder = Decoder::new(4096);
    // 64 bytes: one entry of 34 leaves for each that comes.
    read(&mut decoder, &hex("3f21 40 0161 0162")).unwrap();
    for letter in b"cdefgh".repeat(50) {
        assert_eq!(read(&mut decoder, &[0x7e, 1, letter]), Ok(vec![(b"a".to_vec(), vec![letter])]));
        assert_eq!((decoder.table().len(), decoder.table().size()), (1, 34));
        assert!(decoder.table().buffer() <= 128);
    }
}

#[test]
fn the_buffer_of_the_table_stays_below_twice_its_size() {
    let mut decoder = Decoder::new(4096);
    for round in 0..2000usize {
        let value = "v".repeat(round * 7 % 300);
        let mut block = hex("40 0161");
        super::super::integer::write(0, 0x7f, value.len(), &mut block);
        block.extend(value.as_bytes());
        read(&mut decoder, &block).unwrap();
        assert!(decoder.table().buffer() <= 8192 && decoder.table().size() <= 4096);
    }
}

#[test]
fn a_smaller_table_is_due_from_the_acknowledgement_on() {
    let mut decoder = Decoder::new(100);
    // The peer has not read our settings: it goes by the initial size.
    assert_eq!(read(&mut decoder, &hex("3fe11f 40 0161 0162")), Ok(vec![pair("a", "b")]));
    assert_eq!(decoder.table().limit(), 4096);
    decoder.acknowledged();
    assert_eq!(read(&mut decoder, &hex("be")), Err(Malformed::SizeUpdateMissing));
    assert_eq!(read(&mut decoder, &hex("3f46")), Err(Malformed::SizeUpdateTooLarge));
    assert_eq!(read(&mut decoder, &hex("3f45 be")), Ok(vec![pair("a", "b")]));
    assert_eq!(decoder.table().limit(), 100);
    assert_eq!(read(&mut decoder, &hex("be")), Ok(vec![pair("a", "b")]));

    let mut decoder = Decoder::new(100);
    read(&mut decoder, &hex("20")).unwrap();
    assert_eq!(
        read(&mut decoder, &hex("3f46")),
        Err(Malformed::SizeUpdateTooLarge),
        "the peer knows our setting"
    );
}

#[test]
fn a_larger_table_begins_when_the_peer_says_so() {
    let mut decoder = Decoder::new(65536);
    assert_eq!(decoder.table().limit(), 4096);
    decoder.acknowledged();
    assert_eq!(read(&mut decoder, &hex("82")), Ok(vec![pair(":method", "GET")]));
    assert_eq!(read(&mut decoder, &hex("3fe1ff03")), Ok(vec![]));
    assert_eq!(decoder.table().limit(), 65536);
    assert_eq!(read(&mut decoder, &hex("3fe2ff03")), Err(Malformed::SizeUpdateTooLarge));
    assert_eq!(Decoder::new(usize::MAX).table().limit(), 4096);
    assert!(LARGEST <= u32::MAX as usize / 2);
}

#[test]
fn many_entries_fill_the_table_and_no_more() {
    let mut decoder = Decoder::new(4096);
    for _ in 0..200 {
        read(&mut decoder, &hex("40 00 00")).unwrap();
    }
    assert_eq!((decoder.table().len(), decoder.table().size()), (128, 4096));
    assert_eq!(read(&mut decoder, &hex("ff7e")), Err(Malformed::IndexUnknown));
    let mut encoder = Encoder::default();
    for number in 0..400 {
        let value = number.to_string().into_bytes();
        for _ in 0..2 {
            super::write(&mut encoder, &[(b"x".to_vec(), value.clone())]);
        }
    }
    assert!(encoder.table().size() <= 4096 && encoder.table().len() > 100);
}
