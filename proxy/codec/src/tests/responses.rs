//! Facts about responses: a server cannot make its connection, or a client, take one answer for two or two for one.

use http::Method;

use super::reader::responses_in;

fn to(method: Method, input: &str) -> String {
    let asked = [method, Method::GET, Method::GET];
    let whole = responses_in(input.as_bytes(), &asked, &[]);
    let every: Vec<usize> = (0..input.len()).collect();
    assert_eq!(responses_in(input.as_bytes(), &asked, &every), whole, "{input:?}, byte by byte");
    whole
}

fn get(input: &str) -> String {
    to(Method::GET, input)
}

fn with(lines: &str, content: &str) -> String {
    get(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n{content}"))
}

#[test]
fn the_end_of_a_response_is_known_in_one_way_only() {
    for (lines, content, wanted) in [
        ("Content-Length: 3\r\nX: y\r\n", "abc", "200 [X: y] 3='abc'"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX: y\r\n\r\n", "200 chunked='abc~X: y'"),
        ("", "abc", "200 close until close='abc'"),
        ("Connection: close\r\nContent-Length: 3\r\n", "abc", "200 close 3='abc'"),
        ("Content-Length: 0\r\n", "", "200 0=''"),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", "400 length_and_coding"),
        ("Content-Length: 3\r\nContent-Length: 4\r\n", "abc", "400 length_twice"),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc", "400 length_twice"),
        ("Content-Length: 3, 3\r\n", "abc", "400 length"),
        ("Content-Length: +3\r\n", "abc", "400 length"),
        ("Content-Length:\r\n", "abc", "400 length"),
        ("Content_Length: 3\r\n", "abc", "400 lookalike"),
        ("Transfer-Encoding: gzip, chunked\r\n", "", "501 coding_unknown"),
        ("Transfer-Encoding: identity\r\n", "abc", "400 coding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "", "400 coding_twice"),
        ("Transfer-Encoding : chunked\r\n", "", "400 space_before_colon"),
        ("Connection: content-length\r\nContent-Length: 3\r\n", "abc", "400 nominated"),
        ("Connection: set-cookie\r\nSet-Cookie: a\r\n", "", "400 nominated"),
        ("X: a\r\n b\r\nContent-Length: 0\r\n", "", "400 obs_fold"),
        ("X: a\nContent-Length: 0\r\n", "", "400 bare_lf"),
        ("X: a\0\r\n", "", "400 value_byte"),
    ] {
        assert_eq!(with(lines, content), wanted, "{lines:?}");
    }
}

#[test]
fn content_that_is_too_short_or_too_long_is_seen() {
    assert_eq!(with("Content-Length: 5\r\n", "abc"), "200 5='abc' (cut off)");
    assert_eq!(with("Content-Length: 3\r\n", "abcde"), "200 3='abc'; 2 bytes more");
    assert_eq!(with("Transfer-Encoding: chunked\r\n", "5\r\nabc"), "200 chunked='abc' (cut off)");
    assert_eq!(with("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n"), "200 chunked='abc' (cut off)");
    assert_eq!(with("Transfer-Encoding: chunked\r\n", "3\r\nabcde"), "200 chunked='abc; 400 chunk_data_end");
}

#[test]
fn some_statuses_and_methods_have_no_content() {
    let not_modified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(get(not_modified), "304 length=5");
    assert_eq!(get("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"), "304");
    assert_eq!(get("HTTP/1.1 204 No Content\r\n\r\n"), "204");
    assert_eq!(get("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), "204 length=0");
    assert_eq!(get("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc"), "400 no_content");
    assert_eq!(get("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"), "400 no_content");
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(to(Method::HEAD, &format!("{ok}{ok}hello")), "200 length=5; 200 5='hello'");
    assert_eq!(to(Method::HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), "200");
    assert_eq!(
        to(Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "400 length_and_coding"
    );
    assert_eq!(to(Method::HEAD, "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n"), "400 no_content");
}

#[test]
fn interim_responses_are_heads_only() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(get(&format!("{go_on}{ok}")), "100; 200 0=''");
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    assert_eq!(get(&format!("{hints}{hints}{ok}")), "103 [Link: </a>]; 103 [Link: </a>]; 200 0=''");
    assert_eq!(get("HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n"), "400 informational_content");
    assert_eq!(get("HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n"), "400 informational_content");
}

#[test]
fn a_change_of_protocol_names_the_protocol() {
    let changed =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes";
    assert_eq!(get(changed), "101 upgrade=websocket tunnel='bytes'");
    assert_eq!(get("HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n"), "400 upgrade");
    assert_eq!(get("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n"), "400 upgrade");
    let with_length = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(get(with_length), "400 informational_content");
    let asks = "HTTP/1.1 426 x\r\nConnection: upgrade\r\nUpgrade: TLS/1.0\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(get(asks), "426 upgrade=TLS/1.0 0=''");
}

#[test]
fn an_accepted_connect_has_no_content_and_a_refused_one_has() {
    let connect = |input: &str| to(Method::CONNECT, input);
    assert_eq!(connect("HTTP/1.1 200 OK\r\n\r\nbytes"), "200 tunnel='bytes'");
    assert_eq!(connect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbytes"), "200 length=3 tunnel='bytes'");
    assert_eq!(connect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbytes"), "200 tunnel='bytes'");
    assert_eq!(connect("HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nabc"), "403 3='abc'");
}

#[test]
fn status_lines_have_one_form() {
    for (line, wanted) in [
        ("HTTP/1.1 200 OK", "200 0=''"),
        ("HTTP/1.1 200 ", "200 0=''"),
        ("HTTP/1.1 200", "200 0=''"),
        ("HTTP/1.1 200 a\tb \u{e9}", "200 0=''"),
        ("HTTP/1.1 999 x", "999 0=''"),
        ("HTTP/1.0 200 OK", "200 1.0 close 0=''"),
        ("HTTP/1.1 99 x", "400 status_line"),
        ("HTTP/1.1 099 x", "400 status_line"),
        ("HTTP/1.1 2000 x", "400 status_line"),
        ("HTTP/1.1 2x0 x", "400 status_line"),
        ("HTTP/1.1 +20 x", "400 status_line"),
        ("HTTP/1.1  200 OK", "400 status_line"),
        ("HTTP/1.1\t200 OK", "400 status_line"),
        ("HTTP/1.1 200\tOK", "400 status_line"),
        ("HTTP/1.1 200 a\0b", "400 status_line"),
        ("HTTP/1.1 200 a\rb", "400 bare_cr"),
        ("HTTP/1.1", "400 status_line"),
        ("http/1.1 200 OK", "400 status_line"),
        ("ICY 200 OK", "400 status_line"),
        (" HTTP/1.1 200 OK", "400 status_line"),
        ("HTTP/1.2 200 OK", "505 version"),
        ("HTTP/2.0 200 OK", "505 version"),
        ("", "400 status_line"),
    ] {
        assert_eq!(get(&format!("{line}\r\nContent-Length: 0\r\n\r\n")), wanted, "{line:?}");
    }
    assert_eq!(get("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"), "400 bare_lf");
    assert_eq!(get("abc"), "3 bytes more", "a line is judged when it is complete");
}

#[test]
fn http_1_0_keeps_only_what_it_can_frame() {
    let old = |lines: &str| get(&format!("HTTP/1.0 200 OK\r\n{lines}\r\n"));
    assert_eq!(old("Connection: keep-alive\r\nContent-Length: 0\r\n"), "200 1.0 0=''");
    assert_eq!(old("Connection: keep-alive\r\n"), "200 1.0 close until close=''");
    assert_eq!(old("Transfer-Encoding: chunked\r\n"), "400 coding_version");
}

#[test]
fn what_concerns_one_hop_is_taken_off() {
    let lines = "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
        Proxy-Authenticate: Basic\r\nTE: x\r\nHost: a\r\nProxy-Authorization: x\r\nContent-Length: 0\r\nServer: s\r\nTrailer: X\r\n";
    assert_eq!(with(lines, ""), "200 [Server: s] [Trailer: X] 0=''");
}

#[test]
fn a_head_of_a_server_is_bounded_too() {
    let many = "X: y\r\n".repeat(101);
    assert_eq!(with(&many, ""), "431 too_many_fields");
    let large = format!("X: {}\r\n", "y".repeat(61 << 10));
    let input = format!("HTTP/1.1 200 OK\r\n{large}\r\n");
    assert_eq!(responses_in(input.as_bytes(), &[Method::GET], &[]), "431 head_too_large");
}
