//! Discover: what a host and port stand for. Waits for configuration, within a deadline.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::address::Direct;
use mesh_model::authority::{self, CLUSTER_DOMAIN, Candidates};
use mesh_model::service::Protocol;
use mesh_model::settings::{MeshSettings, OutboundMode};

use super::Outbound;
use super::outside::Place;
use crate::dns;
use crate::http::Fault;
use crate::net;
use crate::state::{Destination, Snapshot};
use crate::telemetry::{Event, Failure, Reason};
use crate::worker::wire;
use crate::xds::{Reached, Undiscovered};

/// A host and a port, as a client or the command line names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// Without port and brackets.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Whether it is where a captured connection was going: the address is all that is known, and nothing else is dialled for it.
    pub captured: bool,
}

impl Host {
    /// From `host[:port]`; without a port it is 80.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bad = |reason: String| Fault::new(Failure::BadRequest, reason);
        if text.is_empty() {
            return Err(bad("the request names no host; send a URL or a Host header".into()));
        }
        let authority = authority::Authority::parse(text).map_err(|error| bad(error.to_string()))?;
        Ok(Self::new(authority.host, authority.port.unwrap_or(80)))
    }

    /// A name or an address, and a port.
    pub fn new(name: String, port: u16) -> Self {
        Self { name, port, captured: false }
    }

    /// Where a captured connection was going.
    pub fn captured(original: SocketAddr) -> Self {
        Self { name: original.ip().to_string(), port: original.port(), captured: true }
    }

    /// The address, if it is one and not a name.
    fn address(&self) -> Option<SocketAddr> {
        self.name.parse().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// What a host stands for.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// A service of the mesh.
    Service { destination: Arc<Destination>, port: u16 },
    /// An endpoint by its own address: that one and no other, whatever routes say.
    Direct(Rc<Direct>),
    /// A host outside it, which may be called.
    Foreign,
}

impl Found {
    /// What is declared to be spoken there.
    pub(super) fn declared(&self, snapshot: &Snapshot) -> Option<Protocol> {
        match self {
            Self::Service { destination, port } => {
                let service = &destination.service.name;
                wire::declared(&snapshot.backend_policy(service, *port), snapshot, service, *port)
            }
            Self::Direct(direct) => {
                let (service, port) = direct.service.as_ref()?;
                wire::declared(&snapshot.backend_policy(service, *port), snapshot, service, *port)
            }
            Self::Foreign => None,
        }
    }
}

impl Found {
    /// Whether routes are attached that cannot be followed without reading requests.
    pub(super) fn needs_http(&self) -> bool {
        match self {
            Self::Service { destination, port } => {
                destination.table(*port).is_some_and(|table| table.rules().next().is_some())
            }
            Self::Direct(_) | Self::Foreign => false,
        }
    }
}

impl Outbound {
    /// Finds what `host` stands for.
    pub(super) async fn discover(&self, host: &Host) -> Result<Found, Fault> {
        let settings = self.settings().await?;
        if let Some(address) = host.address() {
            return self.at(address, host, &settings).await;
        }
        let candidates = authority::service_of(&host.name, &self.worker.config.namespace, CLUSTER_DOMAIN);
        let Some(service) = candidates.service() else { return self.outside(host, &settings).await };
        let only = matches!(candidates, Candidates::Only(_));
        match self.worker.discovery.destination(service, self.worker.config.timeouts.discovery).await {
            Ok(destination) => match destination.service.port(host.port) {
                Some(_) => Ok(Found::Service { destination, port: host.port }),
                None => Err(no_port(&destination, host.port)),
            },
            Err(Undiscovered::Unknown) => match self.word(host, &settings).await? {
                Some(found) => Ok(found),
                // Not even a stranger: nothing outside the mesh has such a name.
                None if only => {
                    let text = format!("the mesh knows no service {service}");
                    Err(Fault::new(Failure::UnknownDestination, text).because(Reason::ServiceUnknown))
                }
                None => self.foreign(host, &settings),
            },
            Err(Undiscovered::Unavailable) => Err(unavailable(service)),
        }
    }

    /// What is at that address.
    pub(super) async fn at(
        &self,
        address: SocketAddr,
        host: &Host,
        settings: &MeshSettings,
    ) -> Result<Found, Fault> {
        match self.worker.discovery.address(address, self.worker.config.timeouts.discovery).await {
            Ok(Reached::Service { destination, port }) => match destination.service.port(port) {
                Some(_) => Ok(Found::Service { destination, port }),
                None => Err(no_port(&destination, port)),
            },
            Ok(Reached::Direct(direct)) => Ok(Found::Direct(Rc::new(direct))),
            Err(Undiscovered::Unknown) => self.foreign(host, settings),
            Err(Undiscovered::Unavailable) => Err(unavailable(address)),
        }
    }

    /// Settings of the mesh; without them nothing may leave, since it is not known whether it may.
    async fn settings(&self) -> Result<Arc<MeshSettings>, Fault> {
        if let Some(settings) = self.worker.snapshot().settings() {
            return Ok(Arc::clone(settings));
        }
        let mut snapshots = self.worker.discovery.subscribe();
        let arrives = snapshots.wait_for(|snapshot| snapshot.settings().is_some());
        let settings = match tokio::time::timeout(self.worker.config.timeouts.discovery, arrives).await {
            Ok(Ok(snapshot)) => snapshot.settings().cloned(),
            Ok(Err(_)) | Err(_) => None,
        };
        settings.ok_or_else(|| {
            let text = "no configuration has come from the controller yet; is it running and reachable?";
            Fault::new(Failure::ConfigUnavailable, text)
        })
    }

    pub(super) fn foreign(&self, host: &Host, settings: &MeshSettings) -> Result<Found, Fault> {
        match settings.outbound_mode {
            OutboundMode::RegistryOnly => Err(Fault::new(
                Failure::UnknownDestination,
                format!(
                    "the mesh knows no {host}, and its MeshConfig lets only known services be called (outboundMode: RegistryOnly)"
                ),
            )
            .because(Reason::RegistryOnly)),
            OutboundMode::AllowAny => {
                self.worker.telemetry.count(Event::UnknownHostPassed);
                Ok(Found::Foreign)
            }
        }
    }

    /// Addresses of a host outside the mesh, never our own.
    pub(super) async fn resolve(&self, host: &Host) -> Result<Vec<SocketAddr>, Fault> {
        let (names, port) = match self.place(host) {
            Place::At(addresses) => return self.not_own(host, addresses),
            Place::Named(names, port) => (names, port),
        };
        // Of several names the first that DNS knows.
        let mut last = None;
        for name in &names {
            match self.dns.addresses(name, self.worker.config.timeouts.dns).await {
                Ok(found) => {
                    let addresses = found.into_iter().map(|ip| SocketAddr::from((ip, port))).collect();
                    return self.not_own(host, addresses);
                }
                Err(why) => last = Some((name, why)),
            }
        }
        match last {
            Some((name, dns::Unresolved::Timeout)) => {
                let text = format!("DNS gave no answer for {name} in time");
                Err(Fault::new(Failure::ConnectTimeout, text).because(Reason::DnsUnavailable))
            }
            Some((name, why)) => {
                let text = format!("neither the mesh nor DNS knows {name}: {why}");
                let reason = match why {
                    dns::Unresolved::Failed => Reason::DnsUnavailable,
                    _ => Reason::NameUnknown,
                };
                Err(Fault::new(Failure::UnknownDestination, text).because(reason))
            }
            None => Err(Fault::new(Failure::UnknownDestination, format!("{host} has no name to look up"))),
        }
    }

    /// Never our own listeners: a request to one of them would come back to us for ever.
    fn not_own(&self, host: &Host, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Fault> {
        if addresses.iter().any(|address| net::is_ours(*address, &self.own)) {
            return Err(Fault::new(Failure::BadRequest, format!("{host} is this proxy itself")));
        }
        Ok(addresses)
    }
}

pub(super) fn unavailable(what: impl std::fmt::Display) -> Fault {
    let text = format!("the controller has not said yet what {what} is; is it running and reachable?");
    Fault::new(Failure::ConfigUnavailable, text)
}

pub(super) fn no_port(destination: &Destination, port: u16) -> Fault {
    let ports: Vec<String> = destination.service.ports.iter().map(|port| port.port.to_string()).collect();
    let name = &destination.service.name;
    Fault::new(
        Failure::NoEndpoints,
        format!("service {name} has no port {port}; it has {}", ports.join(", ")),
    )
    .because(Reason::PortUnknown)
    .of(name)
}
