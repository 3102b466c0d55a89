//! Targets that read or write whole heads.

use http::Method;

use super::cuts;
use crate::encode::{self, Connection};
use crate::{
    Field, Form, Framing, Limits, RequestLine, ResponseLine, Scan, Version, fields, request, response,
};

/// A head as text of its parts, to compare.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn pairs(buf: &[u8], fields: &[Field]) -> Pairs {
    fields.iter().map(|field| (field.name.of(buf).to_vec(), field.value.of(buf).to_vec())).collect()
}

fn borrowed(pairs: &Pairs) -> impl Iterator<Item = (&[u8], &[u8])> {
    pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
}

/// Fields that may be forwarded: whole, within the buffer, and none that frames.
fn assert_forwardable(buf: &[u8], fields: &[Field]) {
    for field in fields {
        let (name, value) = (field.name.of(buf), field.value.of(buf));
        assert!(fields::is_name(name) && fields::is_value(value), "a field that cannot be written");
        assert!(!value.starts_with(b" ") && !value.ends_with(b"\t"), "white space around a value");
        for own in ["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"] {
            assert!(!name.eq_ignore_ascii_case(own.as_bytes()), "{own} is forwarded");
        }
    }
}

/// A request head reads the same however it is cut, and is whole.
pub fn request_head(data: &[u8]) {
    let limits = Limits::default();
    let mut whole = Vec::new();
    let read = request(data, &limits, &mut whole);
    if let Ok(Some(line)) = &read {
        assert!(line.len <= data.len() && line.framing != Framing::UntilClose);
        assert_forwardable(data, &whole);
        assert!(!whole.iter().any(|field| field.name.of(data).eq_ignore_ascii_case(b"host")));
        assert_eq!(request(&data[..line.len], &limits, &mut Vec::new()), read, "bytes behind a head matter");
        let short = request(&data[..line.len - 1], &limits, &mut Vec::new());
        assert_eq!(short, Ok(None), "a head is whole before its last byte");
        assert!(line.host(data).is_ok(), "a head with a host that has no canonical form");
    }
    let (mut scan, mut grown) = (Scan::new(), Vec::new());
    let mut places: Vec<usize> = cuts(data).chain([data.len()]).collect();
    places.sort_unstable();
    let seen = places.iter().map(|at| scan.request(&data[..*at], &limits, &mut grown));
    let last = seen.into_iter().find(|read| !matches!(read, Ok(None))).unwrap_or(Ok(None));
    assert_eq!(last, read, "the verdict depends on how the bytes were cut");
    if let Ok(Some(_)) = read {
        assert_eq!(grown, whole);
    }
}

/// A response head reads the same however it is cut, for each method that matters.
pub fn response_head(data: &[u8]) {
    let limits = Limits::default();
    for method in [Method::GET, Method::HEAD, Method::CONNECT] {
        let mut whole = Vec::new();
        let read = response(data, &method, &limits, &mut whole);
        if let Ok(Some(line)) = &read {
            assert!(line.len <= data.len() && (100..1000).contains(&line.status));
            assert!(!(line.keep_alive && line.framing == Framing::UntilClose));
            assert_forwardable(data, &whole);
        }
        let (mut scan, mut grown) = (Scan::new(), Vec::new());
        let mut places: Vec<usize> = cuts(data).chain([data.len()]).collect();
        places.sort_unstable();
        let seen = places.iter().map(|at| scan.response(&data[..*at], &method, &limits, &mut grown));
        let last = seen.into_iter().find(|read| !matches!(read, Ok(None))).unwrap_or(Ok(None));
        assert_eq!(last, read, "the verdict depends on how the bytes were cut");
    }
}

/// Writes a request that was read, in its canonical form. `None` where its target is refused.
pub(crate) fn forward(data: &[u8], line: &RequestLine, fields: &Pairs) -> Option<Vec<u8>> {
    let (target, host) = (line.target(data).ok()?, line.host(data).ok()?);
    let target = if line.form == Form::Authority { host.as_bytes() } else { target.as_ref() };
    let mut out = b"before".to_vec();
    let connection = match line.upgrade {
        Some(protocol) => Connection::Upgrade(protocol.of(data)),
        None if line.keep_alive => Connection::KeepAlive,
        None => Connection::Close,
    };
    let head = encode::Line { method: line.method.of(data), target, authority: host.as_bytes() };
    let written = encode::request_head(&mut out, head, borrowed(fields), line.framing, connection);
    assert_eq!(written, Ok(()), "what was read cannot be written");
    assert!(out.starts_with(b"before"), "what was in the buffer is gone");
    Some(out.split_off(b"before".len()))
}

/// What is forwarded of a request reads as the request did.
pub fn request_round_trip(data: &[u8]) {
    let limits = Limits { head_bytes: usize::MAX, ..Limits::default() };
    let mut fields = Vec::new();
    let Ok(Some(line)) = request(data, &Limits::default(), &mut fields) else { return };
    let sent = pairs(data, &fields);
    let Some(out) = forward(data, &line, &sent) else { return };
    // A client of HTTP/1.0 may have named no host at all; that head cannot be sent on with one that is empty and be read again.
    if line.authority.is_empty() {
        return;
    }
    let read = request(&out, &limits, &mut fields);
    let Ok(Some(again)) = read else { panic_with("a head of ours is refused", &out, read.err()) };
    assert_eq!((again.len, pairs(&out, &fields)), (out.len(), sent));
    assert_eq!(
        (again.method.of(&out), again.framing, again.keep_alive, again.version),
        (line.method.of(data), line.framing, line.keep_alive || line.upgrade.is_some(), Version::Http11)
    );
    assert_eq!(again.target(&out), line.target(data));
    assert_eq!(again.host(&out), line.host(data));
    let protocol = |line: &RequestLine, buf: &[u8]| line.upgrade.map(|at| at.of(buf).to_vec());
    assert_eq!(protocol(&again, &out), protocol(&line, data));
}

/// What is forwarded of a response reads as the response did.
pub fn response_round_trip(data: &[u8]) {
    let limits = Limits { head_bytes: usize::MAX, ..Limits::default() };
    let mut fields = Vec::new();
    let Ok(Some(line)) = response(data, &Method::GET, &Limits::default(), &mut fields) else { return };
    let sent = pairs(data, &fields);
    let mut out = Vec::new();
    let ResponseLine { status, framing, upgrade, .. } = line;
    let connection = match upgrade {
        Some(protocol) => Connection::Upgrade(protocol.of(data)),
        None if line.keep_alive => Connection::KeepAlive,
        None => Connection::Close,
    };
    let written =
        encode::response_head(&mut out, status, borrowed(&sent), framing, connection, Version::Http11);
    assert_eq!(written, Ok(()), "what was read cannot be written");
    let read = response(&out, &Method::GET, &limits, &mut fields);
    let Ok(Some(again)) = read else { panic_with("a head of ours is refused", &out, read.err()) };
    assert_eq!((again.len, pairs(&out, &fields)), (out.len(), sent));
    assert_eq!((again.status, again.framing), (status, framing));
    assert!(again.keep_alive == line.keep_alive || status < 200 || upgrade.is_some());
}

/// Whatever names, values and targets are handed in, what is written is one head with exactly them, or nothing at all.
pub fn head_edits(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0xff);
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let authority = parts.next().unwrap_or_default();
    let handed: Pairs = parts.map(|part| split_once(part, 0xfe)).collect();
    let mut out = b"before".to_vec();
    let head = encode::Line { method, target, authority };
    let written =
        encode::request_head(&mut out, head, borrowed(&handed), Framing::Length(3), Connection::KeepAlive);
    if written.is_err() {
        assert_eq!(out, b"before", "something was written of what was refused");
        return;
    }
    let out = out.split_off(b"before".len());
    assert_one_head(&out);
    let mut read = Vec::new();
    let limits = Limits { head_bytes: usize::MAX, fields: usize::MAX, ..Limits::default() };
    // The target may have a form that only the reader refuses; a head that is read has what was handed in and no more.
    if let Ok(Some(line)) = request(&out, &limits, &mut read) {
        let own = |name: &[u8]| {
            fields::is_hop_by_hop(name)
                || [b"host".as_slice(), b"expect", b"content-length"]
                    .iter()
                    .any(|one| name.eq_ignore_ascii_case(one))
        };
        let trimmed = |value: &[u8]| crate::bytes::trim(value).to_vec();
        let wanted: Pairs = handed
            .iter()
            .filter(|(name, _)| !own(name))
            .map(|(name, value)| (name.clone(), trimmed(value)))
            .collect();
        assert_eq!((line.len, line.framing), (out.len(), Framing::Length(3)));
        assert_eq!(pairs(&out, &read), wanted);
    }
}

/// The empty line is at the end and nowhere else, and no line is broken.
fn assert_one_head(out: &[u8]) {
    let ends = out.windows(4).filter(|four| four == b"\r\n\r\n").count();
    assert!(ends == 1 && out.ends_with(b"\r\n\r\n"), "not exactly one head");
    let broken = out.windows(2).filter(|two| two.ends_with(b"\n") != two.starts_with(b"\r")).count();
    assert_eq!(broken, 0, "a line is broken");
    assert!(!out.contains(&0));
}

fn split_once(part: &[u8], at: u8) -> (Vec<u8>, Vec<u8>) {
    let mut halves = part.splitn(2, |byte| *byte == at);
    let mut next = || halves.next().unwrap_or_default().to_vec();
    (next(), next())
}

#[expect(clippy::panic, reason = "a fuzz target says by panicking what it found")]
fn panic_with(what: &str, bytes: &[u8], why: Option<crate::Refusal>) -> ! {
    panic!("{what} ({why:?}): {:?}", String::from_utf8_lossy(bytes))
}
