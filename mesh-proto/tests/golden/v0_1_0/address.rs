//! Values of `mesh.config.v1` about addresses.

use mesh_proto::config::v1::{
    Address, Endpoint, EndpointState, Hello, Member, Resource, Served, ServedPort, ServiceRef, Subscribe,
    Update, address, resource,
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

/// Addresses, and how they are asked for.
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
        case("mesh.config.v1.Update-sought", Update { unknown_sought: sought(), ..Update::default() }),
    ]
}
