//! The gRPC health protocol as bytes: two messages of one field each, which is less than generated code. It must not know connections.
//!
//! Source: `grpc/health/v1/health.proto`; PROTOCOL-HTTP2.md for the frame of a message.

use bytes::{BufMut, Bytes, BytesMut};
use http::Method;
use mesh_traffic::health::Probed;

use crate::http::{Frame, Headers, Kind, RequestHead, Response, Wire};

/// The one method that is asked.
const PATH: &str = "/grpc.health.v1.Health/Check";

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u8 = 1;

/// The most that is read of an answer.
const ANSWER_BYTES: usize = 1024;

/// The head of the call.
pub(super) fn head(authority: String) -> Option<Box<RequestHead>> {
    let mut head = super::head(Method::POST, PATH, authority, Wire::Http2, Kind::Grpc)?;
    head.headers.set("content-type", b"application/grpc").ok()?;
    head.headers.set("te", b"trailers").ok()?;
    Some(head)
}

/// `HealthCheckRequest { service }` in its frame.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0A);
        put_varint(&mut message, service.len());
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&message);
    frame.freeze()
}

fn put_varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(u8::try_from(value & 0x7F).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.put_u8(u8::try_from(value).unwrap_or_default());
}

/// Passed with status 200, gRPC status 0 and `SERVING`.
pub(super) async fn read(answer: Response) -> Probed {
    let Response { status, headers, mut body } = answer;
    if status.as_u16() != 200 || said(&headers).is_some_and(|code| code != "0") {
        return Probed::Failed;
    }
    let mut message = BytesMut::new();
    let mut code = None;
    while let Some(frame) = body.next().await {
        match frame {
            Ok(Frame::Data(data)) if message.len() + data.len() <= ANSWER_BYTES => {
                message.extend_from_slice(&data);
            }
            Ok(Frame::Trailers(trailers)) => code = said(&trailers).map(str::to_owned),
            Ok(Frame::Data(_)) | Err(_) => return Probed::Failed,
        }
    }
    if code.as_deref() == Some("0") && is_serving(&message) { Probed::Passed } else { Probed::Failed }
}

fn said(headers: &Headers) -> Option<&str> {
    headers.get_str("grpc-status")
}

/// Whether one uncompressed message says so in its field 1.
fn is_serving(frame: &[u8]) -> bool {
    matches!(frame, [0, 0, 0, 0, 2, 0x08, status] if *status == SERVING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_one_framed_message() {
        assert_eq!(&request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&request("ab")[..], [0, 0, 0, 0, 4, 0x0A, 2, b'a', b'b']);
        let long = request(&"x".repeat(300));
        assert_eq!(&long[..8], [0, 0, 0, 1, 47, 0x0A, 0xAC, 2]);
    }

    #[test]
    fn only_serving_is_healthy() {
        assert!(is_serving(&[0, 0, 0, 0, 2, 8, 1]));
        for other in [
            &[][..],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 2, 16, 1],
        ] {
            assert!(!is_serving(other), "{other:?}");
        }
    }
}
