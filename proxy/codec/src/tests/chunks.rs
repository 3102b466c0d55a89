//! Facts about content in chunks.

use crate::fuzz::{Content, read_chunks};
use crate::{Chunked, Limits, Reason, What};

fn read(input: &str) -> Result<Content, Reason> {
    with(input, &Limits::default())
}

fn with(input: &str, limits: &Limits) -> Result<Content, Reason> {
    let input = input.as_bytes();
    let whole = read_chunks(input, [input.len()], limits);
    assert_eq!(read_chunks(input, 0..=input.len(), limits), whole, "byte by byte");
    let (content, verdict) = whole;
    verdict.map(|()| content).map_err(crate::Refusal::reason)
}

#[test]
fn sizes_are_hexadecimal_in_either_case_and_may_have_leading_zeros() {
    for (input, wanted) in [
        ("3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("A\r\n0123456789\r\n00\r\n\r\n", "0123456789"),
        ("0000000000000003\r\nabc\r\n2\r\nde\r\n0000000000000000\r\n\r\n", "abcde"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("0\r\n\r\n", ""),
    ] {
        let content = read(input).unwrap();
        assert_eq!(
            (content.data, content.ended),
            (wanted.as_bytes().to_vec(), Some(input.len())),
            "{input:?}"
        );
    }
}

#[test]
fn what_is_no_chunk_breaks_the_content() {
    for (input, wanted) in [
        ("\r\n", Reason::ChunkSize),
        ("g\r\n", Reason::ChunkSize),
        ("-1\r\n", Reason::ChunkSize),
        ("+1\r\n", Reason::ChunkSize),
        ("0x1\r\n", Reason::ChunkSize),
        (";x\r\n", Reason::ChunkSize),
        (" 1\r\n", Reason::ChunkSize),
        ("1 \r\n", Reason::ChunkSpace),
        ("1\t;x\r\n", Reason::ChunkSpace),
        ("1_0\r\n", Reason::ChunkSize),
        ("1,2\r\n", Reason::ChunkSize),
        ("1\n", Reason::ChunkLineEnd),
        ("1\r\r\n", Reason::ChunkLineEnd),
        ("1\ra", Reason::ChunkLineEnd),
        ("1;x\n", Reason::ChunkLineEnd),
        ("1;x\0\r\n", Reason::ChunkExtension),
        ("1;\u{7f}\r\n", Reason::ChunkExtension),
        ("1;x\r\r\n", Reason::ChunkLineEnd),
        ("00000000000000001\r\n", Reason::ChunkSize),
        ("8000000000000000\r\n", Reason::ChunkSize),
        ("ffffffffffffffff\r\n", Reason::ChunkSize),
        ("fffffffffffffffff\r\n", Reason::ChunkSize),
        ("1\r\nab", Reason::ChunkDataEnd),
        ("1\r\na\n", Reason::ChunkDataEnd),
        ("1\r\na\rb", Reason::ChunkDataEnd),
        ("1\r\na0\r\n\r\n", Reason::ChunkDataEnd),
        ("0\r\n\n", Reason::BareLf),
        ("0\r\nX: y\n\r\n", Reason::BareLf),
        ("0\r\n X: y\r\n\r\n", Reason::Fold),
        ("0\r\nX y\r\n\r\n", Reason::NoColon),
        ("0\r\nX: \0\r\n\r\n", Reason::ValueByte),
        ("0\r\nContent_Length: 3\r\n\r\n", Reason::Lookalike),
    ] {
        assert_eq!(read(input).map(|content| content.data), Err(wanted), "{input:?}");
    }
}

#[test]
fn the_largest_size_is_below_2_to_the_63() {
    let content = read("7fffffffffffffff\r\nabc").unwrap();
    assert_eq!((content.data.as_slice(), content.ended), (b"abc".as_slice(), None));
}

#[test]
fn extensions_are_dropped_and_bounded_in_all_chunks_together() {
    let limits = Limits { extension_bytes: 10, ..Limits::default() };
    let chunk = "1;234\r\na\r\n";
    let two = format!("{chunk}{chunk}0;\r\n\r\n");
    assert_eq!(with(&two, &limits).unwrap().data, b"aa");
    let three = format!("{chunk}{chunk}{chunk}0\r\n\r\n");
    assert_eq!(with(&three, &limits), Err(Reason::ExtensionsTooLong));
    assert_eq!(read("1;a=\"b;\\\" \t\u{e9}\"\r\nx\r\n0\r\n\r\n").unwrap().data, b"x");
}

#[test]
fn trailers_are_bounded_and_those_without_a_place_are_dropped() {
    let content = read(
        "0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: b\r\nAuthorization: x\r\nSet-Cookie: x\r\n\
         Connection: close\r\nTE: x\r\nX-Forwarded-For: y\r\nx-mesh-failure: z\r\nCache-Control: no\r\n\
         grpc-status: 0\r\ngrpc-message:\r\nETag: \"x\"\r\n\r\nrest",
    )
    .unwrap();
    let names: Vec<_> = content.trailers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    assert_eq!(names, ["grpc-status", "grpc-message", "ETag"]);
    let limits = Limits { trailer_bytes: 20, fields: 2, ..Limits::default() };
    assert!(with("0\r\nX: 1234567890123\r\n\r\n", &limits).is_ok());
    assert_eq!(with("0\r\nX: 12345678901234\r\n\r\n", &limits), Err(Reason::TrailersTooLarge));
    assert_eq!(with("0\r\nX: 123456789012345678901234", &limits), Err(Reason::TrailersTooLarge));
    assert!(with("0\r\na:\r\nb:\r\n\r\n", &limits).is_ok());
    assert_eq!(with("0\r\na:\r\nb:\r\nc:\r\n\r\n", &limits), Err(Reason::TrailersTooLarge));
    assert_eq!(with("0\r\nhost:\r\nhost:\r\nhost:", &limits), Ok(Content::default()));
}

#[test]
fn what_follows_the_end_is_left_for_the_next_message() {
    let mut body = Chunked::new(&Limits::default());
    let buf = b"1\r\na\r\n0\r\nX: y\r\n\r\nGET /";
    let first = body.decode(buf).unwrap();
    assert!(matches!(first.what, What::Data(span) if span.of(buf) == b"a"));
    let rest = &buf[first.consumed..];
    let second = body.decode(rest).unwrap();
    assert_eq!(second.what, What::Trailers);
    assert_eq!((body.trailers()[0].name.of(rest), body.trailers()[0].value.of(rest)), (&b"X"[..], &b"y"[..]));
    let rest = &rest[second.consumed..];
    let third = body.decode(rest).unwrap();
    assert_eq!((third.what, third.consumed, rest), (What::End, 0, b"GET /".as_slice()));
    assert!(body.is_ended());
}

#[test]
fn a_broken_content_stays_broken() {
    let mut body = Chunked::new(&Limits::default());
    assert!(body.decode(b"x").is_err());
    assert_eq!(body.decode(b"0\r\n\r\n").map_err(crate::Refusal::reason), Err(Reason::ChunkSize));
}
