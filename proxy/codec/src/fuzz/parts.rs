//! Targets that read or write parts of messages.

use super::cuts;
use crate::encode;
use crate::{Chunked, Limits, Refusal, What, canonical, fields};

/// All that a content in chunks gives.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Content {
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes that it took, once it ended.
    pub(crate) ended: Option<usize>,
}

/// Reads chunks out of `data` as it grows to each of `places`.
pub(crate) fn read(
    data: &[u8],
    places: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> (Content, Result<(), Refusal>) {
    let (mut content, mut body, mut at) = (Content::default(), Chunked::new(limits), 0);
    for place in places {
        loop {
            let buf = &data[at..place];
            let chunk = match body.decode(buf) {
                Ok(chunk) => chunk,
                Err(refusal) => {
                    assert_eq!(body.decode(buf), Err(refusal), "a broken content goes on");
                    return (content, Err(refusal));
                }
            };
            match chunk.what {
                What::Data(span) => content.data.extend_from_slice(span.of(buf)),
                What::Trailers => {
                    let pair =
                        |field: &crate::Field| (field.name.of(buf).to_vec(), field.value.of(buf).to_vec());
                    content.trailers = body.trailers().iter().map(pair).collect();
                }
                What::NeedMore | What::End => {}
            }
            at += chunk.consumed;
            match chunk.what {
                What::NeedMore => break,
                What::End => {
                    assert!(body.is_ended());
                    content.ended = Some(at);
                    return (content, Ok(()));
                }
                What::Data(_) | What::Trailers => assert!(chunk.consumed > 0, "no step forward"),
            }
        }
    }
    (content, Ok(()))
}

/// Chunks read the same however they are cut, and never give more than was sent.
pub fn chunked_body(data: &[u8]) {
    let limits = Limits::default();
    let (whole, verdict) = read(data, [data.len()], &limits);
    assert!(whole.data.len() <= data.len());
    let mut places: Vec<usize> = cuts(data).chain([data.len()]).collect();
    places.sort_unstable();
    assert_eq!(read(data, places, &limits), (whole, verdict), "chunks depend on how the bytes were cut");
}

/// A trailer section reads the same however it is cut, stays in its bounds and holds nothing forbidden.
pub fn trailers(data: &[u8]) {
    let limits = Limits { trailer_bytes: 256, fields: 8, ..Limits::default() };
    let all = [b"0\r\n", data].concat();
    let (whole, verdict) = read(&all, [all.len()], &limits);
    for (name, value) in &whole.trailers {
        assert!(fields::is_name(name) && fields::is_value(value) && !fields::is_forbidden_trailer(name));
    }
    if let Some(ended) = whole.ended {
        assert!(ended <= 3 + 256 && whole.trailers.len() <= 8, "the section is larger than its limit");
        let mut out = Vec::new();
        let pairs = whole.trailers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        assert_eq!(encode::last_chunk(&mut out, pairs), Ok(()));
        let (again, _) = read(&out, [out.len()], &Limits::default());
        assert_eq!((&again.trailers, again.ended), (&whole.trailers, Some(out.len())));
    }
    let mut places: Vec<usize> = cuts(&all).chain([all.len()]).collect();
    places.sort_unstable();
    assert_eq!(read(&all, places, &limits), (whole, verdict));
}

/// A canonical path is one: nothing is left to resolve, merge or decode, and it is its own canonical form.
pub fn canonical_path(data: &[u8]) {
    let Ok(path) = canonical::path(data) else { return };
    assert_eq!(canonical::path(&path).as_deref(), Ok(path.as_ref()), "not its own canonical form");
    let mut parts = path.splitn(2, |byte| *byte == b'?');
    let only = parts.next().unwrap_or_default();
    let text = String::from_utf8_lossy(only);
    assert!(text.starts_with('/') && path.iter().all(u8::is_ascii_graphic) && !path.contains(&b'#'));
    assert!(!text.contains("//") && !text.contains('\\'));
    for segment in text.split('/') {
        assert!(!matches!(segment, "." | ".."), "a dot segment is left");
        assert!(!segment.starts_with("..;") && !segment.starts_with(".;"));
    }
    for escape in text.split('%').skip(1) {
        let digits = escape.get(..2).unwrap_or_default();
        assert!(digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')), "{digits}");
        let byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        assert!(!byte.is_ascii_alphanumeric() && !b"\0/\\-._~".contains(&byte), "{digits} is left encoded");
    }
}

/// A canonical authority is its own canonical form, in lower case, without the default port.
pub fn canonical_authority(data: &[u8]) {
    let Ok(authority) = canonical::authority(data) else {
        assert!(canonical::host_and_port(data).is_err());
        return;
    };
    assert_eq!(canonical::authority(authority.as_bytes()).as_deref(), Ok(authority.as_ref()));
    assert!(!authority.is_empty() && !authority.bytes().any(|byte| byte.is_ascii_uppercase()));
    assert!(!authority.ends_with(":80") && !authority.contains(['@', '/', ',', ' ', '%']));
    assert!(!authority.ends_with('.') && !authority.contains(".:"));
    if let Ok(with_port) = canonical::host_and_port(data) {
        assert_eq!(canonical::authority(with_port.as_bytes()).as_deref(), Ok(authority.as_ref()));
    }
}

/// Content that is written in chunks of any size is read again as it was.
pub fn chunk_round_trip(data: &[u8]) {
    let mut out = Vec::new();
    let mut rest = data;
    while let Some((first, tail)) = rest.split_first() {
        let (now, later) = tail.split_at(tail.len().min(usize::from(*first) + 1));
        if !now.is_empty() {
            encode::chunk_head(&mut out, now.len());
            out.extend_from_slice(now);
            out.extend_from_slice(encode::CHUNK_END);
        }
        rest = later;
    }
    let none = std::iter::empty();
    assert_eq!(encode::last_chunk(&mut out, none), Ok(()));
    let places: Vec<usize> = (0..=out.len()).collect();
    let (content, verdict) = read(&out, places, &Limits::default());
    assert_eq!((verdict, content.ended), (Ok(()), Some(out.len())));
    let mut wanted = Vec::new();
    let mut rest = data;
    while let Some((first, tail)) = rest.split_first() {
        let (now, later) = tail.split_at(tail.len().min(usize::from(*first) + 1));
        wanted.extend_from_slice(now);
        rest = later;
    }
    assert_eq!(content.data, wanted);
}
