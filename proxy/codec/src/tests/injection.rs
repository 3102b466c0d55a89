//! Facts about what is written: nothing that is handed in can end a line, add a field, or frame a message.

use crate::encode::{self, Connection, Line, Unwritable};
use crate::{Framing, Version};

const FINE: Line<'static> = Line { method: b"GET", target: b"/a", authority: b"a" };

fn request(line: Line<'_>, fields: &[(&[u8], &[u8])]) -> Result<String, Unwritable> {
    let mut out = b"kept".to_vec();
    let fields = fields.iter().copied();
    let written = encode::request_head(&mut out, line, fields, Framing::None, Connection::KeepAlive);
    let text = String::from_utf8_lossy(&out).into_owned();
    if written.is_err() {
        assert_eq!(text, "kept", "something was written of what was refused");
    }
    written.map(|()| text.replacen("kept", "", 1))
}

fn response(
    status: u16,
    fields: &[(&[u8], &[u8])],
    framing: Framing,
    connection: Connection<'_>,
    version: Version,
) -> Result<String, Unwritable> {
    let mut out = Vec::new();
    encode::response_head(&mut out, status, fields.iter().copied(), framing, connection, version)
        .map(|()| String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn cr_lf_nul_space_and_colon_are_refused_where_they_would_end_something() {
    for bad in ["\r", "\n", "\0", "\r\n", "\r\nX: y", "\u{1}", "\u{7f}"] {
        let with = |good: &str| format!("{good}{bad}").into_bytes();
        for place in [with("a"), [bad.as_bytes(), b"a"].concat(), [b"a", bad.as_bytes(), b"b"].concat()] {
            assert_eq!(request(Line { method: &place, ..FINE }, &[]), Err(Unwritable::Method));
            assert_eq!(request(Line { target: &place, ..FINE }, &[]), Err(Unwritable::Target));
            assert_eq!(request(Line { authority: &place, ..FINE }, &[]), Err(Unwritable::Authority));
            assert_eq!(request(FINE, &[(b"a", b"b"), (&place, b"x")]), Err(Unwritable::Name));
            assert_eq!(request(FINE, &[(b"a", b"b"), (b"x", &place)]), Err(Unwritable::Value));
            let upgrade = Connection::Upgrade(&place);
            let written = response(101, &[], Framing::None, upgrade, Version::Http11);
            assert_eq!(written, Err(Unwritable::Upgrade));
            let (mut out, trailers) = (Vec::new(), [(b"x".as_slice(), place.as_slice())]);
            assert_eq!(encode::last_chunk(&mut out, trailers.into_iter()), Err(Unwritable::Value));
            assert!(out.is_empty());
        }
    }
    for bad in [" ", ":", "", "x y", "x:", "\u{e9}", "content_length", "Transfer.Encoding"] {
        assert_eq!(request(FINE, &[(bad.as_bytes(), b"x")]), Err(Unwritable::Name), "{bad:?}");
    }
    for bad in ["GET /", "", "G\u{e9}T", "GET:"] {
        assert_eq!(request(Line { method: bad.as_bytes(), ..FINE }, &[]), Err(Unwritable::Method), "{bad:?}");
    }
    for bad in ["/a b", "", "/a#b", "/\u{e9}", "/a HTTP/1.1\r\nX: y"] {
        assert_eq!(request(Line { target: bad.as_bytes(), ..FINE }, &[]), Err(Unwritable::Target), "{bad:?}");
    }
    for bad in ["a b", "u@a", "a/b", "a,b", "a?b"] {
        let line = Line { authority: bad.as_bytes(), ..FINE };
        assert_eq!(request(line, &[]), Err(Unwritable::Authority), "{bad:?}");
    }
}

#[test]
fn framing_is_written_from_the_framing_alone() {
    let fields: &[(&[u8], &[u8])] = &[
        (b"content-length", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close"),
        (b"Host", b"evil"),
        (b"Keep-Alive", b"x"),
        (b"TE", b"trailers"),
        (b"Upgrade", b"x"),
        (b"X", b"y"),
    ];
    let head = "GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n";
    for (framing, connection, wanted) in [
        (Framing::None, Connection::KeepAlive, ""),
        (Framing::Length(0), Connection::KeepAlive, "Content-Length: 0\r\n"),
        (
            Framing::Length(1_234_567_890),
            Connection::Close,
            "Connection: close\r\nContent-Length: 1234567890\r\n",
        ),
        (
            Framing::Chunked,
            Connection::Upgrade(b"websocket"),
            "Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
        ),
    ] {
        let mut out = Vec::new();
        let written = encode::request_head(&mut out, FINE, fields.iter().copied(), framing, connection);
        assert_eq!(written, Ok(()));
        assert_eq!(String::from_utf8_lossy(&out), format!("{head}{wanted}\r\n"));
    }
    let mut out = Vec::new();
    let none = std::iter::empty();
    let written = encode::request_head(&mut out, FINE, none, Framing::UntilClose, Connection::Close);
    assert_eq!((written, out.len()), (Err(Unwritable::Framing), 0));
}

#[test]
fn responses_say_what_their_status_and_their_clients_version_allow() {
    use Connection::{Close, KeepAlive, Upgrade};
    use Version::{Http10, Http11};
    let none: &[(&[u8], &[u8])] = &[];
    for (status, framing, connection, version, wanted) in [
        (200, Framing::Length(3), KeepAlive, Http11, "200 OK\r\nContent-Length: 3\r\n"),
        (404, Framing::Chunked, KeepAlive, Http11, "404 Not Found\r\nTransfer-Encoding: chunked\r\n"),
        (
            200,
            Framing::Length(3),
            KeepAlive,
            Http10,
            "200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n",
        ),
        (200, Framing::UntilClose, KeepAlive, Http11, "200 OK\r\nConnection: close\r\n"),
        (200, Framing::UntilClose, KeepAlive, Http10, "200 OK\r\nConnection: close\r\n"),
        (204, Framing::Length(3), KeepAlive, Http11, "204 No Content\r\n"),
        (204, Framing::UntilClose, KeepAlive, Http11, "204 No Content\r\n"),
        (
            304,
            Framing::Length(3),
            Close,
            Http11,
            "304 Not Modified\r\nConnection: close\r\nContent-Length: 3\r\n",
        ),
        (100, Framing::Chunked, Close, Http11, "100 Continue\r\n"),
        (
            101,
            Framing::None,
            Upgrade(b"websocket"),
            Http11,
            "101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
        ),
        (799, Framing::None, KeepAlive, Http11, "799 \r\n"),
    ] {
        let written = response(status, none, framing, connection, version);
        assert_eq!(written, Ok(format!("HTTP/1.1 {wanted}\r\n")), "{status} {framing:?}");
    }
    assert_eq!(response(200, none, Framing::Chunked, KeepAlive, Http10), Err(Unwritable::Framing));
    for status in [0, 99, 1000] {
        assert_eq!(response(status, none, Framing::None, KeepAlive, Http11), Err(Unwritable::Status));
    }
    assert_eq!(encode::CONTINUE, response(100, none, Framing::None, KeepAlive, Http11).unwrap().as_bytes());
}

#[test]
fn forbidden_trailers_are_left_out() {
    let mut out = Vec::new();
    encode::chunk_head(&mut out, 255);
    let trailers: [(&[u8], &[u8]); 4] =
        [(b"grpc-status", b"0"), (b"Content-Length", b"3"), (b"connection", b"close"), (b"Host", b"b")];
    encode::last_chunk(&mut out, trailers.into_iter()).unwrap();
    assert_eq!(String::from_utf8_lossy(&out), "ff\r\n0\r\ngrpc-status: 0\r\n\r\n");
}
