//! How the encoder chooses.

use super::super::known::{self, Habit};
use super::super::statics;
use super::{hex, pair, read, write};
use crate::hpack::{Decoder, Encoder};

#[test]
fn a_field_of_the_static_table_is_one_byte() {
    for (index, (name, value)) in (1u8..).zip(statics::TABLE) {
        if !value.is_empty() {
            assert_eq!(write(&mut Encoder::new(), &[pair(name, value)]), [0x80 | index], "{name}: {value}");
        }
    }
}

#[test]
fn all_names_of_the_static_table_are_known_in_any_case() {
    let names: Vec<_> = known::all().collect();
    for (name, _) in statics::TABLE {
        assert_eq!(names.iter().filter(|(known, ..)| *known == name).count(), 1, "{name}");
    }
    for (name, index, habit) in names {
        for spelled in [name.to_owned(), name.to_ascii_uppercase()] {
            let known = known::known(spelled.as_bytes()).unwrap();
            assert_eq!((known.index, known.habit), (index, habit), "{name}");
        }
        match statics::TABLE.iter().position(|(other, _)| *other == name) {
            Some(at) => assert_eq!(usize::from(index), at + 1, "{name}"),
            None => assert_eq!(index, 0, "{name}"),
        }
        let other = format!("{name}x");
        assert!(known::known(other.as_bytes()).is_none());
    }
    assert!(known::known(b"").is_none() && known::known(b"te").is_none());
}

#[test]
fn a_field_enters_the_table_when_it_comes_again() {
    let mut encoder = Encoder::new();
    let agent = [pair("User-Agent", "curl")];
    assert_eq!(write(&mut encoder, &agent), hex("0f2b 04 6375726c"));
    assert_eq!(write(&mut encoder, &agent), hex("7a 04 6375726c"));
    assert_eq!(write(&mut encoder, &agent), hex("be"));
    let own = [pair("X-Own", "v")];
    assert_eq!(write(&mut encoder, &own), hex("00 05 782d6f776e 01 76"));
    assert_eq!(write(&mut encoder, &own), hex("40 05 782d6f776e 01 76"));
    assert_eq!(write(&mut encoder, &own), hex("be"));
    assert_eq!(write(&mut encoder, &agent), hex("bf"));
    assert_eq!(encoder.table().len(), 2);
}

#[test]
fn what_changes_each_time_or_is_a_secret_never_enters() {
    let mut encoder = Encoder::new();
    for (name, index, habit) in known::all().filter(|(.., habit)| *habit != Habit::Repeats) {
        for _ in 0..3 {
            let block = write(&mut encoder, &[pair(name, "v")]);
            let first = if habit == Habit::Secret { 0x10 } else { 0 };
            assert_eq!(block[0] & 0xf0, first, "{name} ({index})");
        }
    }
    for name in ["authorization", "proxy-authorization", "cookie", "set-cookie"] {
        assert_eq!(known::known(name.as_bytes()).unwrap().habit, Habit::Secret);
    }
    for number in 0..1000 {
        write(&mut encoder, &[pair("x-number", &format!("{number:08}"))]);
    }
    assert_eq!(encoder.table().len(), 0);
}

#[test]
fn a_large_field_does_not_enter() {
    let mut encoder = Encoder::new();
    for _ in 0..3 {
        write(&mut encoder, &[pair("x-own", &"v".repeat(1000))]);
    }
    assert_eq!(encoder.table().len(), 0);
}

#[test]
fn a_change_of_the_size_begins_the_next_block() {
    let cases: [(&[u32], &str); 10] = [
        (&[], ""),
        (&[4096], ""),
        (&[65536], ""),
        (&[0], "20"),
        (&[100], "3f45"),
        (&[100, 4096], "3f45 3fe11f"),
        (&[100, 0], "20"),
        (&[0, 100], "20 3f45"),
        (&[100, 0, 65536], "20 3fe11f"),
        (&[100, 100], "3f45"),
    ];
    for (sizes, block) in cases {
        let mut encoder = Encoder::new();
        for size in sizes {
            encoder.set_table_size(*size);
        }
        assert_eq!(write(&mut encoder, &[]), hex(block), "{sizes:?}");
        assert_eq!(write(&mut encoder, &[]), [], "once only");
    }
    let mut encoder = Encoder::new();
    encoder.set_table_size(0);
    write(&mut encoder, &[]);
    encoder.set_table_size(0);
    assert_eq!(write(&mut encoder, &[]), []);
    encoder.set_table_size(65536);
    assert_eq!(write(&mut encoder, &[]), hex("3fe11f"), "we want it back");
}

#[test]
fn without_a_table_everything_is_written_out() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(0);
    decoder.acknowledged();
    encoder.set_table_size(0);
    for _ in 0..3 {
        let fields = [pair(":method", "GET"), pair("user-agent", "curl"), pair("x-own", "v")];
        let block = write(&mut encoder, &fields);
        assert_eq!(read(&mut decoder, &block), Ok(fields.to_vec()));
        assert!(block.ends_with(&hex("82 0f2b 04 6375726c 00 05 782d6f776e 01 76")));
    }
    assert_eq!((encoder.table().len(), decoder.table().len()), (0, 0));
}

#[test]
fn two_fields_of_one_place_are_told_apart() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(4096);
    // The middle of a long value is no part of the hash.
    let [one, other] = ["1", "2"].map(|middle| format!("{0}{middle}{0}", "v".repeat(40)));
    for value in [&one, &other, &one, &other, &other, &other, &one, &one] {
        let fields = [pair("x-own", value)];
        assert_eq!(read(&mut decoder, &write(&mut encoder, &fields)), Ok(fields.to_vec()));
    }
}
