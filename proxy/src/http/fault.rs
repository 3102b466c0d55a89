//! From a failure to an answer, in one place. Peer text never gets into it.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Body, Kind, Response};
use crate::telemetry::Failure;

/// A failure with what a person needs to know about it: which object, why, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What failed.
    pub failure: Failure,
    /// A sentence that names the object.
    pub detail: String,
}

impl Fault {
    /// With its detail.
    pub fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into() }
    }
}

/// What `grpc-message` must encode. Source: gRPC over HTTP/2, "Status-Message".
const GRPC_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// The answer to a request that failed in the mesh: status, `x-mesh-failure`, and a line of text; for gRPC a trailers-only
/// response, which is a head that ends the stream.
pub fn response_to(fault: &Fault, kind: Kind) -> Response {
    let code = fault.failure.code();
    let mut response = match kind {
        Kind::Http => {
            let mut response = Response::new(Body::bytes(format!("{code}: {}\n", fault.detail)));
            *response.status_mut() =
                StatusCode::from_u16(fault.failure.http_status()).unwrap_or(StatusCode::BAD_GATEWAY);
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            response
        }
        Kind::Grpc => {
            let mut response = Response::new(Body::empty());
            grpc_trailers(response.headers_mut(), fault);
            response
        }
    };
    response.headers_mut().insert("x-mesh-failure", HeaderValue::from_static(code));
    response
}

fn grpc_trailers(headers: &mut HeaderMap, fault: &Fault) {
    let text = format!("{}: {}", fault.failure.code(), fault.detail);
    let message = utf8_percent_encode(&text, GRPC_MESSAGE).to_string();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(fault.failure.grpc_status())));
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
}
