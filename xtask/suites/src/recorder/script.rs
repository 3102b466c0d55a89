//! Answers that no proxy may pass on as they are, each with its name. Pure.

/// Bytes, and whether the connection ends after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) bytes: Vec<u8>,
    pub(super) then_close: bool,
}

/// What a second answer hidden in the first one says.
const HIDDEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npoisoned!";

pub(super) fn named(name: &str) -> Script {
    let keep = |text: String| Script { bytes: text.into_bytes(), then_close: false };
    let close = |text: String| Script { bytes: text.into_bytes(), then_close: true };
    match name {
        "cl-and-te" => keep(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
        )),
        "two-lengths" => {
            keep(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc{HIDDEN}"))
        }
        "length-plus" => keep("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nab".to_owned()),
        "length-too-short" => keep(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab{HIDDEN}")),
        "length-too-long" => close("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nab".to_owned()),
        "204-with-body" => keep(format!("HTTP/1.1 204 No Content\r\n\r\n{HIDDEN}")),
        "204-with-length" => keep(format!("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n{HIDDEN}")),
        "304-with-body" => keep(format!("HTTP/1.1 304 Not Modified\r\n\r\n{HIDDEN}")),
        "1xx-after-final" => {
            keep("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabHTTP/1.1 100 Continue\r\n\r\n".to_owned())
        }
        "early-close" => close("HTTP/1.1 200 OK\r\ncontent-le".to_owned()),
        "chunked-cut" => close("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel".to_owned()),
        "chunked-no-end" => {
            close("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_owned())
        }
        "chunk-size-bad" => {
            keep("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n".to_owned())
        }
        "chunk-size-lf" => {
            keep("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n".to_owned())
        }
        "te-unknown" => close("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab".to_owned()),
        "te-identity-chunked" => {
            keep("HTTP/1.1 200 OK\r\ntransfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n".to_owned())
        }
        "no-http" => close("hello\r\n\r\n".to_owned()),
        "status-99" => close("HTTP/1.1 99 Odd\r\ncontent-length: 0\r\n\r\n".to_owned()),
        "version-2" => close("HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()),
        "nul-in-value" => keep("HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 0\r\n\r\n".to_owned()),
        "bare-cr" => keep("HTTP/1.1 200 OK\r\nx-a: b\rc\r\ncontent-length: 0\r\n\r\n".to_owned()),
        "obs-fold" => keep("HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 0\r\n\r\n".to_owned()),
        "space-before-colon" => keep("HTTP/1.1 200 OK\r\nx-a : b\r\ncontent-length: 0\r\n\r\n".to_owned()),
        "101-unasked" => {
            keep("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_owned())
        }
        "head-500k" => {
            let long = format!("x-long: {}\r\n", "a".repeat(50_000)).repeat(10);
            close(format!("HTTP/1.1 200 OK\r\n{long}content-length: 0\r\n\r\n"))
        }
        "fields-1001" => {
            let many = "x-a: b\r\n".repeat(1001);
            close(format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n"))
        }
        "1xx-storm" => {
            let storm = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n".repeat(1000);
            close(format!("{storm}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"))
        }
        "trailers-9k" => {
            let long = format!("x-t: {}\r\n", "a".repeat(9 * 1024));
            close(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n{long}\r\n"))
        }
        _ => close("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()),
    }
}
