//! Facts about request heads beyond the hostile table.

use super::reader::{requests, requests_in};
use crate::{Limits, Scan, request};

fn with(lines: &str) -> String {
    requests(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

#[test]
fn a_usual_request_keeps_its_end_to_end_fields_in_order_and_as_sent() {
    let input = "GET /a/b?c=d HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: x/1 (y; z)\r\nACCEPT:  */*  \r\n\
        x-empty:\r\nConnection: keep-alive, TE\r\nTE: trailers, deflate;q=0.5\r\nKeep-Alive: timeout=5\r\n\
        Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nX-Tab: a\tb\r\nX-Obs: \u{e9}\r\nCookie: a=b\r\n\r\n";
    assert_eq!(
        requests(input),
        "GET /a/b?c=d @shop.example:8080 trailers [User-Agent: x/1 (y; z)] [ACCEPT: */*] [x-empty: ] \
         [X-Tab: a\tb] [X-Obs: \u{e9}] [Cookie: a=b]"
    );
}

#[test]
fn requests_follow_each_other() {
    let input = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n\
        GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\
        GET /5 HTTP/1.1\r\nHost: a\r\n\r\n";
    let wanted = "POST /1 @a 3='abc'; GET /2 @a; POST /3 @a chunked='0123456789'; GET /4 @a close";
    assert_eq!(requests(input), wanted);
    let every: Vec<usize> = (0..input.len()).collect();
    assert_eq!(requests_in(input.as_bytes(), &every, Limits::default()), wanted);
}

#[test]
fn one_empty_line_before_a_request_is_skipped_and_no_more() {
    assert_eq!(requests("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET / @a");
    assert_eq!(requests("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "400 request_line");
    assert_eq!(requests("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "400 request_line");
    assert_eq!(requests("\r\n"), "2 bytes more");
}

#[test]
fn request_lines_have_one_form() {
    for (line, wanted) in [
        ("GET /", "400 request_line"),
        ("GET / ", "400 request_line"),
        ("GET", "400 request_line"),
        ("GET / HTTP/1.1 ", "400 request_line"),
        ("GET / HTTP/1.1\t", "400 request_line"),
        (" GET / HTTP/1.1", "400 request_line"),
        ("GET /a b HTTP/1.1", "400 request_line"),
        ("GET /\tHTTP/1.1", "400 request_line"),
        ("GET / http/1.1", "400 request_line"),
        ("GET / HTTP/1.11", "400 request_line"),
        ("GET / HTTP/1", "400 request_line"),
        ("GET / HTTP/+1.1", "400 request_line"),
        ("GET / HTTP/0.9", "505 version"),
        ("GET / HTTP/2.0", "505 version"),
        ("GET / HTTP/1.1\r", "400 bare_cr"),
        ("G\u{e9}T / HTTP/1.1", "400 method"),
        ("GET: / HTTP/1.1", "400 method"),
        ("G(T / HTTP/1.1", "400 method"),
        ("\0GET / HTTP/1.1", "400 method"),
        ("GET /\0 HTTP/1.1", "400 target"),
        ("GET /\u{7f} HTTP/1.1", "400 target"),
        ("OPTIONS *x HTTP/1.1", "400 target_form"),
        ("options * HTTP/1.1", "400 target_form"),
    ] {
        assert_eq!(requests(format!("{line}\r\nHost: a\r\n\r\n")), wanted, "{line:?}");
    }
    assert_eq!(requests("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "505 version");
    assert_eq!(requests("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n"), "M-SEARCH / @a");
    assert_eq!(requests("get / HTTP/1.1\r\nHost: a\r\n\r\n"), "get / @a");
}

#[test]
fn field_lines_have_one_form() {
    for (lines, wanted) in [
        ("X\r\n", "400 no_colon"),
        ("X : a\r\n", "400 space_before_colon"),
        ("X\t: a\r\n", "400 space_before_colon"),
        ("X y: a\r\n", "400 space_before_colon"),
        ("X\0: a\r\n", "400 name_byte"),
        ("X\u{e9}: a\r\n", "400 name_byte"),
        ("X(: a\r\n", "400 name_byte"),
        ("\tX: a\r\n", "400 obs_fold"),
        ("X: a\n", "400 bare_lf"),
        ("X: a\r\r\n", "400 bare_cr"),
        ("X\rY: a\r\n", "400 bare_cr"),
        ("\rX: a\r\n", "400 bare_cr"),
        ("X: a\u{1}\r\n", "400 value_byte"),
        ("X: a\u{7f}\r\n", "400 value_byte"),
        ("X: a\u{b}\r\n", "400 value_byte"),
        ("Content_Length: 3\r\n", "400 lookalike"),
        ("ContentLength: 3\r\n", "400 lookalike"),
        ("Transfer.Encoding: chunked\r\n", "400 lookalike"),
        ("_transfer_encoding: chunked\r\n", "400 lookalike"),
        ("X-Content-Length: 3\r\n", "GET / @a [X-Content-Length: 3]"),
        ("!#$%&'*+-.^_`|~: x\r\n", "GET / @a [!#$%&'*+-.^_`|~: x]"),
    ] {
        assert_eq!(with(lines), wanted, "{lines:?}");
    }
}

#[test]
fn content_length_is_a_number_that_every_server_can_hold() {
    for (value, wanted) in [
        ("0", "GET / @a 0=''"),
        ("00", "GET / @a 0=''"),
        ("9223372036854775807", "GET / @a 9223372036854775807='' (cut off)"),
        ("9223372036854775808", "400 length"),
        ("18446744073709551615", "400 length"),
        ("00000000000000000003", "400 length"),
        ("1 2", "400 length"),
        ("1,", "400 length"),
        ("1.0", "400 length"),
        ("1e1", "400 length"),
        ("1_0", "400 length"),
        ("\u{661}", "400 length"),
    ] {
        assert_eq!(with(&format!("Content-Length: {value}\r\n")), wanted, "{value}");
    }
}

#[test]
fn transfer_encoding_is_chunked_and_nothing_else() {
    for (value, wanted) in [
        ("chunked", "GET / @a chunked='' (cut off)"),
        ("CHUNKED", "GET / @a chunked='' (cut off)"),
        ("gzip, chunked", "501 coding_unknown"),
        ("chunked, gzip", "400 coding"),
        ("gzip", "400 coding"),
        ("identity", "400 coding"),
        ("", "400 coding"),
        ("chunked,", "400 coding"),
        (",chunked", "400 coding"),
        ("chunked;q=1", "400 coding"),
        ("\"chunked\"", "400 coding"),
        ("chunked chunked", "400 coding"),
        ("chunked,chunked", "400 coding_twice"),
        ("chunked, gzip, chunked", "400 coding_twice"),
    ] {
        assert_eq!(with(&format!("Transfer-Encoding: {value}\r\n")), wanted, "{value}");
    }
}

#[test]
fn the_connection_field_ends_keeps_and_strips() {
    for (lines, wanted) in [
        ("Connection: close\r\n", "GET / @a close"),
        ("Connection: Close, keep-alive\r\n", "GET / @a close"),
        ("Connection: keep-alive\r\nConnection: close\r\n", "GET / @a close"),
        ("Connection:\r\n", "GET / @a"),
        ("Connection: ,\r\n", "GET / @a"),
        ("Connection: x,,y\r\nX: 1\r\ny: 2\r\nZ: 3\r\n", "GET / @a [Z: 3]"),
        ("X: 1\r\nconnection: x\r\nx: 2\r\n", "GET / @a"),
        ("Connection: a b\r\n", "400 connection_option"),
        ("Connection: \"x\"\r\n", "400 connection_option"),
        ("Connection: a;b\r\n", "400 connection_option"),
    ] {
        assert_eq!(with(lines), wanted, "{lines:?}");
    }
    for named in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Content-Type",
        "Authorization",
        "Cookie",
        "Forwarded",
        "Via",
        "X-Real-IP",
        "X-Forwarded-For",
        "X-Forwarded-Client-Cert",
        "x-mesh-failure",
        "x-envoy-peer-metadata",
        "l5d-client-id",
    ] {
        assert_eq!(with(&format!("Connection: close, {named}\r\n")), "400 nominated", "{named}");
    }
}

#[test]
fn connection_options_are_bounded() {
    let options = |count: usize| with(&format!("Connection: {}\r\n", vec!["x"; count].join(",")));
    assert_eq!((options(16).as_str(), options(17).as_str()), ("GET / @a", "400 connection_option"));
    let lines = |count: usize| with(&"Connection: x\r\n".repeat(count));
    assert_eq!((lines(4).as_str(), lines(5).as_str()), ("GET / @a", "400 connection_option"));
}

#[test]
fn http_1_0_closes_unless_asked_and_knows_neither_expect_nor_upgrade() {
    let with = |lines: &str| requests(format!("POST / HTTP/1.0\r\nHost: a\r\n{lines}\r\n"));
    assert_eq!(with(""), "POST / @a 1.0 close");
    assert_eq!(with("Connection: keep-alive\r\n"), "POST / @a 1.0");
    assert_eq!(with("Connection: keep-alive, close\r\n"), "POST / @a 1.0 close");
    let lines = "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\nExpect: 100-continue\r\nContent-Length: 0\r\n";
    assert_eq!(with(lines), "POST / @a 1.0 0=''");
}

#[test]
fn only_content_is_waited_for() {
    assert_eq!(with("Expect: 100-Continue\r\nContent-Length: 0\r\n"), "GET / @a 0=''");
    assert_eq!(with("Expect: 100-continue\r\n"), "GET / @a");
    assert_eq!(with("Expect: 100-continue\r\nContent-Length: 1\r\n"), "GET / @a expects 1='' (cut off)");
    assert_eq!(with("Expect: 200-ok\r\n"), "417 expectation");
    assert_eq!(with("Expect: 100-continue, x\r\n"), "417 expectation");
}

#[test]
fn an_upgrade_is_asked_for_in_both_fields_and_never_to_h2c() {
    for (lines, wanted) in [
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", "GET / @a upgrade=websocket tunnel=''"),
        ("Upgrade: a/1, b\r\nConnection: upgrade\r\n", "GET / @a upgrade=a/1, b tunnel=''"),
        ("Upgrade: websocket\r\n", "GET / @a"),
        ("Connection: upgrade\r\n", "GET / @a"),
        ("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", "GET / @a"),
        ("Connection: upgrade\r\nUpgrade: websocket, H2C\r\n", "GET / @a"),
        ("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", "400 upgrade"),
        ("Connection: upgrade\r\nUpgrade: a/\r\n", "400 upgrade"),
        ("Connection: upgrade\r\nUpgrade:\r\n", "400 upgrade"),
        ("Connection: upgrade\r\nUpgrade: a b\r\n", "400 upgrade"),
    ] {
        assert_eq!(with(lines), wanted, "{lines:?}");
    }
}

#[test]
fn the_limits_of_a_head_are_exact() {
    let limits = Limits { head_bytes: 100, fields: 3, ..Limits::default() };
    let head = |value: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "v".repeat(value));
    let fits = head(100 - head(0).len());
    assert_eq!(fits.len(), 100);
    let read = |text: &str| requests_in(text.as_bytes(), &[], limits);
    assert!(read(&fits).starts_with("GET / @a [X: v"));
    assert!(read(&(fits.clone() + &fits)).contains("; GET / @a"), "what follows a head is not counted");
    assert_eq!(read(&head(101 - head(0).len())), "431 head_too_large");
    assert_eq!(read(&format!("GET /{}", "a".repeat(96))), "414 target_too_long");
    assert_eq!(read(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(96))), "414 target_too_long");
    assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:\r\n\r\n"), "GET / @a [X: ] [Y: ]");
    let four = "GET / HTTP/1.1\r\nHost: a\r\nKeep-Alive: x\r\nY:\r\nZ:\r\n\r\n";
    assert_eq!(read(four), "431 too_many_fields");
}

#[test]
fn a_peer_that_sends_byte_by_byte_makes_us_read_no_more_than_lines() {
    let input = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "v".repeat(20_000));
    let (mut scan, mut fields) = (Scan::new(), Vec::new());
    let limits = Limits::default();
    let mut ends = 0;
    for end in 1..=input.len() {
        let read = scan.request(&input.as_bytes()[..end], &limits, &mut fields).unwrap();
        ends += usize::from(read.is_some());
        assert_eq!(read.is_some(), end == input.len());
    }
    assert_eq!((ends, scan), (1, Scan::new()));
    assert_eq!(request(input.as_bytes(), &limits, &mut fields).unwrap().unwrap().len, input.len());
}
