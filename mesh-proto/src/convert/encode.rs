//! From the model to the wire. It cannot fail and must not decide: what the model says is what is sent.

mod access_log;
mod address;
mod asking;
mod authentication;
mod authorization;
mod external;
mod policy;
mod stream;
mod telemetry;

use std::time::Duration;

use mesh_model::compare::Compare;
use mesh_model::endpoint::{Endpoint, EndpointState, Endpoints, Transport};
use mesh_model::name::ServiceName;
use mesh_model::route::{
    Backend, BackendTarget, Cors, Filter, GrpcMatch, HeaderEdit, Match, Mirror, ParentRef, PathMatch,
    PathRewrite, Pattern, Redirect, Route, RouteKind, Rule, Target, TextMatch, UrlRewrite, ValueMatch,
};
use mesh_model::service::{OwnServices, Protocol, Service};
use mesh_model::settings::{MeshSettings, MetricSettings, MtlsMode, OutboundMode};

pub use self::authentication::authentication;
pub use self::policy::policy;
use super::ModelResource;
use crate::config::v1 as wire;

/// The wire form, with `version` left empty: see [`ModelResource::version`].
pub fn encode(resource: &ModelResource) -> wire::Resource {
    let body = match resource {
        ModelResource::Mesh(settings) => wire::resource::Body::Mesh(mesh(settings)),
        ModelResource::Service(one) => wire::resource::Body::Service(service(one)),
        ModelResource::Endpoints(all) => wire::resource::Body::Endpoints(endpoints(all)),
        ModelResource::Route(one) => wire::resource::Body::Route(route(one)),
        ModelResource::Policy(one) => wire::resource::Body::Policy(policy(one)),
        ModelResource::Own(all) => wire::resource::Body::Own(own(all)),
        ModelResource::Address(one) => wire::resource::Body::Address(address::address(one)),
        ModelResource::Host(one) => wire::resource::Body::Host(external::host(one)),
        ModelResource::External(one) => wire::resource::Body::External(external::external(one)),
        ModelResource::Authorization(one) => {
            wire::resource::Body::Authorization(authorization::authorization(one))
        }
        ModelResource::Stream(one) => wire::resource::Body::Stream(stream::stream(one)),
        ModelResource::Authentication(one) => wire::resource::Body::Authentication(authentication(one)),
    };
    wire::Resource { name: resource.name(), version: String::new(), body: Some(body) }
}

/// Settings.
pub fn mesh(settings: &MeshSettings) -> wire::MeshSettings {
    let outbound_mode = match settings.outbound_mode {
        OutboundMode::AllowAny => wire::OutboundMode::AllowAny,
        OutboundMode::RegistryOnly => wire::OutboundMode::RegistryOnly,
    };
    wire::MeshSettings {
        trust_domain: settings.trust_domain.to_string(),
        mtls_mode: mtls_mode(settings.mtls_mode).into(),
        outbound_mode: outbound_mode.into(),
        trace_sample_ppm: settings.trace_sample_ppm,
        access_log: settings.access_log.is_some(),
        // Nothing where nothing is asked for: the version of such a resource stays what it was.
        metrics: (settings.metrics != MetricSettings::default()).then_some(wire::MetricSettings {
            istio: settings.metrics.istio,
            linkerd: settings.metrics.linkerd,
        }),
        tracing: telemetry::tracing(settings.tracing),
        open_telemetry: settings.open_telemetry.as_deref().map(telemetry::open_telemetry),
        access_log_settings: settings.access_log.as_ref().map(access_log::access_log),
        access_log_overrides: settings.access_log_overrides.iter().map(access_log::over).collect(),
    }
}

fn mtls_mode(mode: MtlsMode) -> wire::MtlsMode {
    match mode {
        MtlsMode::Strict => wire::MtlsMode::Strict,
        MtlsMode::Permissive => wire::MtlsMode::Permissive,
        MtlsMode::Disabled => wire::MtlsMode::Disabled,
    }
}

/// A service.
pub fn service(service: &Service) -> wire::Service {
    wire::Service {
        namespace: service.name.0.namespace().to_owned(),
        name: service.name.0.name().to_owned(),
        ports: service
            .ports
            .iter()
            .map(|port| wire::ServicePort {
                port: port.port.into(),
                name: port.name.clone(),
                protocol: protocol(port.protocol).into(),
            })
            .collect(),
        addresses: service.addresses.iter().map(ToString::to_string).collect(),
        headless: service.headless,
    }
}

fn protocol(protocol: Option<Protocol>) -> wire::Protocol {
    match protocol {
        None => wire::Protocol::Unspecified,
        Some(Protocol::Http1) => wire::Protocol::Http1,
        Some(Protocol::Http2) => wire::Protocol::Http2,
        Some(Protocol::Grpc) => wire::Protocol::Grpc,
        Some(Protocol::Tcp) => wire::Protocol::Tcp,
        Some(Protocol::Tls) => wire::Protocol::Tls,
    }
}

/// What a workload serves.
pub fn own(own: &OwnServices) -> wire::OwnServices {
    let port = |port: &mesh_model::service::OwnPort| wire::OwnPort {
        address: port.address.to_string(),
        namespace: port.service.0.namespace().to_owned(),
        name: port.service.0.name().to_owned(),
        port: port.port.into(),
    };
    wire::OwnServices { ports: own.ports.iter().map(port).collect() }
}

/// The endpoints of a service.
pub fn endpoints(endpoints: &Endpoints) -> wire::Endpoints {
    wire::Endpoints {
        namespace: endpoints.service.0.namespace().to_owned(),
        name: endpoints.service.0.name().to_owned(),
        ports: endpoints
            .ports
            .iter()
            .map(|port| wire::PortEndpoints {
                service_port: port.service_port.into(),
                endpoints: port.endpoints.iter().map(endpoint).collect(),
            })
            .collect(),
    }
}

fn endpoint(endpoint: &Endpoint) -> wire::Endpoint {
    let workload = endpoint.workload.as_ref().map(|workload| &workload.0);
    let state = match endpoint.state {
        EndpointState::Ready => wire::EndpointState::Ready,
        EndpointState::Draining => wire::EndpointState::Draining,
    };
    wire::Endpoint {
        address: endpoint.address.to_string(),
        identity: match &endpoint.transport {
            Transport::Mesh(id) => id.to_string(),
            Transport::Plain => String::new(),
        },
        workload_namespace: workload.map(|name| name.namespace().to_owned()).unwrap_or_default(),
        workload: workload.map(|name| name.name().to_owned()).unwrap_or_default(),
        zone: endpoint.zone.clone(),
        state: state.into(),
        // Left out where it says nothing, so that the bytes and the version are those of older controllers.
        weight: if endpoint.weight == 1 { 0 } else { endpoint.weight },
        priority: endpoint.priority,
    }
}

/// A route.
pub fn route(route: &Route) -> wire::Route {
    wire::Route {
        kind: route_kind(route.id.kind).into(),
        namespace: route.id.name.namespace().to_owned(),
        name: route.id.name.name().to_owned(),
        parents: route.parents.iter().map(parent).collect(),
        rules: route.rules.iter().map(rule).collect(),
        created: route.created,
        origin: route.origin.clone(),
    }
}

fn parent(parent: &ParentRef) -> wire::ParentRef {
    wire::ParentRef {
        namespace: parent.service.0.namespace().to_owned(),
        name: parent.service.0.name().to_owned(),
        port: parent.port.unwrap_or(0).into(),
    }
}

fn route_kind(kind: RouteKind) -> wire::RouteKind {
    match kind {
        RouteKind::Http => wire::RouteKind::Http,
        RouteKind::Grpc => wire::RouteKind::Grpc,
    }
}

fn rule(rule: &Rule) -> wire::Rule {
    wire::Rule {
        name: rule.name.clone().unwrap_or_default(),
        matches: rule.matches.iter().map(one_match).collect(),
        filters: rule.filters.iter().map(filter).collect(),
        backends: rule.backends.iter().map(backend).collect(),
        request_timeout_ms: rule.timeouts.request.map(millis),
        backend_request_timeout_ms: rule.timeouts.backend_request.map(millis),
        retry: rule.retry.as_ref().map(|retry| wire::RuleRetry {
            statuses: retry.statuses.iter().copied().map(u32::from).collect(),
            attempts: retry.attempts,
            backoff_ms: retry.backoff.map(millis),
        }),
        session: rule.session.as_ref().map(policy::session),
    }
}

/// Milliseconds, rounded up: rounding down could turn a limit into none.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn one_match(one: &Match) -> wire::Match {
    let target = match &one.target {
        Target::Http { path, method, query } => wire::r#match::Target::Http(wire::HttpTarget {
            path: Some(wire::PathMatch {
                kind: Some(match path {
                    PathMatch::Exact(text) => wire::path_match::Kind::Exact(text.clone()),
                    PathMatch::Prefix(text) => wire::path_match::Kind::Prefix(text.clone()),
                    PathMatch::Regex(pattern) => wire::path_match::Kind::Regex(pattern.source().to_owned()),
                }),
            }),
            method: method.clone().unwrap_or_default(),
            query: query.iter().map(condition).collect(),
        }),
        Target::Grpc(call) => wire::r#match::Target::Grpc(grpc(call)),
    };
    wire::Match { headers: one.headers.iter().map(condition).collect(), target: Some(target) }
}

/// The wire has one type for service and method together, as GRPCRoute does. A model that mixes them (no object can)
/// is sent as two expressions.
fn grpc(call: &GrpcMatch) -> wire::GrpcTarget {
    let parts = [&call.service, &call.method];
    let regex = parts.iter().any(|part| matches!(part, Some(TextMatch::Regex(_))));
    let [service, method] = parts.map(|part| match part {
        None => String::new(),
        Some(TextMatch::Exact(text)) if regex => Pattern::literal(text),
        Some(TextMatch::Exact(text)) => text.clone(),
        Some(TextMatch::Regex(pattern)) => pattern.source().to_owned(),
    });
    wire::GrpcTarget { regex, service, method }
}

fn condition(condition: &ValueMatch) -> wire::ValueMatch {
    let kind = match &condition.value {
        TextMatch::Exact(text) => wire::value_match::Kind::Exact(text.clone()),
        TextMatch::Regex(pattern) => wire::value_match::Kind::Regex(pattern.source().to_owned()),
    };
    wire::ValueMatch { name: condition.name.clone(), kind: Some(kind) }
}

fn filter(filter: &Filter) -> wire::Filter {
    let filter = match filter {
        Filter::RequestHeaders(edit) => wire::filter::Filter::RequestHeaders(header_edit(edit)),
        Filter::ResponseHeaders(edit) => wire::filter::Filter::ResponseHeaders(header_edit(edit)),
        Filter::Redirect(Redirect { scheme, hostname, path, port, status }) => {
            wire::filter::Filter::Redirect(wire::Redirect {
                scheme: scheme.clone().unwrap_or_default(),
                hostname: hostname.clone().unwrap_or_default(),
                path: path.as_ref().map(path_rewrite),
                port: port.unwrap_or(0).into(),
                status: (*status).into(),
            })
        }
        Filter::Rewrite(UrlRewrite { hostname, path }) => wire::filter::Filter::Rewrite(wire::UrlRewrite {
            hostname: hostname.clone().unwrap_or_default(),
            path: path.as_ref().map(path_rewrite),
        }),
        Filter::Mirror(one) => wire::filter::Filter::Mirror(mirror(one)),
        Filter::Cors(one) => wire::filter::Filter::Cors(cors(one)),
        Filter::ExternalAuth(one) => wire::filter::Filter::ExternalAuth(asking::external_auth(one)),
    };
    wire::Filter { filter: Some(filter) }
}

fn mirror(mirror: &Mirror) -> wire::Mirror {
    let target = match &mirror.target {
        BackendTarget::Service { service, port } => {
            wire::mirror::Target::Service(service_target(service, *port))
        }
        BackendTarget::Invalid { reference, reason } => {
            wire::mirror::Target::Invalid(invalid(reference, reason))
        }
    };
    let compare = mirror.compare.as_deref().map(compare);
    wire::Mirror { target: Some(target), share_ppm: mirror.share.0, compare }
}

fn compare(compare: &Compare) -> wire::Compare {
    wire::Compare {
        headers: compare.headers.clone(),
        body: compare.body,
        sample_ppm: compare.sample.0,
        twin_ppm: compare.twins.0,
        ignore_paths: compare.ignore.iter().map(ToString::to_string).collect(),
        values: compare.values,
    }
}

fn cors(cors: &Cors) -> wire::Cors {
    wire::Cors {
        allow_origins: cors.allow_origins.clone(),
        allow_credentials: cors.allow_credentials,
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        max_age_ms: millis(cors.max_age),
    }
}

fn headers(all: &[(String, String)]) -> Vec<wire::Header> {
    all.iter().map(|(name, value)| wire::Header { name: name.clone(), value: value.clone() }).collect()
}

fn header_edit(edit: &HeaderEdit) -> wire::HeaderEdit {
    wire::HeaderEdit { set: headers(&edit.set), add: headers(&edit.add), remove: edit.remove.clone() }
}

fn path_rewrite(rewrite: &PathRewrite) -> wire::PathRewrite {
    let kind = match rewrite {
        PathRewrite::Full(text) => wire::path_rewrite::Kind::Full(text.clone()),
        PathRewrite::Prefix(text) => wire::path_rewrite::Kind::Prefix(text.clone()),
    };
    wire::PathRewrite { kind: Some(kind) }
}

fn backend(backend: &Backend) -> wire::Backend {
    let target = match &backend.target {
        BackendTarget::Service { service, port } => {
            wire::backend::Target::Service(service_target(service, *port))
        }
        BackendTarget::Invalid { reference, reason } => {
            wire::backend::Target::Invalid(invalid(reference, reason))
        }
    };
    wire::Backend {
        weight: backend.weight,
        filters: backend.filters.iter().map(filter).collect(),
        takes: backend.takes.iter().map(condition).collect(),
        target: Some(target),
    }
}

fn service_target(service: &ServiceName, port: u16) -> wire::ServiceTarget {
    wire::ServiceTarget {
        namespace: service.0.namespace().to_owned(),
        name: service.0.name().to_owned(),
        port: port.into(),
    }
}

fn invalid(reference: &str, reason: &str) -> wire::InvalidBackend {
    wire::InvalidBackend { reference: reference.to_owned(), reason: reason.to_owned() }
}
