//! From a failure to an answer, in one place. Peer text never gets into it.

use http::StatusCode;
use mesh_model::name::ServiceName;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{BadHead, Body, Headers, Kind, Response};
use crate::telemetry::{Failure, Reason};

/// A failure with what a person needs to know about it: which object, why, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What failed.
    pub failure: Failure,
    /// A sentence that names the object.
    pub detail: String,
    /// In which way it failed, if more is known than what failed. It never leaves with the answer.
    pub reason: Option<Reason>,
    /// The service that it is about, where nothing else says it.
    pub service: Option<Box<ServiceName>>,
}

impl Fault {
    /// With its detail.
    pub fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into(), reason: None, service: None }
    }

    /// And with the service that it is about.
    #[must_use]
    pub fn of(self, service: &ServiceName) -> Self {
        Self { service: Some(Box::new(service.clone())), ..self }
    }

    /// And with the way in which it failed.
    #[must_use]
    pub fn because(self, reason: impl Into<Option<Reason>>) -> Self {
        Self { reason: reason.into().or(self.reason), ..self }
    }
}

/// The header of an answer of the mesh's own that has the code of its failure.
pub const FAILURE: &str = "x-mesh-failure";

/// What `grpc-message` must encode. Source: gRPC over HTTP/2, "Status-Message".
const GRPC_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// The answer to a request that failed in the mesh: status, `x-mesh-failure`, and a line of text; for gRPC a trailers-only
/// response, which is a head that ends the stream.
pub fn response_to(fault: &Fault, kind: Kind) -> Response {
    let code = fault.failure.code();
    let mut response = match kind {
        Kind::Http => {
            let status = StatusCode::from_u16(fault.failure.http_status()).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut response = Response::new(status);
            response.body = Body::bytes(format!("{code}: {}\n", fault.detail));
            field(&mut response.headers, "content-type", "text/plain; charset=utf-8");
            response
        }
        Kind::Grpc => {
            let mut response = Response::new(StatusCode::OK);
            grpc_trailers(&mut response.headers, fault);
            response
        }
    };
    field(&mut response.headers, FAILURE, code);
    response
}

/// What a head that is refused fails with.
pub fn bad_request(bad: BadHead) -> Fault {
    let large = (bad.status() == 431).then_some(Reason::HeadTooLarge);
    Fault::new(Failure::BadRequest, bad.to_string()).because(large)
}

/// The answer to a head that is refused: on the wire and on record it has the status that fits the reason.
pub fn refusal(bad: BadHead) -> Response {
    let mut response = response_to(&bad_request(bad), Kind::Http);
    response.status = StatusCode::from_u16(bad.status()).unwrap_or(StatusCode::BAD_REQUEST);
    response
}

fn field(headers: &mut Headers, name: &str, value: &str) {
    headers.set(name, value.as_bytes()).expect("names are ours, values are encoded");
}

fn grpc_trailers(headers: &mut Headers, fault: &Fault) {
    let text = format!("{}: {}", fault.failure.code(), fault.detail);
    let message = utf8_percent_encode(&text, GRPC_MESSAGE).to_string();
    field(headers, "content-type", "application/grpc");
    field(headers, "grpc-status", &fault.failure.grpc_status().to_string());
    field(headers, "grpc-message", &message);
}
