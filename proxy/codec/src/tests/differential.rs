//! Comparison with two other readers of HTTP/1. What this codec accepts, `httparse` (hyper's parser) reads in the same way; what
//! `http_desync_guardian` holds for ambiguous or severe is refused; what is forwarded reads the same to both.

use http_desync_guardian::RequestSafetyTier::{Ambiguous, Severe};
use http_desync_guardian::request_analyzer::HttpRequestData;
use proptest::prelude::*;

use super::properties::{Change, HEADS, changed};
use crate::fuzz::forward;
use crate::{Field, Limits, Version, request, response};

/// Inputs that only a comparison is interested in: each is one head.
const CORPUS: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Long-Name-Of-A-Field: some value, and more of it; q=0.5\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n",
    "DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAccept: */*\r\n\r\n",
    "PATCH /a%20b?c=%2F HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 10\r\nConnection: close\r\n\r\n",
];

fn corpus() -> impl Iterator<Item = &'static str> {
    HEADS.iter().chain(CORPUS).copied()
}

/// A head as another parser reads it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    start: Vec<Vec<u8>>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    len: usize,
}

fn pairs(buf: &[u8], fields: &[Field]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|field| (field.name.of(buf).to_vec(), field.value.of(buf).to_vec())).collect()
}

fn httparse_request(input: &[u8]) -> Option<Seen> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(len)) = request.parse(input) else { return None };
    let version = vec![b'0' + request.version?];
    let start = vec![request.method?.as_bytes().to_vec(), request.path?.as_bytes().to_vec(), version];
    Some(Seen { start, fields: httparse_fields(request.headers), len })
}

fn httparse_fields(headers: &[httparse::Header<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.iter().map(|header| (header.name.as_bytes().to_vec(), header.value.to_vec())).collect()
}

/// Those that this codec forwards: what is left of all fields.
fn is_among(all: &[(Vec<u8>, Vec<u8>)], some: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let mut all = all.iter();
    some.iter().all(|one| all.any(|other| other == one))
}

/// Whether an accepted request is one that the guardian refuses, and we do not, on purpose.
fn is_exception(buf: &[u8], line: &crate::RequestLine, fields: &[Field]) -> bool {
    let method = line.method.of(buf);
    // Content of GET and HEAD has no meaning of its own, but its end is known: search engines are asked this way.
    let is_get_with_content = matches!(method, b"GET" | b"HEAD") && line.framing != crate::Framing::None;
    // It holds a name for one that frames if it starts like one and goes on with punctuation (`Cont----------`), or has one letter
    // more at the hyphen (`ContentX-Length`). No server is known that reads either as the field.
    let is_far = |field: &Field| {
        let name = field.name.of(buf).to_ascii_lowercase();
        let letters: Vec<u8> = name.iter().copied().filter(u8::is_ascii_alphabetic).collect();
        let framing: [&[u8]; 2] = [b"contentlength", b"transferencoding"];
        let without = |at: usize| [&letters[..at], &letters[at + 1..]].concat();
        framing.iter().any(|framing| {
            (letters.len() < framing.len() && framing.starts_with(&letters))
                || (0..letters.len()).any(|at| without(at) == *framing)
        })
    };
    // Visible ASCII that no URI may hold; it is encoded on the way.
    let is_encoded = line.path.of(buf).iter().any(|byte| b"\"<>\\^`{|}[]".contains(byte));
    is_get_with_content || is_encoded || fields.iter().any(is_far)
}

fn is_refused_by_guardian(input: &[u8]) -> bool {
    let tier = HttpRequestData::analyze_raw_request(input).tier;
    tier == Ambiguous || tier == Severe
}

/// What all three make of one input.
fn compare_request(input: &[u8]) {
    let mut fields = Vec::new();
    let Ok(Some(line)) = request(input, &Limits::default(), &mut fields) else { return };
    let said = String::from_utf8_lossy(input).into_owned();
    let other = httparse_request(input);
    let other = other.unwrap_or_else(|| panic!("httparse does not read what was accepted: {said:?}"));
    assert_eq!(other.len, line.len, "{said:?}");
    let version = if line.version == Version::Http11 { b"1" } else { b"0" };
    assert_eq!(other.start[0], line.method.of(input), "{said:?}");
    assert!(other.start[1].ends_with(line.path.of(input)) && other.start[2] == version, "{said:?}");
    assert!(is_among(&other.fields, &pairs(input, &fields)), "{said:?}");
    let head = input[..line.len].strip_prefix(b"\r\n").unwrap_or(&input[..line.len]);
    let is_fine = !is_refused_by_guardian(head) || is_exception(input, &line, &fields);
    assert!(is_fine, "the guardian refuses what was accepted: {said:?}");
    compare_forwarded(input, &line, &pairs(input, &fields));
}

/// What is forwarded is one head to the other parsers, with the same fields, and framed as ours says.
fn compare_forwarded(input: &[u8], line: &crate::RequestLine, sent: &Vec<(Vec<u8>, Vec<u8>)>) {
    let Some(out) = forward(input, line, sent) else { return };
    let said = String::from_utf8_lossy(&out).into_owned();
    let other = httparse_request(&out).unwrap_or_else(|| panic!("httparse does not read {said:?}"));
    assert_eq!(other.len, out.len(), "{said:?}");
    assert!(is_among(&other.fields, sent), "{said:?}");
    let framing: Vec<_> = other
        .fields
        .iter()
        .filter(|(name, _)| {
            [b"content-length".as_slice(), b"transfer-encoding"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
        })
        .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        .collect();
    match line.framing {
        crate::Framing::None => assert!(framing.is_empty(), "{said:?}"),
        crate::Framing::Length(length) => assert_eq!(framing, [length.to_string()]),
        crate::Framing::Chunked => assert_eq!(framing, ["chunked"]),
        crate::Framing::UntilClose => panic!("a request until the end of the connection"),
    }
    let hosts = other.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"host")).count();
    assert_eq!(hosts, 1, "{said:?}");
}

fn compare_response(input: &[u8]) {
    let mut fields = Vec::new();
    let read = response(input, &http::Method::GET, &Limits::default(), &mut fields);
    let Ok(Some(line)) = read else { return };
    let said = String::from_utf8_lossy(input);
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Response::new(&mut headers);
    let len = other.parse(input);
    assert_eq!(len, Ok(httparse::Status::Complete(line.len)), "{said:?}");
    assert_eq!(other.code, Some(line.status), "{said:?}");
    assert!(is_among(&httparse_fields(other.headers), &pairs(input, &fields)), "{said:?}");
}

#[test]
fn the_corpus_is_read_alike() {
    for input in corpus() {
        compare_request(input.as_bytes());
        compare_response(input.as_bytes());
    }
    let accepted = corpus()
        .filter(|input| matches!(request(input.as_bytes(), &Limits::default(), &mut Vec::new()), Ok(Some(_))))
        .count();
    assert_eq!(accepted, 14, "a corpus that is refused compares nothing");
}

/// Names and values at which readers of HTTP/1 were found to differ, each in a head of its own.
#[test]
fn what_the_guardian_refuses_is_refused() {
    let names = [
        "Transfer-Encoding",
        "Content-Length",
        "transfer_encoding",
        "Content Length",
        "\u{b}Transfer-Encoding",
        "Transfer-Encoding\t",
    ];
    let values = [
        "chunked",
        " chunked",
        "\u{b}chunked",
        "xchunked",
        "chunked\0",
        "chunked, chunked",
        "identity",
        "chunked;x",
        "chunked\u{a0}",
        "3",
        "+3",
        "3 3",
        "0x3",
        "",
        "3,3",
        "-0",
        "3\u{c}",
    ];
    let ends = ["\r\n", "\n", "\r", "\r\n ", "\r\n\t\r\n"];
    let mut refused = 0;
    for name in names {
        for value in values {
            for end in ends {
                for other in ["", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"] {
                    let input =
                        format!("POST / HTTP/1.1\r\nHost: a\r\n{name}: {value}{end}{other}X: y\r\n\r\n");
                    compare_request(input.as_bytes());
                    refused += usize::from(is_refused_by_guardian(input.as_bytes()));
                }
            }
        }
    }
    assert!(refused > 300, "only {refused} of the inputs are anything to the guardian");
}

proptest! {
    // Two inputs of each case: 200 000 in all.
    #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_messages_are_read_alike(
        at in any::<u8>(),
        changes in prop::array::uniform3(any::<Change>()),
    ) {
        let all: Vec<_> = corpus().collect();
        let input = all[usize::from(at) % all.len()].as_bytes();
        for count in [1, 3] {
            let input = changed(input, &changes[..count]);
            compare_request(&input);
            compare_response(&input);
        }
    }
}
