//! Facts about header compression.

mod differential;
mod examples;
mod hostile;
mod oracle;
mod properties;
mod writing;

use super::{Decoder, Encoder, Indexing, Malformed};

/// Fields as text of their parts, to compare.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn pair(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    digits.chunks_exact(2).map(|two| digit(two[0]) << 4 | digit(two[1])).collect()
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Pairs, Malformed> {
    let mut pairs = Pairs::new();
    decoder.decode(block, &mut |name: &[u8], value: &[u8], _| pairs.push((name.to_vec(), value.to_vec())))?;
    Ok(pairs)
}

fn write(encoder: &mut Encoder, pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in pairs {
        encoder.field(name, value, &mut out);
    }
    out
}

#[test]
fn each_malformation_has_a_label_of_its_own_and_says_where_the_rule_stands() {
    let mut labels: Vec<_> = Malformed::ALL.iter().map(|malformed| malformed.label()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), Malformed::ALL.len());
    for malformed in Malformed::ALL {
        let text = malformed.to_string();
        assert!(text.contains("(RFC ") && !text.ends_with('.'), "{text}");
    }
}

#[test]
fn a_secret_is_marked_and_written_so_again() {
    let mut encoder = Encoder::new();
    let mut block = Vec::new();
    for _ in 0..3 {
        encoder.field(b"Authorization", b"Bearer x", &mut block);
        encoder.secret(b"X-Own", b"y", &mut block);
        encoder.field(b"x-open", b"z", &mut block);
    }
    let mut decoder = Decoder::new(4096);
    let mut marks = Vec::new();
    decoder
        .decode(&block, &mut |name: &[u8], _: &[u8], indexing| {
            marks.push((String::from_utf8(name.to_vec()).unwrap(), indexing));
        })
        .unwrap();
    for (name, indexing) in &marks {
        let expected = if name == "x-open" { Indexing::Free } else { Indexing::Never };
        assert_eq!(*indexing, expected, "{name}");
    }
    assert_eq!(marks.len(), 9);
    assert_eq!(decoder.table().len(), 1, "only the open one is in a table");
    assert_eq!(encoder.table().len(), 1);
}
