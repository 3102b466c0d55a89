//! Answers: those of the mesh itself, and what is changed on those of backends. It must not know how a backend was reached.

use http::StatusCode;
use mesh_model::route::cors;
use mesh_model::route::edit::{RedirectAnswer, edit_headers};
use mesh_model::traffic::{Abort, DirectResponse, Origin};
use mesh_traffic::retry::UNSEEN;
use mesh_traffic::{fault, retry};

use super::attempts::{Answered, Errand};
use super::idle::{self, Idle};
use super::plan::{Fields, Plan};
use super::{affinity, limits};
use crate::http::{Body, FAILURE, Fault, HeaderEdits, Headers, Kind, Response, Upgrade, response_to};
use crate::telemetry::{Event, Failure, Security};
use crate::worker::record::Record;

/// Sets a field whose name and value were checked where the objects were read; one that cannot be sent is left out.
fn set(headers: &mut Headers, name: &str, value: &str) {
    if let Err(error) = headers.set(name, value.as_bytes()) {
        tracing::debug!(name, %error, "a header of a policy cannot be sent");
    }
}

/// An answer of the mesh's own.
pub(super) struct Own {
    response: Response,
    failure: Option<Failure>,
}

impl Own {
    /// An answer that is a failure.
    pub(super) fn failed(response: Response, failure: Failure) -> Self {
        Self { response, failure: Some(failure) }
    }
}

/// Gives it to the client, on record.
pub(super) fn own(mut record: Record, own: Own, kind: Kind) -> Response {
    if let Some(failure) = own.failure {
        record.failure(failure);
    }
    record.attach(own.response, kind)
}

/// A redirect.
pub(super) fn redirect(plan: &Plan<'_>, answer: &RedirectAnswer) -> Own {
    let mut response = Response::new(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::FOUND));
    set(&mut response.headers, "location", &answer.location);
    edit(&mut response, plan);
    Own { response, failure: None }
}

/// The answer to a browser that asks first.
pub(super) fn preflight(fields: Fields) -> Own {
    let mut response = Response::new(StatusCode::from_u16(cors::PREFLIGHT_STATUS).unwrap_or(StatusCode::OK));
    across(&mut response, &fields);
    Own { response, failure: None }
}

/// The answer that a policy gives in place of a backend.
pub(super) fn direct(plan: &Plan<'_>, direct: &DirectResponse, kind: Kind) -> Own {
    let mut response = Response::new(StatusCode::from_u16(direct.status).unwrap_or(StatusCode::OK));
    match kind {
        Kind::Http => {
            set(&mut response.headers, "content-type", &direct.content_type);
            response.body = Body::bytes(direct.body.clone());
        }
        // A client of gRPC reads nothing but its status: 200 without messages is as good as any other answer that it did not ask for.
        Kind::Grpc => {
            let status = if direct.status == 200 { 0 } else { retry::grpc_of(direct.status) };
            response.status = StatusCode::OK;
            set(&mut response.headers, "content-type", "application/grpc");
            set(&mut response.headers, "grpc-status", &status.to_string());
        }
    }
    edit(&mut response, plan);
    Own { response, failure: None }
}

/// The failure that a policy asked for.
pub(super) fn abort(plan: &Plan<'_>, abort: Abort, origin: &Origin, kind: Kind) -> Own {
    let (http, grpc) = fault::statuses(abort);
    let text = format!("{origin} asks for this failure");
    let mut response = response_to(&Fault::new(Failure::FaultInjected, text), kind);
    match kind {
        Kind::Http => {
            response.status = StatusCode::from_u16(http).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        }
        Kind::Grpc => set(&mut response.headers, "grpc-status", &grpc.to_string()),
    }
    edit(&mut response, plan);
    Own { response, failure: Some(Failure::FaultInjected) }
}

/// The client's side of a request.
pub(super) struct Client {
    pub(super) upgrade: Upgrade,
    pub(super) permit: super::Permit,
    pub(super) kind: Kind,
}

/// The backend's answer with all that the rule and its policy want of it, and the record that goes with it.
pub(super) fn upstream(
    mut record: Record,
    errand: &Errand<'_>,
    answered: Answered,
    client: Client,
    finish: impl FnOnce(&mut Response),
) -> Response {
    let Client { upgrade: downstream, permit, kind } = client;
    let Answered { response: answer, picked, load, places, began } = answered;
    let (mut response, upgrade) = (answer.response, answer.upgrade);
    response.headers.remove(UNSEEN);
    // Only a proxy of the mesh takes this header off what its application sends.
    if picked.payload.security() == Security::Mtls
        && let Some(failure) = response.headers.get_str(FAILURE).and_then(Failure::find)
    {
        record.failed_by_callee(failure);
    }
    if let Some(fault) = too_large(errand, &response) {
        return fail(record, &fault, kind);
    }
    let session = errand.policy.session.as_ref().map(|session| &session.value);
    if session.is_some() || !errand.affinity.cookies.is_empty() {
        let endpoint = (errand.service, errand.port, picked.endpoint.address);
        affinity::tell(&errand.affinity, session, endpoint, &mut response.headers);
    }
    finish(&mut response);
    record.answered(Some(load));
    if let Some(server) = upgrade {
        record.head(&response, kind);
        record.late(errand.limits.stream_by.map(|by| (by, Failure::StreamTimeout)));
        errand.outbound.worker.splice(record, downstream, server, (permit, places), std::future::pending());
        return response.with_body(Body::empty());
    }
    if !places.is_empty() {
        record.keep(places);
    }
    let by = errand.limits.body_by(began);
    record.late(by);
    if let Some(max) = errand.policy.bodies.as_ref().and_then(|bodies| bodies.value.response) {
        response.body = response.body.limited(max);
    }
    if let Some(limit) = errand.limits.idle {
        response.body = idle::watched(response.body, Idle::new(limit, record.moved()));
    }
    record.attach(response.map_body(|body| limits::bounded(body, by)), kind)
}

/// A body of which it is known beforehand that it is too large.
fn too_large(errand: &Errand<'_>, response: &Response) -> Option<Fault> {
    let bodies = errand.policy.bodies.as_ref()?;
    let (max, size) = (bodies.value.response?, response.body.size_hint()?);
    (size > max).then(|| {
        errand.outbound.worker.telemetry.count(Event::BodyTooLarge);
        let text = format!("the response's body has {size} bytes, and {} allows {max}", bodies.origin);
        Fault::new(Failure::ResponseTooLarge, text)
    })
}

/// Changes of the rule's filters, then fields for browsers, which are nobody else's to set.
pub(super) fn edit(response: &mut Response, plan: &Plan<'_>) {
    for edit in &plan.response {
        edit_headers(edit, &mut HeaderEdits::new(&mut response.headers));
    }
    if let Some(fields) = &plan.cors {
        across(response, fields);
    }
}

fn across(response: &mut Response, fields: &Fields) {
    response.headers.remove_where(|name| cors::RESPONSE_HEADERS.contains(&name));
    for (name, value) in fields {
        let written = match name.as_str() {
            "vary" => response.headers.append("vary", value.as_bytes()),
            name => response.headers.set(name, value.as_bytes()),
        };
        if let Err(error) = written {
            tracing::debug!(name, %error, "a header for browsers cannot be sent");
        }
    }
}

/// An answer of the mesh to a request that failed.
pub(super) fn fail(mut record: Record, fault: &Fault, kind: Kind) -> Response {
    record.fault(fault);
    record.attach(response_to(fault, kind), kind)
}
