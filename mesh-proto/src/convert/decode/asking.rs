//! Who is asked about requests, from the wire.

use mesh_model::asking::{AuthProtocol, Entry, ExternalAuth, GlobalRate, Part, Unanswered};

use super::field::{Field, Wrong, all};
use super::route::{header_name, header_value, invalid_target, service_target};
use crate::config::v1 as wire;
use crate::convert::bounds;

const UNKNOWN_KIND: &str = "is absent or of a kind that this version does not know";

/// Whom a route or a policy asks whether a request may go on.
pub(super) fn external_auth(field: &Field<'_>, auth: wire::ExternalAuth) -> Result<ExternalAuth, Wrong> {
    use wire::external_auth::{Protocol, Target};
    let target = match auth.target {
        Some(Target::Service(target)) => service_target(&field.at("service"), target)?,
        Some(Target::Invalid(target)) => invalid_target(&field.at("invalid"), target)?,
        None => return Err(field.at("target").wrong(UNKNOWN_KIND)),
    };
    let names = |field: Field<'_>, names| {
        all(field, bounds::CORS, names, |field, name: String| header_name(field, &name))
    };
    let protocol = match auth.protocol {
        Some(Protocol::Grpc(grpc)) => {
            let field = field.at("grpc");
            AuthProtocol::Grpc { allowed_headers: names(field.at("allowed_headers"), grpc.allowed_headers)? }
        }
        Some(Protocol::Http(http)) => {
            let field = field.at("http");
            let allowed_response_headers =
                names(field.at("allowed_response_headers"), http.allowed_response_headers)?;
            AuthProtocol::Http {
                path: path(&field.at("path"), http.path)?,
                allowed_headers: names(field.at("allowed_headers"), http.allowed_headers)?,
                allowed_response_headers,
            }
        }
        None => return Err(field.at("protocol").wrong(UNKNOWN_KIND)),
    };
    Ok(ExternalAuth {
        target,
        protocol,
        max_body: field.at("max_body").at_most(auth.max_body, bounds::REPLAY_BYTES)?,
        timeout: field.at("timeout_ms").some_time(auth.timeout_ms)?,
    })
}

/// Empty, or what can stand before a path.
fn path(field: &Field<'_>, text: String) -> Result<String, Wrong> {
    let text = field.text(text)?;
    let good = |b: u8| b > b' ' && b < 0x7f && !matches!(b, b'?' | b'#');
    if text.is_empty() || (text.starts_with('/') && text.bytes().all(good)) {
        Ok(text)
    } else {
        Err(field.wrong("is no path"))
    }
}

/// A bound that a service counts.
pub(super) fn global_rate(field: &Field<'_>, rate: wire::GlobalRate) -> Result<GlobalRate, Wrong> {
    use wire::global_rate::Target;
    let target = match rate.target {
        Some(Target::Service(target)) => service_target(&field.at("service"), target)?,
        Some(Target::Invalid(target)) => invalid_target(&field.at("invalid"), target)?,
        None => return Err(field.at("target").wrong(UNKNOWN_KIND)),
    };
    let descriptor = |field: &Field<'_>, descriptor: wire::RateDescriptor| {
        all(field.at("entries"), bounds::RATE_KEYS, descriptor.entries, entry)
    };
    Ok(GlobalRate {
        target,
        domain: header_value(&field.at("domain"), rate.domain)?,
        descriptors: all(field.at("descriptors"), bounds::RATE_LIMITS, rate.descriptors, descriptor)?,
        timeout: field.at("timeout_ms").some_time(rate.timeout_ms)?,
        unanswered: if rate.fail_closed { Unanswered::Refuse } else { Unanswered::Pass },
    })
}

fn entry(field: &Field<'_>, entry: wire::RateEntry) -> Result<Entry, Wrong> {
    use wire::rate_entry::Value;
    let value = match entry.value {
        Some(Value::Literal(text)) => Part::Literal(field.at("literal").text(text)?),
        Some(Value::Header(name)) => Part::Header(header_name(&field.at("header"), &name)?),
        Some(Value::Claim(path)) => Part::Claim(field.at("claim").text(path)?),
        Some(Value::Part(part)) => match wire::RatePart::try_from(part) {
            Ok(wire::RatePart::Method) => Part::Method,
            Ok(wire::RatePart::Path) => Part::Path,
            Ok(wire::RatePart::Host) => Part::Host,
            Ok(wire::RatePart::Route) => Part::Route,
            Ok(wire::RatePart::ClientIdentity) => Part::ClientIdentity,
            Ok(wire::RatePart::ClientNamespace) => Part::ClientNamespace,
            Ok(wire::RatePart::ClientWorkload) => Part::ClientWorkload,
            Ok(wire::RatePart::Unspecified) | Err(_) => return Err(field.at("part").unknown(part)),
        },
        None => return Err(field.at("value").wrong(UNKNOWN_KIND)),
    };
    Ok(Entry { key: field.at("key").text(entry.key)?, value })
}
