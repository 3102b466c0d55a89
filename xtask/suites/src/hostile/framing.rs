//! The framing table: 55 inputs, each of which some proxy of 2026 lets through. A second request follows the hostile one; it is
//! what an attacker would smuggle. Pure.

use super::row::{Check, Expect, Row};

pub(super) const GROUP: &str = "framing";
/// The request that an attacker would hide.
pub(super) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: HOST\r\n\r\n";

pub(super) fn rows(host: &str) -> Vec<Row> {
    let mut rows = lengths(host);
    rows.extend(codings(host));
    rows.extend(lines(host));
    rows.extend(targets(host));
    rows.extend(chunks(host));
    rows.extend(sizes(host));
    rows.extend(connection(host));
    rows
}

/// A request with `HOST` filled in, followed by another one.
fn row(host: &str, name: &str, bytes: &str, expect: Expect) -> Row {
    let all = match expect {
        Expect::Passes(_) | Expect::Either(_) => bytes.to_owned(),
        _ => format!("{bytes}{SMUGGLED}"),
    };
    Row::new(GROUP, name, all.replace("HOST", host), expect)
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /hostile HTTP/1.1\r\nhost: HOST\r\n{fields}\r\n{body}")
}

fn get(fields: &str) -> String {
    format!("GET /hostile HTTP/1.1\r\nhost: HOST\r\n{fields}\r\n")
}

fn lengths(host: &str) -> Vec<Row> {
    let refused = |name: &str, fields: &str| row(host, name, &post(fields, "abcd"), Expect::Refused);
    vec![
        row(
            host,
            "te-and-cl",
            &post("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
            Expect::Refused,
        ),
        refused("cl-twice-same", "content-length: 4\r\ncontent-length: 4\r\n"),
        refused("cl-list-same", "content-length: 4, 4\r\n"),
        refused("cl-differing", "content-length: 4\r\ncontent-length: 5\r\n"),
        refused("cl-plus", "content-length: +4\r\n"),
        refused("cl-minus", "content-length: -1\r\n"),
        refused("cl-hex", "content-length: 0x4\r\n"),
        refused("cl-empty", "content-length:\r\n"),
        refused("cl-2-to-64", "content-length: 18446744073709551616\r\n"),
    ]
}

fn codings(host: &str) -> Vec<Row> {
    let refused = |name: &str, fields: &str| row(host, name, &post(fields, "0\r\n\r\n"), Expect::Refused);
    vec![
        refused("te-identity-chunked", "transfer-encoding: identity, chunked\r\n"),
        refused("te-chunked-chunked", "transfer-encoding: chunked, chunked\r\n"),
        refused("te-xchunked", "transfer-encoding: xchunked\r\n"),
        refused("te-vt-chunked", "transfer-encoding: \x0bchunked\r\n"),
        refused("te-chunked-identity", "transfer-encoding: chunked, identity\r\n"),
        refused("te-two-lines", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        refused("te-space-colon", "transfer-encoding : chunked\r\n"),
        row(
            host,
            "te-http10",
            "POST /hostile HTTP/1.0\r\nhost: HOST\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Expect::Refused,
        ),
    ]
}

fn lines(host: &str) -> Vec<Row> {
    let refused = |name: &str, fields: &str| row(host, name, &get(fields), Expect::Refused);
    vec![
        row(host, "bare-lf", "GET /hostile HTTP/1.1\nhost: HOST\n\n", Expect::Refused),
        refused("nul-in-value", "x-a: b\0c\r\n"),
        refused("obs-fold", "x-a: b\r\n c\r\n"),
        refused("bare-cr", "x-a: b\rc\r\n"),
        row(
            host,
            "space-before-name",
            "GET /hostile HTTP/1.1\r\n x-a: b\r\nhost: HOST\r\n\r\n",
            Expect::Refused,
        ),
        refused("empty-name", ": b\r\n"),
        refused("no-colon", "x-a\r\n"),
    ]
}

fn targets(host: &str) -> Vec<Row> {
    let refused =
        |name: &str, line: &str| row(host, name, &format!("{line}\r\nhost: HOST\r\n\r\n"), Expect::Refused);
    let mut high = format!("GET /a\u{1} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes();
    if let Some(byte) = high.iter_mut().find(|byte| **byte == 1) {
        *byte = 0x80;
    }
    high.extend(SMUGGLED.replace("HOST", host).bytes());
    vec![
        row(
            host,
            "absolute-form-wins",
            "GET http://HOST/a HTTP/1.1\r\nhost: other.invalid\r\n\r\n",
            Expect::Passes(vec![
                Check::Host(host.into()),
                Check::Target(b"/a".to_vec()),
                Check::Nowhere("other.invalid"),
            ]),
        ),
        row(
            host,
            "fragment",
            "GET /a#b HTTP/1.1\r\nhost: HOST\r\n\r\n",
            Expect::Either(vec![Check::Target(b"/a".to_vec()), Check::Nowhere("#")]),
        ),
        refused("target-word", "GET foo HTTP/1.1"),
        refused("target-asterisk-get", "GET * HTTP/1.1"),
        row(
            host,
            "target-dots",
            "GET /a/../b HTTP/1.1\r\nhost: HOST\r\n\r\n",
            Expect::Passes(vec![Check::Target(b"/b".to_vec())]),
        ),
        Row::new(GROUP, "target-0x80", high, Expect::Refused),
        refused("target-0x01", "GET /a\u{1} HTTP/1.1"),
        refused("version-1.2", "GET /hostile HTTP/1.2"),
        refused("line-tab", "GET\t/hostile HTTP/1.1"),
        refused("line-double-space", "GET  /hostile HTTP/1.1"),
    ]
}

fn chunks(host: &str) -> Vec<Row> {
    let chunked = |body: &str| post("transfer-encoding: chunked\r\n", body);
    let aborted = |name: &str, body: &str| row(host, name, &chunked(body), Expect::Aborted);
    vec![
        aborted("chunk-size-lf", "4\nabcd\r\n0\r\n\r\n"),
        aborted("chunk-extension-lf", "4;a=b\nabcd\r\n0\r\n\r\n"),
        aborted("chunk-terminator", "4\r\nabcdXX0\r\n\r\n"),
        aborted("chunk-size-0x", "0x4\r\nabcd\r\n0\r\n\r\n"),
        aborted("chunk-size-17-digits", "10000000000000004\r\nabcd\r\n0\r\n\r\n"),
        aborted("chunk-size-space", "4 \r\nabcd\r\n0\r\n\r\n"),
        row(
            host,
            "chunk-extension",
            &chunked("4;secret=\"x\"\r\nabcd\r\n0\r\n\r\n"),
            Expect::Passes(vec![Check::Body(b"abcd".to_vec()), Check::Nowhere("secret")]),
        ),
        row(
            host,
            "trailer-content-length",
            &chunked("4\r\nabcd\r\n0\r\ncontent-length: 99\r\nx-t: 1\r\n\r\n"),
            Expect::Either(vec![Check::Body(b"abcd".to_vec()), Check::Nowhere("content-length: 99")]),
        ),
        row(
            host,
            "trailer-host",
            &chunked("4\r\nabcd\r\n0\r\nhost: evil.invalid\r\n\r\n"),
            Expect::Either(vec![Check::Body(b"abcd".to_vec()), Check::Nowhere("evil.invalid")]),
        ),
        aborted("chunk-extensions-17k", &format!("1;{}\r\na\r\n0\r\n\r\n", "e".repeat(17 * 1024))),
    ]
}

fn sizes(host: &str) -> Vec<Row> {
    let too_large = |name: &str, fields: &str| row(host, name, &get(fields), Expect::RefusedWith(431));
    let long = |kib: usize| format!("x-long: {}\r\n", "a".repeat(kib * 1024));
    vec![
        too_large("header-61k", &long(61)),
        too_large("header-64k", &long(64)),
        too_large("header-500k", &long(500)),
        too_large("headers-101", &"x-a: b\r\n".repeat(101)),
        too_large("headers-1001", &"x-a: b\r\n".repeat(1001)),
        row(
            host,
            "trailers-9k",
            &post(
                "transfer-encoding: chunked\r\n",
                &format!("1\r\na\r\n0\r\nx-t: {}\r\n\r\n", "t".repeat(9 * 1024)),
            ),
            Expect::Aborted,
        ),
    ]
}

fn connection(host: &str) -> Vec<Row> {
    vec![
        row(
            host,
            "connection-nominates",
            &get("connection: x-secret\r\nx-secret: 1\r\nx-open: 2\r\n"),
            Expect::Passes(vec![
                Check::HasNot("x-secret"),
                Check::Has("x-open", b"2"),
                Check::HasNot("connection"),
            ]),
        ),
        row(
            host,
            "connection-nominates-identity",
            &get("connection: x-forwarded-client-cert\r\nx-forwarded-client-cert: By=spiffe://evil\r\n"),
            Expect::Either(vec![Check::Nowhere("spiffe://evil")]),
        ),
        row(
            host,
            "connection-nominates-host",
            &get("connection: host\r\n"),
            Expect::Either(vec![Check::Host(host.into())]),
        ),
        row(
            host,
            "underscore-name",
            &get("x_secret: 1\r\n"),
            Expect::Either(vec![Check::Has("x_secret", b"1")]),
        ),
        row(
            host,
            "hop-by-hop-names",
            &get(
                "keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nte: gzip\r\nproxy-authorization: Basic eDp5\r\n",
            ),
            Expect::Either(vec![
                Check::HasNot("keep-alive"),
                Check::HasNot("proxy-connection"),
                Check::HasNot("proxy-authorization"),
                Check::HasNot("te"),
            ]),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_what_is_refused_is_followed_by_a_second_request() {
        let rows = rows("h.test");
        let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows.len());
        for row in rows {
            let text = String::from_utf8_lossy(&row.bytes).into_owned();
            assert!(!text.contains("HOST"), "{}", row.name);
            let follows = text.ends_with("GET /smuggled HTTP/1.1\r\nhost: h.test\r\n\r\n");
            let passes = matches!(row.expect, Expect::Passes(_) | Expect::Either(_));
            assert_eq!(follows, !passes, "{}", row.name);
        }
    }
}
