//! Services: what a client calls. They must not know their endpoints or routes; those point to them.

use std::net::{IpAddr, SocketAddr};

use crate::name::ServiceName;

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, prior knowledge.
    Http2,
    /// gRPC, over HTTP/2.
    Grpc,
    /// Bytes that the mesh carries and does not read.
    Tcp,
    /// The application's own TLS, carried as bytes.
    Tls,
}

impl Protocol {
    /// Reads `appProtocol` of a Service port, or the port's name in the habit of other meshes (`grpc-api`, `http`).
    /// `None`: not declared, the proxy finds out. Source: KEP-3726 for the `kubernetes.io/` names.
    pub fn declared(app_protocol: Option<&str>, port_name: Option<&str>) -> Option<Self> {
        let known = |text: &str| match text.to_ascii_lowercase().as_str() {
            "http" | "http1" | "http/1.1" | "kubernetes.io/ws" => Some(Self::Http1),
            "http2" | "h2c" | "kubernetes.io/h2c" => Some(Self::Http2),
            "grpc" | "kubernetes.io/grpc" => Some(Self::Grpc),
            "tcp" => Some(Self::Tcp),
            "https" | "tls" => Some(Self::Tls),
            _ => None,
        };
        match app_protocol {
            Some(text) => known(text),
            None => port_name.and_then(|name| known(name.split('-').next().unwrap_or(name))),
        }
    }
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// 1 to 65535.
    pub port: u16,
    /// Empty if the service has one unnamed port.
    pub name: String,
    /// `None`: not declared.
    pub protocol: Option<Protocol>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub name: ServiceName,
    /// In the object's order.
    pub ports: Vec<ServicePort>,
    /// Virtual addresses; empty for a headless service and on one machine.
    pub addresses: Vec<IpAddr>,
    /// Whether its name stands for the addresses of its endpoints (`clusterIP: None`), and never for a virtual one.
    pub headless: bool,
}

/// What a workload serves itself: which of its addresses stands for which port of which service. Policies that are in force at
/// the called side are found through it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnServices {
    /// Sorted; one address may stand for several services.
    pub ports: Vec<OwnPort>,
}

/// One address of a workload and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnPort {
    /// Where the mesh connects: the endpoint's address.
    pub address: SocketAddr,
    /// The service.
    pub service: ServiceName,
    /// Its port.
    pub port: u16,
}

impl Service {
    /// The port with this number.
    pub fn port(&self, port: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|p| p.port == port)
    }
}
