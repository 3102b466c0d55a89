//! What services may change, and what of their answers is one message.

use super::*;

fn header(name: &str, value: &str, how: How) -> HeaderChange {
    HeaderChange { name: name.to_owned(), value: value.as_bytes().to_vec(), how }
}

#[test]
fn headers_change_as_they_are_said_to_but_for_those_that_are_nobodys() {
    let mut headers = Headers::new();
    for (name, value) in [("x-a", "1"), ("x-b", "1"), ("x-c", "1"), ("content-length", "3")] {
        headers.set(name, value.as_bytes()).unwrap();
    }
    let forbidden = ["content-length", "transfer-encoding", "connection", "host", "te", "upgrade", ":path"];
    let forbidden = forbidden.iter().copied().chain(["x-mesh-failure", "x-mesh-unseen", "expect"]);
    let mut changes: Vec<_> = forbidden.map(|name| header(name, "evil", How::Overwrite)).collect();
    changes.extend([
        header("x-a", "2", How::Append),
        header("x-b", "2", How::IfAbsent),
        header("x-c", "2", How::IfPresent),
        header("x-d", "2", How::IfPresent),
        header("x-e", "2", How::IfAbsent),
        header("x-f", "a\r\nx-g: b", How::Overwrite),
        header("x f", "a", How::Overwrite),
    ]);
    change(&mut headers, &changes);
    let all: Vec<(&str, &[u8])> = headers.iter().collect();
    let expected: [(&str, &[u8]); 6] =
        [("x-a", b"1"), ("x-b", b"1"), ("content-length", b"3"), ("x-a", b"2"), ("x-c", b"2"), ("x-e", b"2")];
    assert_eq!(all, expected);
}

#[test]
fn an_answer_is_one_message_of_a_call_that_succeeded() {
    let answer = |status: u16, grpc: Option<&str>, body: &'static [u8]| Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: Headers::new(),
        body: Bytes::from_static(body),
        grpc_status: grpc.map(str::to_owned),
    };
    assert_eq!(one_message(answer(200, Some("0"), b"\0\0\0\0\x02ab")), Ok(Bytes::from_static(b"ab")));
    assert_eq!(one_message(answer(200, Some("0"), b"\0\0\0\0\0")), Ok(Bytes::new()));
    for bad in [
        answer(200, Some("7"), b"\0\0\0\0\x02ab"),
        answer(200, None, b"\0\0\0\0\x02ab"),
        answer(503, Some("0"), b"\0\0\0\0\x02ab"),
        answer(200, Some("0"), b"\x01\0\0\0\x02ab"),
        answer(200, Some("0"), b"\0\0\0\0\x03ab"),
        answer(200, Some("0"), b"\0\0\0\0\x01ab"),
        answer(200, Some("0"), b"\0\0"),
        answer(200, Some("0"), b""),
    ] {
        assert!(one_message(bad).is_err());
    }
}
