//! Values of `mesh.config.v1` that are about services which are asked about requests.

use mesh_proto::config::v1::{
    ExternalAuth, Filter, GlobalRate, GrpcAuth, HttpAuth, InvalidBackend, RateDescriptor, RateEntry,
    RatePart, ServiceTarget, TrafficSettings, external_auth, filter, global_rate, rate_entry,
};

use super::{Case, case, text};

fn target(name: &str, port: u32) -> ServiceTarget {
    ServiceTarget { namespace: text("auth"), name: text(name), port, ..ServiceTarget::default() }
}

fn http() -> HttpAuth {
    HttpAuth {
        path: text("/check"),
        allowed_headers: vec![text("cookie")],
        allowed_response_headers: vec![text("x-user")],
        ..HttpAuth::default()
    }
}

fn grpc() -> GrpcAuth {
    GrpcAuth { allowed_headers: vec![text("x-user")], ..GrpcAuth::default() }
}

/// Who is asked in HTTP.
pub(super) fn external_auth() -> ExternalAuth {
    ExternalAuth {
        target: Some(external_auth::Target::Service(target("opa", 9191))),
        protocol: Some(external_auth::Protocol::Http(http())),
        max_body: 8192,
        timeout_ms: 2000,
        ..ExternalAuth::default()
    }
}

fn nobody() -> ExternalAuth {
    let invalid = InvalidBackend {
        reference: text("Service auth/gone:1"),
        reason: text("BackendNotFound"),
        ..InvalidBackend::default()
    };
    ExternalAuth {
        target: Some(external_auth::Target::Invalid(invalid)),
        protocol: Some(external_auth::Protocol::Grpc(grpc())),
        ..external_auth()
    }
}

fn entry(value: rate_entry::Value) -> RateEntry {
    RateEntry { key: text("user"), value: Some(value), ..RateEntry::default() }
}

fn descriptor() -> RateDescriptor {
    RateDescriptor {
        entries: vec![
            entry(rate_entry::Value::Literal(text("checkout"))),
            entry(rate_entry::Value::Header(text("x-user"))),
            entry(rate_entry::Value::Part(RatePart::ClientNamespace.into())),
            entry(rate_entry::Value::Claim(text("/sub"))),
        ],
        ..RateDescriptor::default()
    }
}

/// A bound that a service counts.
fn global_rate() -> GlobalRate {
    GlobalRate {
        target: Some(global_rate::Target::Service(target("ratelimit", 8081))),
        domain: text("shop"),
        descriptors: vec![descriptor()],
        timeout_ms: 200,
        fail_closed: true,
        ..GlobalRate::default()
    }
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let filter = Filter { filter: Some(filter::Filter::ExternalAuth(external_auth())), ..Filter::default() };
    let settings = TrafficSettings { global_rate: Some(global_rate()), ..TrafficSettings::default() };
    vec![
        case("mesh.config.v1.Filter-externalauth", filter),
        case("mesh.config.v1.ExternalAuth", external_auth()),
        case("mesh.config.v1.ExternalAuth-invalid", nobody()),
        case("mesh.config.v1.GrpcAuth", grpc()),
        case("mesh.config.v1.HttpAuth", http()),
        case("mesh.config.v1.TrafficSettings-globalrate", settings),
        case("mesh.config.v1.GlobalRate", global_rate()),
        case("mesh.config.v1.RateDescriptor", descriptor()),
        case("mesh.config.v1.RateEntry", entry(rate_entry::Value::Literal(text("checkout")))),
        case("mesh.config.v1.RateEntry-header", entry(rate_entry::Value::Header(text("x-user")))),
        case("mesh.config.v1.RateEntry-part", entry(rate_entry::Value::Part(RatePart::Path.into()))),
        case("mesh.config.v1.RateEntry-claim", entry(rate_entry::Value::Claim(text("/sub")))),
    ]
}
