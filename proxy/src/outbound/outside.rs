//! Hosts that are no service: what ExternalServices say of them, and other names for them. It must not know how anything is sent.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::authority::{self, CLUSTER_DOMAIN};
use mesh_model::external::{ExternalService, HostMeaning, Resolution};
use mesh_model::host::Host as Name;
use mesh_model::service::Protocol;
use mesh_model::settings::{MeshSettings, OutboundMode};

use super::destination::{Found, no_port, unavailable};
use super::{Host, Outbound};
use crate::http::Fault;
use crate::state::LookupHost;
use crate::telemetry::{Failure, Reason};
use crate::tls::{Hop, Outside};
use crate::xds::{Named, Undiscovered};

/// Where a host outside is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At these addresses.
    At(Vec<SocketAddr>),
    /// Where DNS says that these names are, at that port.
    Named(Vec<String>, u16),
}

impl Outbound {
    /// What a host is that is no service, or a stranger where those may be called.
    pub(super) async fn outside(&self, host: &Host, settings: &MeshSettings) -> Result<Found, Fault> {
        match self.word(host, settings).await? {
            Some(found) => Ok(found),
            None => self.foreign(host, settings),
        }
    }

    /// What the mesh says of a host that is no service. It may be called whatever the outbound mode is.
    pub(super) async fn word(&self, host: &Host, settings: &MeshSettings) -> Result<Option<Found>, Fault> {
        let Some(name) = Name::parse(&host.name) else { return Ok(None) };
        match self.worker.discovery.host(&name, self.worker.config.timeouts.discovery).await {
            Ok(Named::External(external)) => callable(&external, host).map(|()| Some(Found::Foreign)),
            Ok(Named::Alias(alias)) => self.alias(&alias, host.port).await.map(Some),
            Ok(Named::Service(destination)) => match destination.service.port(host.port) {
                Some(_) => Ok(Some(Found::Service { destination, port: host.port })),
                None => Err(no_port(&destination, host.port)),
            },
            // A member of a service by its own name: that one, with its identity. Both families lead to it.
            Ok(Named::Endpoints(ips)) => match ips.first() {
                Some(ip) => self.at(SocketAddr::new(*ip, host.port), host, settings).await.map(Some),
                None => Ok(None),
            },
            Err(Undiscovered::Unknown) => Ok(None),
            // Where strangers may be called they can be without the controller too.
            Err(Undiscovered::Unavailable) if settings.outbound_mode == OutboundMode::AllowAny => Ok(None),
            Err(Undiscovered::Unavailable) => Err(unavailable(name)),
        }
    }

    /// Another name: of a service, else of a host outside. Names of names are left to DNS.
    async fn alias(&self, alias: &Name, port: u16) -> Result<Found, Fault> {
        let candidates = authority::service_of(alias.as_str(), &self.worker.config.namespace, CLUSTER_DOMAIN);
        let Some(service) = candidates.service() else { return Ok(Found::Foreign) };
        match self.worker.discovery.destination(service, self.worker.config.timeouts.discovery).await {
            Ok(destination) if destination.service.port(port).is_some() => {
                Ok(Found::Service { destination, port })
            }
            Ok(destination) => Err(no_port(&destination, port)),
            Err(Undiscovered::Unknown) => Ok(Found::Foreign),
            Err(Undiscovered::Unavailable) => Err(unavailable(service)),
        }
    }

    /// What an ExternalService says that is spoken on a port of a host outside.
    pub(super) fn spoken(&self, host: &Host) -> Option<Protocol> {
        let snapshot = self.worker.snapshot();
        let LookupHost::Known(known) = snapshot.host(&Name::parse(&host.name)?) else { return None };
        known.external.as_ref()?.port(host.port)?.protocol
    }

    /// Whether an object of the mesh says something of a host outside.
    pub(super) fn is_described(&self, host: &Host) -> bool {
        let snapshot = self.worker.snapshot();
        let known = Name::parse(&host.name).map(|name| snapshot.host(&name));
        matches!(known, Some(LookupHost::Known(known)) if known.external.is_some())
    }

    /// How a host outside is talked to: with TLS where an ExternalService says so, never less than that.
    pub(super) fn hop(&self, host: &Host) -> Result<Hop, Fault> {
        let snapshot = self.worker.snapshot();
        let known = Name::parse(&host.name).map(|name| snapshot.host(&name));
        let Some(LookupHost::Known(known)) = known else { return Ok(Hop::Plain) };
        let Some(external) = &known.external else { return Ok(Hop::Plain) };
        hop_to(external, host)
    }

    /// Where a host is that [`Self::outside`] has let pass.
    pub(super) fn place(&self, host: &Host) -> Place {
        let itself = || Place::Named(vec![host.name.clone()], host.port);
        let snapshot = self.worker.snapshot();
        let Some(LookupHost::Known(known)) = Name::parse(&host.name).map(|name| snapshot.host(&name)) else {
            return itself();
        };
        match (&known.entry.meaning, &known.external) {
            (HostMeaning::External(_), Some(external)) => place_of(external, host),
            (HostMeaning::Alias(alias), _) => Place::Named(vec![alias.to_string()], host.port),
            (HostMeaning::Endpoints(ips), _) => {
                Place::At(ips.iter().map(|ip| SocketAddr::new(*ip, host.port)).collect())
            }
            (HostMeaning::External(_) | HostMeaning::Service(_), _) => itself(),
        }
    }
}

/// Whether connections may go to that port of an external service.
fn callable(external: &Arc<ExternalService>, host: &Host) -> Result<(), Fault> {
    if external.port(host.port).is_none() {
        let ports: Vec<String> = external.ports.iter().map(|port| port.port.to_string()).collect();
        let text = format!(
            "ExternalService {} has no port {}; it has {}",
            external.name,
            host.port,
            ports.join(", ")
        );
        return Err(Fault::new(Failure::NoEndpoints, text).because(Reason::PortUnknown));
    }
    Ok(())
}

fn hop_to(external: &ExternalService, host: &Host) -> Result<Hop, Fault> {
    let Some(tls) = external.port(host.port).and_then(|port| port.tls.as_ref()) else {
        return Ok(Hop::Plain);
    };
    let name = tls.sni.as_ref().map_or(host.name.trim_end_matches('.'), Name::as_str);
    Outside::new(name, tls.ca.as_deref()).map(Hop::Outside).ok_or_else(|| {
        let text =
            format!("{name} is no name that a certificate can have, so that TLS cannot be begun to it");
        Fault::new(Failure::TlsFailed, text)
    })
}

fn place_of(external: &ExternalService, host: &Host) -> Place {
    let port = external.port(host.port).map_or(host.port, |port| port.target);
    match &external.resolution {
        Resolution::Static(ips) => Place::At(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect()),
        Resolution::Dns(names) if !names.is_empty() => {
            Place::Named(names.iter().map(Name::to_string).collect(), port)
        }
        Resolution::Dns(_) | Resolution::None => Place::Named(vec![host.name.clone()], port),
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::external::{ExternalPort, Origination};
    use mesh_model::host::HostPattern;

    use super::*;

    fn external(resolution: Resolution) -> ExternalService {
        let plain = |port, target| ExternalPort { port, target, protocol: None, tls: None };
        let tls = Some(Origination { sni: None, ca: None });
        ExternalService {
            name: mesh_model::name::Name::new("shop", "api").unwrap(),
            hosts: vec![HostPattern::parse("*.example").unwrap()],
            ports: vec![plain(443, 443), plain(80, 8080), ExternalPort { tls, ..plain(81, 443) }],
            resolution,
            origin: String::new(),
        }
    }

    fn host(port: u16) -> Host {
        Host::parse(&format!("a.example:{port}")).unwrap()
    }

    #[test]
    fn connections_go_where_the_object_says_and_to_the_port_that_it_names() {
        let ips: Vec<std::net::IpAddr> = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let other = vec![Name::parse("origin.example").unwrap()];
        let named = |name: &str, port| Place::Named(vec![name.to_owned()], port);
        let at = |port| Place::At(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect());
        let rows = [
            (Resolution::Static(ips.clone()), 443, at(443)),
            (Resolution::Static(ips.clone()), 80, at(8080)),
            (Resolution::Dns(vec![]), 80, named("a.example", 8080)),
            (Resolution::Dns(other), 443, named("origin.example", 443)),
            (Resolution::None, 443, named("a.example", 443)),
        ];
        for (resolution, port, place) in rows {
            assert_eq!(place_of(&external(resolution), &host(port)), place);
        }
    }

    #[test]
    fn other_ports_are_refused_and_tls_is_begun_where_it_is_asked_for() {
        let external = Arc::new(external(Resolution::None));
        assert!(callable(&external, &host(443)).is_ok());
        let no_port = callable(&external, &host(22)).unwrap_err();
        assert_eq!(no_port.failure, Failure::NoEndpoints);
        assert!(callable(&external, &host(81)).is_ok());
        let named = Hop::Outside(Outside::new("a.example", None).unwrap());
        assert_eq!(hop_to(&external, &host(81)).unwrap(), named);
        assert_eq!(hop_to(&external, &host(443)).unwrap(), Hop::Plain);
    }
}
