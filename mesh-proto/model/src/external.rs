//! Hosts outside the mesh, and what a host name stands for. They must not know who asks, DNS, or how a connection is made.

use std::net::IpAddr;

use crate::host::{Host, HostPattern};
use crate::name::{Name, ServiceName};
use crate::service::Protocol;

/// Hosts outside the mesh, as an `ExternalService` describes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalService {
    /// Namespace and name of the object.
    pub name: Name,
    /// Its hosts; never empty.
    pub hosts: Vec<HostPattern>,
    /// Its ports; never empty.
    pub ports: Vec<ExternalPort>,
    /// Where connections go.
    pub resolution: Resolution,
    /// Where the object was read, for messages: `PATH:LINE`.
    pub origin: String,
}

/// A port of such hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalPort {
    /// As the application dials it.
    pub port: u16,
    /// Where to connect; the same port unless the object says otherwise.
    pub target: u16,
    /// What the application speaks; `None`: not declared.
    pub protocol: Option<Protocol>,
    /// Whether the sidecar speaks TLS to the host for an application that does not. `None`: bytes go as they are.
    pub tls: Option<Origination>,
}

/// TLS that the sidecar begins towards a host outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origination {
    /// The name that is asked for and that the certificate must have. `None`: the host that was dialled.
    pub sni: Option<Host>,
    /// Certificates that the host's must lead to, PEM. `None`: the well-known public ones.
    pub ca: Option<String>,
}

/// Where connections to an external host go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// To the addresses that DNS gives: of these names, or of the dialled host if there are none.
    Dns(Vec<Host>),
    /// To these addresses; never empty.
    Static(Vec<IpAddr>),
    /// To the address that the application dialled.
    None,
}

impl ExternalService {
    /// The port that the application dials.
    pub fn port(&self, port: u16) -> Option<&ExternalPort> {
        self.ports.iter().find(|known| known.port == port)
    }

    /// The name of its resource: `externalservice/NS/NAME`.
    pub fn resource_name(&self) -> String {
        resource_name(&self.name)
    }
}

/// The name of an external service's resource.
pub fn resource_name(name: &Name) -> String {
    format!("externalservice/{name}")
}

/// A host and what it stands for, as clients in one namespace see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The host.
    pub host: Host,
    /// What it stands for.
    pub meaning: HostMeaning,
}

/// What a host stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMeaning {
    /// A service. One without virtual addresses is headless: its name is its endpoints' addresses.
    Service(ServiceName),
    /// Own addresses of endpoints, such as those of a member of a StatefulSet.
    Endpoints(Vec<IpAddr>),
    /// Another name for that host (an ExternalName Service).
    Alias(Host),
    /// A host of this ExternalService.
    External(Name),
}
