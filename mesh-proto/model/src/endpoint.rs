//! Endpoints: where a service's port is served now. They must not know how one of them is picked (`proxy::balance`).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::name::{ServiceName, WorkloadName};
use crate::spiffe::SpiffeId;

/// How much an endpoint may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndpointState {
    /// Takes requests.
    Ready,
    /// Terminating but still serving: used only when nothing is ready.
    Draining,
}

/// How to talk to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A member of the mesh: mutual TLS, and the server must show this identity.
    Mesh(SpiffeId),
    /// Not a member: plaintext.
    Plain,
}

/// One place where a service's port is served.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// How to talk to it.
    pub transport: Transport,
    /// Which workload it belongs to, if known.
    pub workload: Option<WorkloadName>,
    /// Zone, empty if not known.
    pub zone: String,
    /// How much it may be used.
    pub state: EndpointState,
    /// Its share relative to the others; 1 unless the source says otherwise, at least 1.
    pub weight: u32,
    /// 0 is used first; others take what it cannot.
    pub priority: u32,
}

/// The endpoints of one port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortEndpoints {
    /// The service's port.
    pub service_port: u16,
    /// Sorted by address, without duplicates.
    pub endpoints: Vec<Endpoint>,
}

impl PortEndpoints {
    /// Sorts by address. Of several endpoints with one address the first one given stays.
    pub fn new(service_port: u16, mut endpoints: Vec<Endpoint>) -> Self {
        endpoints.sort_by_key(|endpoint| endpoint.address);
        endpoints.dedup_by_key(|endpoint| endpoint.address);
        Self { service_port, endpoints }
    }
}

/// All endpoints of a service. Travels apart from the service, since it changes far more often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Of which service.
    pub service: ServiceName,
    /// One entry a port.
    pub ports: Vec<PortEndpoints>,
}

impl Endpoints {
    /// The addresses at which some port is served, each once, in order; those that are draining only when nothing is ready.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let of = |state| {
            let all = self.ports.iter().flat_map(|port| &port.endpoints);
            let ips = all.filter(|endpoint| endpoint.state == state).map(|endpoint| endpoint.address.ip());
            ips.map(|ip| ip.to_canonical()).collect::<BTreeSet<_>>()
        };
        let ready = of(EndpointState::Ready);
        if ready.is_empty() { of(EndpointState::Draining) } else { ready }.into_iter().collect()
    }

    /// The endpoints of that port, empty if there are none.
    pub fn port(&self, service_port: u16) -> &[Endpoint] {
        self.ports.iter().find(|p| p.service_port == service_port).map_or(&[], |p| &p.endpoints)
    }
}
