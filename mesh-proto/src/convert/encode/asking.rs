//! Who is asked about requests, on the wire.

use mesh_model::asking::{AuthProtocol, Entry, ExternalAuth, GlobalRate, Part, Unanswered};
use mesh_model::route::BackendTarget;

use super::{invalid, millis, service_target};
use crate::config::v1 as wire;

/// Whom a route or a policy asks whether a request may go on.
pub(super) fn external_auth(auth: &ExternalAuth) -> wire::ExternalAuth {
    use wire::external_auth::{Protocol, Target};
    let target = match &auth.target {
        BackendTarget::Service { service, port } => Target::Service(service_target(service, *port)),
        BackendTarget::Invalid { reference, reason } => Target::Invalid(invalid(reference, reason)),
    };
    let protocol = match &auth.protocol {
        AuthProtocol::Grpc { allowed_headers } => {
            Protocol::Grpc(wire::GrpcAuth { allowed_headers: allowed_headers.clone() })
        }
        AuthProtocol::Http { path, allowed_headers, allowed_response_headers } => {
            Protocol::Http(wire::HttpAuth {
                path: path.clone(),
                allowed_headers: allowed_headers.clone(),
                allowed_response_headers: allowed_response_headers.clone(),
            })
        }
    };
    wire::ExternalAuth {
        target: Some(target),
        protocol: Some(protocol),
        max_body: auth.max_body,
        timeout_ms: millis(auth.timeout),
    }
}

/// A bound that a service counts.
pub(super) fn global_rate(rate: &GlobalRate) -> wire::GlobalRate {
    use wire::global_rate::Target;
    let target = match &rate.target {
        BackendTarget::Service { service, port } => Target::Service(service_target(service, *port)),
        BackendTarget::Invalid { reference, reason } => Target::Invalid(invalid(reference, reason)),
    };
    let descriptor =
        |entries: &Vec<Entry>| wire::RateDescriptor { entries: entries.iter().map(entry).collect() };
    wire::GlobalRate {
        target: Some(target),
        domain: rate.domain.clone(),
        descriptors: rate.descriptors.iter().map(descriptor).collect(),
        timeout_ms: millis(rate.timeout),
        fail_closed: rate.unanswered == Unanswered::Refuse,
    }
}

fn entry(entry: &Entry) -> wire::RateEntry {
    use wire::rate_entry::Value;
    let part = |part: wire::RatePart| Value::Part(part.into());
    let value = match &entry.value {
        Part::Literal(text) => Value::Literal(text.clone()),
        Part::Header(name) => Value::Header(name.clone()),
        Part::Claim(path) => Value::Claim(path.clone()),
        Part::Method => part(wire::RatePart::Method),
        Part::Path => part(wire::RatePart::Path),
        Part::Host => part(wire::RatePart::Host),
        Part::Route => part(wire::RatePart::Route),
        Part::ClientIdentity => part(wire::RatePart::ClientIdentity),
        Part::ClientNamespace => part(wire::RatePart::ClientNamespace),
        Part::ClientWorkload => part(wire::RatePart::ClientWorkload),
    };
    wire::RateEntry { key: entry.key.clone(), value: Some(value) }
}
