//! What an IP address is: a virtual address of a service, or an address at which something is served. They must not know who asks
//! or how an answer travels.
//!
//! A connection that was captured has nothing but the address and port that the application dialled. A virtual address leads to the
//! service, with its routes; an endpoint's own address leads to that endpoint and to no other one: routes do not count.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::endpoint::{Endpoint, EndpointState, Transport};
use crate::host::Host;
use crate::name::{ServiceName, WorkloadName};

/// What a proxy asks about when it has no service's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sought {
    /// An IP address, never an IPv4 one dressed as IPv6.
    Address(IpAddr),
    /// A host, in lower case and without a final dot.
    Host(Host),
}

/// Why a text is neither an address nor a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither an IP address nor a host name")]
pub struct InvalidSought {
    /// The text as given, cut at 80 characters.
    pub text: String,
}

impl Sought {
    /// That address.
    pub fn address(ip: IpAddr) -> Self {
        Self::Address(ip.to_canonical())
    }

    /// From a text that is an address or a host. Case and a final dot mean nothing.
    pub fn parse(text: &str) -> Result<Self, InvalidSought> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::address(ip));
        }
        let host = Host::parse(text);
        host.map(Self::Host).ok_or_else(|| InvalidSought { text: text.chars().take(80).collect() })
    }
}

impl fmt::Display for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Host(host) => f.write_str(host.as_str()),
        }
    }
}

/// An address and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// What it is.
    pub meaning: Meaning,
}

/// What an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A virtual address of that service. Its ports are the service's.
    Service(ServiceName),
    /// An address at which something is served.
    Served(Served),
}

/// What is served at an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Served {
    /// By port, each once.
    pub ports: Vec<ServedPort>,
    /// The workload whose sidecar takes every other port too. `None`: nothing is known of other ports.
    pub others: Option<Member>,
}

/// A port of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedPort {
    /// As the application dials it.
    pub port: u16,
    /// Where to connect, and how.
    pub endpoint: Endpoint,
    /// Which port of which service it stands for, if any: its protocol and its policies count. Of several the first by name.
    pub service: Option<(ServiceName, u16)>,
}

/// A workload, apart from any port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, if it is known.
    pub workload: Option<WorkloadName>,
    /// How to talk to it.
    pub transport: Transport,
    /// Zone, empty if not known.
    pub zone: String,
}

impl Member {
    /// The endpoint that it is at an address.
    pub fn at(&self, address: SocketAddr, transport: Transport) -> Endpoint {
        Endpoint {
            address,
            transport,
            workload: self.workload.clone(),
            zone: self.zone.clone(),
            state: EndpointState::Ready,
            weight: 1,
            priority: 0,
        }
    }
}

/// One endpoint, dialled by its own address. Routes do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Direct {
    /// Where to connect, and how.
    pub endpoint: Endpoint,
    /// Which port of which service it stands for, if any: its protocol and its policies count.
    pub service: Option<(ServiceName, u16)>,
}

impl Served {
    /// What a connection to that port of the address reaches; `None`: nothing that the mesh knows.
    ///
    /// The port is the application's; where a sidecar has a port of its own for it, that one counts too.
    pub fn port(&self, ip: IpAddr, port: u16) -> Option<Direct> {
        let dialled = SocketAddr::new(ip, port);
        let of_application = self.ports.iter().find(|served| served.port == port);
        let of_sidecar = || self.ports.iter().find(|served| served.endpoint.address == dialled);
        if let Some(served) = of_application.or_else(of_sidecar) {
            return Some(Direct { endpoint: served.endpoint.clone(), service: served.service.clone() });
        }
        let others = self.others.as_ref()?;
        Some(Direct { endpoint: others.at(dialled, others.transport.clone()), service: None })
    }

    /// The services whose ports stand here, each once.
    pub fn services(&self) -> Vec<&ServiceName> {
        let mut services: Vec<&ServiceName> = self
            .ports
            .iter()
            .filter_map(|served| served.service.as_ref())
            .map(|(service, _)| service)
            .collect();
        services.sort_unstable();
        services.dedup();
        services
    }
}

#[cfg(test)]
mod tests;
