//! Which version of HTTP is spoken to a backend. It must not know how.

use mesh_model::name::ServiceName;
use mesh_model::service::Protocol;
use mesh_model::traffic::effective::BackendPolicy;

use crate::http::{Kind, RequestHead, Wire};
use crate::state::Snapshot;

/// What is declared for that port of a service: by its policy, else by the port.
pub fn declared(
    policy: &BackendPolicy,
    snapshot: &Snapshot,
    service: &ServiceName,
    port: u16,
) -> Option<Protocol> {
    if let Some(protocol) = &policy.protocol {
        return Some(protocol.value);
    }
    snapshot.service(service).and_then(|service| service.port(port)).and_then(|port| port.protocol)
}

/// What a client is taken to speak whose first words are no HTTP at all, where HTTP is declared: its codec refuses them.
pub fn spoken(declared: Protocol) -> Wire {
    match declared {
        Protocol::Http2 | Protocol::Grpc => Wire::Http2,
        Protocol::Http1 | Protocol::Tcp | Protocol::Tls => Wire::Http1,
    }
}

/// Declared beats what the client speaks; an upgrade needs HTTP/1, gRPC needs HTTP/2.
pub fn upstream(head: &RequestHead, declared: Option<Protocol>) -> Wire {
    match declared {
        _ if head.upgrade.is_some() => Wire::Http1,
        _ if head.kind == Kind::Grpc => Wire::Http2,
        Some(Protocol::Http2 | Protocol::Grpc) => Wire::Http2,
        Some(Protocol::Http1) => Wire::Http1,
        Some(Protocol::Tcp | Protocol::Tls) | None => head.wire,
    }
}
