//! Hosts and external services on the wire.

use mesh_model::external::{ExternalPort, ExternalService, HostEntry, HostMeaning, Resolution};
use mesh_model::host::Host;

use super::address::service_ref;
use super::protocol;
use crate::config::v1 as wire;

/// What a host stands for.
pub(super) fn host(entry: &HostEntry) -> wire::HostEntry {
    let meaning = match &entry.meaning {
        HostMeaning::Service(service) => wire::host_entry::Meaning::Service(service_ref(&service.0)),
        HostMeaning::Endpoints(ips) => wire::host_entry::Meaning::Endpoints(wire::HostAddresses {
            ips: ips.iter().map(ToString::to_string).collect(),
        }),
        HostMeaning::Alias(host) => wire::host_entry::Meaning::Alias(host.to_string()),
        HostMeaning::External(name) => wire::host_entry::Meaning::External(service_ref(name)),
    };
    wire::HostEntry { host: entry.host.to_string(), meaning: Some(meaning) }
}

/// Hosts outside the mesh.
pub(super) fn external(external: &ExternalService) -> wire::ExternalService {
    let resolution = match &external.resolution {
        Resolution::Dns(names) => wire::external_service::Resolution::Dns(wire::HostNames {
            hosts: names.iter().map(ToString::to_string).collect(),
        }),
        Resolution::Static(ips) => wire::external_service::Resolution::Static(wire::HostAddresses {
            ips: ips.iter().map(ToString::to_string).collect(),
        }),
        Resolution::None => wire::external_service::Resolution::AsDialled(wire::AsDialled {}),
    };
    wire::ExternalService {
        namespace: external.name.namespace().to_owned(),
        name: external.name.name().to_owned(),
        hosts: external.hosts.iter().map(ToString::to_string).collect(),
        ports: external.ports.iter().map(port).collect(),
        resolution: Some(resolution),
        origin: external.origin.clone(),
    }
}

fn port(port: &ExternalPort) -> wire::ExternalPort {
    wire::ExternalPort {
        port: port.port.into(),
        target: port.target.into(),
        protocol: protocol(port.protocol).into(),
        tls: port.tls.as_ref().map(|tls| wire::TlsOrigination {
            sni: tls.sni.as_ref().map(Host::to_string).unwrap_or_default(),
            ca: tls.ca.clone().unwrap_or_default(),
        }),
    }
}
