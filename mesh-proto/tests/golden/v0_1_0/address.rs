//! Values of `mesh.config.v1` about addresses and connections.

use mesh_proto::config::v1::{
    Address, AsDialled, Backend, Endpoint, EndpointState, ExternalPort, ExternalService, Hello,
    HostAddresses, HostEntry, HostNames, Member, ParentRef, Protocol, Resource, Served, ServedPort,
    ServiceRef, ServiceTarget, StreamKind, StreamRoute, Subscribe, TlsOrigination, Update, address, backend,
    external_service, host_entry, resource,
};

use super::{Case, case, text};

fn service() -> ServiceRef {
    ServiceRef { namespace: text("shop"), name: text("cart") }
}

fn port() -> ServedPort {
    let endpoint = Endpoint {
        address: text("10.0.0.1:15080"),
        identity: text("spiffe://td/ns/shop/sa/cart"),
        workload_namespace: text("shop"),
        workload: text("cart"),
        zone: text("a"),
        state: EndpointState::Draining.into(),
        weight: 2,
        priority: 1,
        ..Endpoint::default()
    };
    ServedPort { port: 8080, endpoint: Some(endpoint), service: Some(service()), service_port: 80 }
}

fn member() -> Member {
    Member {
        identity: text("spiffe://td/ns/shop/sa/cart"),
        workload_namespace: text("shop"),
        workload: text("cart"),
        zone: text("a"),
    }
}

fn served() -> Served {
    Served { ports: vec![port()], others: Some(member()) }
}

fn address(meaning: address::Meaning) -> Address {
    Address { ip: text("10.0.0.1"), meaning: Some(meaning) }
}

fn resource(address: Address) -> Resource {
    Resource {
        name: text("address/10.0.0.1"),
        version: text("0123456789abcdef"),
        body: Some(resource::Body::Address(address)),
    }
}

fn stream() -> StreamRoute {
    let service =
        ServiceTarget { namespace: text("shop"), name: text("cart"), port: 90, ..ServiceTarget::default() };
    let parent = ParentRef { namespace: text("shop"), name: text("db"), port: 80, ..ParentRef::default() };
    StreamRoute {
        kind: StreamKind::Tls.into(),
        namespace: text("bank"),
        name: text("r"),
        parents: vec![parent],
        hosts: vec![text("a.example"), text("*.example")],
        rule: text("main"),
        backends: vec![Backend {
            target: Some(backend::Target::Service(service)),
            weight: 3,
            ..Backend::default()
        }],
        created: 7,
        origin: text("routes.yaml:3"),
    }
}

fn external() -> ExternalService {
    let tls = TlsOrigination { sni: text("api.example"), ca: text("PEM") };
    let port = ExternalPort { port: 80, target: 443, protocol: Protocol::Http1.into(), tls: Some(tls) };
    let names = HostNames { hosts: vec![text("origin.example")] };
    ExternalService {
        namespace: text("shop"),
        name: text("api"),
        hosts: vec![text("api.example"), text("*.eu.example")],
        ports: vec![port],
        resolution: Some(external_service::Resolution::Dns(names)),
        origin: text("external.yaml:1"),
    }
}

fn host(meaning: host_entry::Meaning) -> HostEntry {
    HostEntry { host: text("api.example"), meaning: Some(meaning) }
}

fn addresses() -> HostAddresses {
    HostAddresses { ips: vec![text("10.0.0.1"), text("fd00::1")] }
}

/// Hosts, and what is outside the mesh.
pub(super) fn hosts() -> Vec<Case> {
    let resolved = |resolution| ExternalService { resolution: Some(resolution), ..external() };
    let named = |name: &str, body| Resource { name: text(name), version: text("1"), body: Some(body) };
    vec![
        case("mesh.config.v1.ExternalService", external()),
        case(
            "mesh.config.v1.ExternalService-static",
            resolved(external_service::Resolution::Static(addresses())),
        ),
        case(
            "mesh.config.v1.ExternalService-dialled",
            resolved(external_service::Resolution::AsDialled(AsDialled {})),
        ),
        case("mesh.config.v1.AsDialled", AsDialled {}),
        case("mesh.config.v1.ExternalPort", external().ports.remove(0)),
        case("mesh.config.v1.TlsOrigination", TlsOrigination { sni: text("a"), ca: text("b") }),
        case("mesh.config.v1.HostAddresses", addresses()),
        case("mesh.config.v1.HostNames", HostNames { hosts: vec![text("a")] }),
        case("mesh.config.v1.HostEntry", host(host_entry::Meaning::Service(service()))),
        case("mesh.config.v1.HostEntry-endpoints", host(host_entry::Meaning::Endpoints(addresses()))),
        case("mesh.config.v1.HostEntry-alias", host(host_entry::Meaning::Alias(text("b.example")))),
        case("mesh.config.v1.HostEntry-external", host(host_entry::Meaning::External(service()))),
        case(
            "mesh.config.v1.Resource-host",
            named("host/api.example", resource::Body::Host(host(host_entry::Meaning::Service(service())))),
        ),
        case(
            "mesh.config.v1.Resource-external",
            named("externalservice/shop/api", resource::Body::External(external())),
        ),
    ]
}

/// Addresses, and how they are asked for; routes of connections.
pub(super) fn cases() -> Vec<Case> {
    let sought = || vec![text("10.0.0.1"), text("api.example.com")];
    vec![
        case("mesh.config.v1.Address", address(address::Meaning::Served(served()))),
        case("mesh.config.v1.Address-service", address(address::Meaning::Service(service()))),
        case("mesh.config.v1.ServiceRef", service()),
        case("mesh.config.v1.Served", served()),
        case("mesh.config.v1.ServedPort", port()),
        case("mesh.config.v1.Member", member()),
        case("mesh.config.v1.Resource-address", resource(address(address::Meaning::Service(service())))),
        case("mesh.config.v1.Hello-sought", Hello { sought: sought(), ..Hello::default() }),
        case(
            "mesh.config.v1.Subscribe-sought",
            Subscribe { add_sought: sought(), remove_sought: sought(), ..Subscribe::default() },
        ),
        case("mesh.config.v1.StreamRoute", stream()),
        case(
            "mesh.config.v1.Resource-stream",
            Resource {
                name: text("tlsroute/bank/r"),
                version: text("0123456789abcdef"),
                body: Some(resource::Body::Stream(stream())),
            },
        ),
        case("mesh.config.v1.Update-sought", Update { unknown_sought: sought(), ..Update::default() }),
    ]
}
