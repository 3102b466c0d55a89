//! The table of hostile requests, row by row: what others let through, and what this codec makes of it.

use super::reader::{requests, requests_in};
use crate::{Limits, Underscores};

/// A row's name, the bytes, and what is read of them.
type Row = (&'static str, Vec<u8>, &'static str);

/// A request with these lines between the request line and the empty line.
fn post(lines: &str, content: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{content}").into_bytes()
}

/// A request with this line only, and a Host.
fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into_bytes()
}

fn chunks(content: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", content)
}

fn framing_rows() -> Vec<Row> {
    let coding = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "3\r\nabc\r\n0\r\n\r\n");
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "abcd");
    vec![
        (
            "TE and CL",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            "400 length_and_coding",
        ),
        (
            "CL twice, the same",
            post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"),
            "400 length_twice",
        ),
        ("CL `4, 4`", length("4, 4"), "400 length"),
        (
            "CL twice, differing",
            post("Content-Length: 4\r\nContent-Length: 5\r\n", "abcd"),
            "400 length_twice",
        ),
        ("CL `+4`", length("+4"), "400 length"),
        ("CL `-1`", length("-1"), "400 length"),
        ("CL `0x4`", length("0x4"), "400 length"),
        ("CL empty", length(""), "400 length"),
        ("CL 2^64", length("18446744073709551616"), "400 length"),
        ("TE `identity, chunked`", coding("identity, chunked"), "501 coding_unknown"),
        ("TE `chunked, chunked`", coding("chunked, chunked"), "400 coding_twice"),
        ("TE `xchunked`", coding("xchunked"), "400 coding"),
        ("TE with VT before chunked", coding("\x0bchunked"), "400 value_byte"),
        ("TE `chunked, identity`", coding("chunked, identity"), "400 coding"),
        (
            "TE in two lines",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
            "400 coding_twice",
        ),
        ("`TE :`", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), "400 space_before_colon"),
        (
            "TE on HTTP/1.0",
            b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            "400 coding_version",
        ),
    ]
}

fn line_rows() -> Vec<Row> {
    vec![
        ("bare LF line ends", b"GET / HTTP/1.1\nHost: a\n\n".to_vec(), "400 bare_lf"),
        ("NUL in a value", post("X: a\0b\r\n", ""), "400 value_byte"),
        ("obs-fold", post("X: a\r\n b\r\n", ""), "400 obs_fold"),
        ("bare CR", post("X: a\rb\r\n", ""), "400 bare_cr"),
        ("space before a name", post(" X: a\r\n", ""), "400 obs_fold"),
        ("empty name", post(": a\r\n", ""), "400 empty_name"),
        ("header without colon", post("X a\r\n", ""), "400 no_colon"),
        ("header of 64 KiB", post(&format!("X: {}\r\n", "a".repeat(64 << 10)), ""), "431 head_too_large"),
        ("header of 500 KiB", post(&format!("X: {}\r\n", "a".repeat(500 << 10)), ""), "431 head_too_large"),
        ("101 headers", post(&"X: a\r\n".repeat(100), ""), "431 too_many_fields"),
        ("1001 headers", post(&"X: a\r\n".repeat(1000), ""), "431 too_many_fields"),
    ]
}

fn target_rows() -> Vec<Row> {
    vec![
        ("no Host", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "400 no_host"),
        ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".to_vec(), "400 hosts"),
        ("Host `a, b`", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".to_vec(), "400 authority"),
        ("Host `a@b/c`", b"GET / HTTP/1.1\r\nHost: a@b/c\r\n\r\n".to_vec(), "400 authority"),
        ("absolute-form differs from Host", line("GET http://b/x?y HTTP/1.1"), "GET /x?y @b"),
        ("`/a#b`", line("GET /a#b HTTP/1.1"), "400 fragment"),
        ("`GET foo`", line("GET foo HTTP/1.1"), "400 target_form"),
        ("`GET *`", line("GET * HTTP/1.1"), "400 target_form"),
        ("`OPTIONS *`", line("OPTIONS * HTTP/1.1"), "OPTIONS * @a"),
        ("`/a/../b`", line("GET /a/../b HTTP/1.1"), "GET /b @a"),
        ("raw 0x80 in the path", b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "400 target"),
        ("raw 0x01 in the path", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "400 target"),
        ("version HTTP/1.2", line("GET / HTTP/1.2"), "400 request_line"),
        ("tab in the request line", line("GET\t/ HTTP/1.1"), "400 request_line"),
        ("double space in the request line", line("GET  / HTTP/1.1"), "400 request_line"),
    ]
}

fn content_rows() -> Vec<Row> {
    vec![
        (
            "chunk size line ends with LF",
            chunks("3\nabc\r\n0\r\n\r\n"),
            "POST / @a chunked='; 400 chunk_line_end",
        ),
        (
            "chunk extension ends with LF",
            chunks("3;x\nabc\r\n0\r\n\r\n"),
            "POST / @a chunked='; 400 chunk_line_end",
        ),
        (
            "chunk data ends wrong",
            chunks("3\r\nabcd\r\n0\r\n\r\n"),
            "POST / @a chunked='abc; 400 chunk_data_end",
        ),
        ("chunk size `0x3`", chunks("0x3\r\nabc\r\n0\r\n\r\n"), "POST / @a chunked='; 400 chunk_size"),
        (
            "chunk size of 17 digits",
            chunks("00000000000000003\r\nabc\r\n0\r\n\r\n"),
            "POST / @a chunked='; 400 chunk_size",
        ),
        (
            "chunk size, then a space",
            chunks("3 \r\nabc\r\n0\r\n\r\n"),
            "POST / @a chunked='; 400 chunk_space",
        ),
        ("chunk extension", chunks("3;x=\"y\"\r\nabc\r\n0;z\r\n\r\n"), "POST / @a chunked='abc'"),
        (
            "trailers with Content-Length and Host",
            chunks("3\r\nabc\r\n0\r\nContent-Length: 9\r\nHost: b\r\nX: y\r\n\r\n"),
            "POST / @a chunked='abc~X: y'",
        ),
    ]
}

fn connection_rows() -> Vec<Row> {
    vec![
        (
            "bytes after Upgrade are of no request",
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /b HTTP/1.1\r\n".to_vec(),
            "GET / @a upgrade=websocket tunnel='GET /b HTTP/1.1\r\n'",
        ),
        (
            "`Connection: X-Secret`",
            post("X-Secret: s\r\nConnection: keep-alive, x-secret\r\nX: y\r\n", ""),
            "POST / @a [X: y]",
        ),
        (
            "Connection names an identity header",
            post("X-Forwarded-For: s\r\nConnection: X-Forwarded-For\r\n", ""),
            "400 nominated",
        ),
        ("`X_Secret`, accepted by default", post("X_Secret: s\r\n", ""), "POST / @a [X_Secret: s]"),
    ]
}

fn rows() -> Vec<Row> {
    [framing_rows(), line_rows(), target_rows(), content_rows(), connection_rows()].concat()
}

#[test]
fn the_55_rows_of_the_hostile_table_are_read_as_promised() {
    let rows = rows();
    assert_eq!(rows.len(), 55);
    for (name, input, wanted) in &rows {
        assert_eq!(requests(input), *wanted, "{name}");
    }
}

#[test]
fn the_hostile_table_reads_the_same_byte_by_byte_and_cut_in_two() {
    for (name, input, wanted) in rows() {
        let short = input.len() < 1000;
        let cuts: Vec<usize> = (0..input.len()).step_by(if short { 1 } else { 4093 }).collect();
        assert_eq!(requests_in(&input, &cuts, Limits::default()), wanted, "{name}, in pieces");
        for cut in cuts {
            assert_eq!(requests_in(&input, &[cut], Limits::default()), wanted, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn nothing_is_read_behind_a_refusal() {
    for (name, input, wanted) in rows() {
        let refused = wanted.split("; ").last().unwrap_or_default().starts_with(['4', '5']);
        if refused {
            let more = [&input, b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n".as_slice()].concat();
            assert_eq!(requests(more), wanted, "{name}");
        }
    }
}

#[test]
fn a_gateway_may_refuse_underscores() {
    let limits = Limits { underscores: Underscores::Refuse, ..Limits::default() };
    assert_eq!(requests_in(&post("X_Secret: s\r\n", ""), &[], limits), "400 underscore");
    assert_eq!(requests_in(&post("X-Secret: s_s\r\n", ""), &[], limits), "POST / @a [X-Secret: s_s]");
    let trailer = chunks("0\r\nX_Secret: s\r\n\r\n");
    assert_eq!(requests_in(&trailer, &[], limits), "POST / @a chunked='; 400 underscore");
}
