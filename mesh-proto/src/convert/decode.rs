//! From the wire to the model. It must not apply anything: it only says what a resource means, or where it is wrong.

mod access_log;
mod address;
mod asking;
mod authentication;
mod authorization;
mod external;
mod field;
mod policy;
mod route;
mod stream;
mod telemetry;

use std::net::{IpAddr, SocketAddr};

use mesh_model::endpoint::{Endpoint, EndpointState, Endpoints, PortEndpoints, Transport};
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::route::RouteKind;
use mesh_model::service::{OwnPort, OwnServices, Protocol, Service, ServicePort};
use mesh_model::settings::{MeshSettings, MetricSettings, MtlsMode, OutboundMode, TracingSettings};
use mesh_model::spiffe::{SpiffeId, TrustDomain};

use self::field::{Field, Wrong, all};
use super::{Invalid, ModelResource, bounds};
use crate::config::v1 as wire;

/// The meaning of a resource. Fails also when the name is not the one that the content has: subscribers go by the name.
pub fn decode(resource: wire::Resource) -> Result<ModelResource, Invalid> {
    let wire::Resource { name, version: _, body } = resource;
    body_of(&name, body).map_err(|wrong| Invalid {
        resource: name.chars().take(400).collect(),
        field: wrong.field,
        reason: wrong.reason,
    })
}

fn body_of(name: &str, body: Option<wire::resource::Body>) -> Result<ModelResource, Wrong> {
    let model = match body {
        None => {
            return Err(Field::root()
                .at("body")
                .wrong("is absent or of a kind that this version does not know"));
        }
        Some(wire::resource::Body::Mesh(settings)) => ModelResource::Mesh(mesh(settings)?),
        Some(wire::resource::Body::Service(one)) => ModelResource::Service(service(one)?),
        Some(wire::resource::Body::Endpoints(some)) => ModelResource::Endpoints(endpoints(some)?),
        Some(wire::resource::Body::Route(one)) => ModelResource::Route(route::route(one)?),
        Some(wire::resource::Body::Policy(one)) => ModelResource::Policy(policy::policy(one)?),
        Some(wire::resource::Body::Own(all)) => ModelResource::Own(own(all)?),
        Some(wire::resource::Body::Address(one)) => ModelResource::Address(address::address(one)?),
        Some(wire::resource::Body::Host(one)) => ModelResource::Host(external::host(one)?),
        Some(wire::resource::Body::External(one)) => ModelResource::External(external::external(one)?),
        Some(wire::resource::Body::Authorization(one)) => {
            ModelResource::Authorization(authorization::authorization(one)?)
        }
        Some(wire::resource::Body::Stream(one)) => ModelResource::Stream(stream::stream(one)?),
        Some(wire::resource::Body::Authentication(one)) => {
            ModelResource::Authentication(authentication::authentication(one)?)
        }
    };
    let own = model.name();
    if own == name {
        Ok(model)
    } else {
        Err(Field::root().at("name").wrong(format!("should be `{own}`, after the content")))
    }
}

/// An unspecified mTLS mode is `Strict` and an unspecified outbound mode `AllowAny`, the defaults of `MeshConfig`. A mode
/// that is not known is an error: the mesh does not guess how open it should be.
fn mesh(settings: wire::MeshSettings) -> Result<MeshSettings, Wrong> {
    let root = Field::root();
    let mtls_mode = mtls_mode(&root.at("mtls_mode"), settings.mtls_mode)?;
    let outbound_mode = match wire::OutboundMode::try_from(settings.outbound_mode) {
        Ok(wire::OutboundMode::Unspecified | wire::OutboundMode::AllowAny) => OutboundMode::AllowAny,
        Ok(wire::OutboundMode::RegistryOnly) => OutboundMode::RegistryOnly,
        Err(_) => return Err(root.at("outbound_mode").unknown(settings.outbound_mode)),
    };
    Ok(MeshSettings {
        trust_domain: TrustDomain::new(&settings.trust_domain)
            .map_err(|e| root.at("trust_domain").refused(&e))?,
        mtls_mode,
        outbound_mode,
        trace_sample_ppm: root.at("trace_sample_ppm").at_most(settings.trace_sample_ppm, bounds::PPM)?,
        access_log: settings
            .access_log
            .then(|| access_log::access_log(&root.at("access_log_settings"), settings.access_log_settings))
            .transpose()?,
        access_log_overrides: access_log::overrides(
            root.at("access_log_overrides"),
            settings.access_log_overrides,
        )?,
        metrics: settings
            .metrics
            .map(|metrics| MetricSettings { istio: metrics.istio, linkerd: metrics.linkerd })
            .unwrap_or_default(),
        tracing: match settings.tracing {
            Some(tracing) => telemetry::tracing(&root.at("tracing"), tracing)?,
            None => TracingSettings::default(),
        },
        open_telemetry: match settings.open_telemetry {
            Some(collector) => Some(telemetry::open_telemetry(&root.at("open_telemetry"), collector)?),
            None => None,
        },
    })
}

/// Unspecified is the strictest; what is not known is an error.
fn mtls_mode(field: &Field<'_>, mode: i32) -> Result<MtlsMode, Wrong> {
    match wire::MtlsMode::try_from(mode) {
        Ok(wire::MtlsMode::Unspecified | wire::MtlsMode::Strict) => Ok(MtlsMode::Strict),
        Ok(wire::MtlsMode::Permissive) => Ok(MtlsMode::Permissive),
        Ok(wire::MtlsMode::Disabled) => Ok(MtlsMode::Disabled),
        Err(_) => Err(field.unknown(mode)),
    }
}

/// A protocol that is not known counts as not declared: the proxy finds out.
fn service(service: wire::Service) -> Result<Service, Wrong> {
    let root = Field::root();
    let ports = all(root.at("ports"), bounds::PORTS, service.ports, |field, port| {
        Ok(ServicePort {
            port: field.at("port").port(port.port)?,
            protocol: protocol(port.protocol()),
            name: field.at("name").text(port.name)?,
        })
    })?;
    let addresses = all(root.at("addresses"), bounds::ADDRESSES, service.addresses, |field, text| {
        text.parse::<IpAddr>().map_err(|_| field.wrong("is not an IP address"))
    })?;
    let name = service_name(&root, &service.namespace, &service.name)?;
    Ok(Service { name, ports, addresses, headless: service.headless })
}

fn protocol(protocol: wire::Protocol) -> Option<Protocol> {
    match protocol {
        wire::Protocol::Unspecified => None,
        wire::Protocol::Http1 => Some(Protocol::Http1),
        wire::Protocol::Http2 => Some(Protocol::Http2),
        wire::Protocol::Grpc => Some(Protocol::Grpc),
        wire::Protocol::Tcp => Some(Protocol::Tcp),
        wire::Protocol::Tls => Some(Protocol::Tls),
    }
}

fn route_kind(field: &Field<'_>, kind: i32) -> Result<RouteKind, Wrong> {
    match wire::RouteKind::try_from(kind) {
        Ok(wire::RouteKind::Http) => Ok(RouteKind::Http),
        Ok(wire::RouteKind::Grpc) => Ok(RouteKind::Grpc),
        Ok(wire::RouteKind::Unspecified) | Err(_) => Err(field.unknown(kind)),
    }
}

fn own(own: wire::OwnServices) -> Result<OwnServices, Wrong> {
    let root = Field::root();
    let mut ports = all(root.at("ports"), bounds::OWN, own.ports, |field, port| {
        Ok(OwnPort {
            address: address(&field.at("address"), &port.address)?,
            service: service_name(field, &port.namespace, &port.name)?,
            port: field.at("port").port(port.port)?,
        })
    })?;
    ports.sort_unstable();
    ports.dedup();
    Ok(OwnServices { ports })
}

/// `IP:PORT`, where something can be reached.
fn address(field: &Field<'_>, text: &str) -> Result<SocketAddr, Wrong> {
    let address = text.parse::<SocketAddr>().map_err(|_| field.wrong("is not IP:PORT"))?;
    if address.port() == 0 { Err(field.wrong("has port 0")) } else { Ok(address) }
}

fn endpoints(endpoints: wire::Endpoints) -> Result<Endpoints, Wrong> {
    let root = Field::root();
    let total: usize = endpoints.ports.iter().map(|port| port.endpoints.len()).sum();
    if total > bounds::ENDPOINTS {
        return Err(root
            .at("ports")
            .wrong(format!("have {total} endpoints, more than {}", bounds::ENDPOINTS)));
    }
    let ports = all(root.at("ports"), bounds::PORTS, endpoints.ports, |field, port| {
        let service_port = field.at("service_port").port(port.service_port)?;
        let some = all(field.at("endpoints"), bounds::ENDPOINTS, port.endpoints, endpoint)?;
        Ok(PortEndpoints::new(service_port, some))
    })?;
    Ok(Endpoints { service: service_name(&root, &endpoints.namespace, &endpoints.name)?, ports })
}

/// A state that is not known counts as draining, an unspecified one as ready: an endpoint that could not be used is the
/// lesser evil only while others are ready.
fn endpoint(field: &Field<'_>, endpoint: wire::Endpoint) -> Result<Endpoint, Wrong> {
    let address = address(&field.at("address"), &endpoint.address)?;
    let transport = transport(field, &endpoint.identity)?;
    let workload = workload(field, &endpoint.workload_namespace, &endpoint.workload)?;
    let state = match wire::EndpointState::try_from(endpoint.state) {
        Ok(wire::EndpointState::Unspecified | wire::EndpointState::Ready) => EndpointState::Ready,
        Ok(wire::EndpointState::Draining) | Err(_) => EndpointState::Draining,
    };
    Ok(Endpoint {
        address,
        transport,
        workload,
        zone: field.at("zone").text(endpoint.zone)?,
        state,
        weight: field.at("weight").at_most(endpoint.weight, bounds::WEIGHT)?.max(1),
        priority: field.at("priority").at_most(endpoint.priority, bounds::PRIORITY)?,
    })
}

/// An identity that cannot be read must never become plaintext.
fn transport(field: &Field<'_>, identity: &str) -> Result<Transport, Wrong> {
    if identity.is_empty() {
        return Ok(Transport::Plain);
    }
    SpiffeId::parse(identity).map(Transport::Mesh).map_err(|e| field.at("identity").refused(&e))
}

fn workload(field: &Field<'_>, namespace: &str, name: &str) -> Result<Option<WorkloadName>, Wrong> {
    if namespace.is_empty() && name.is_empty() {
        return Ok(None);
    }
    WorkloadName::new(namespace, name).map(Some).map_err(|e| field.at("workload").refused(&e))
}

/// Namespace and name of a service; the field is the one that holds both.
fn service_name(field: &Field<'_>, namespace: &str, name: &str) -> Result<ServiceName, Wrong> {
    ServiceName::new(namespace, name).map_err(|e| field.at(e.what).refused(&e))
}
