//! Hosts and external services from the wire.

use std::net::IpAddr;

use mesh_model::external::{ExternalPort, ExternalService, HostEntry, HostMeaning, Origination, Resolution};
use mesh_model::host::{Host, HostPattern};
use mesh_model::name::Name;

use super::field::{Field, Wrong, all};
use super::{protocol, service_name};
use crate::config::v1 as wire;
use crate::convert::bounds;

const UNKNOWN: &str = "is absent or of a kind that this version does not know";

/// A meaning that is not known is refused: to guess one could send bytes astray.
pub(super) fn host(entry: wire::HostEntry) -> Result<HostEntry, Wrong> {
    let root = Field::root();
    let meaning = match entry.meaning {
        Some(wire::host_entry::Meaning::Service(service)) => {
            HostMeaning::Service(service_name(&root.at("service"), &service.namespace, &service.name)?)
        }
        Some(wire::host_entry::Meaning::Endpoints(addresses)) => {
            HostMeaning::Endpoints(ips(&root.at("endpoints"), addresses)?)
        }
        Some(wire::host_entry::Meaning::Alias(text)) => HostMeaning::Alias(name(&root.at("alias"), &text)?),
        Some(wire::host_entry::Meaning::External(external)) => {
            let field = root.at("external");
            let name = Name::new(&external.namespace, &external.name);
            HostMeaning::External(name.map_err(|e| field.at(e.what).refused(&e))?)
        }
        None => return Err(root.at("meaning").wrong(UNKNOWN)),
    };
    Ok(HostEntry { host: name(&root.at("host"), &entry.host)?, meaning })
}

/// A resolution that is not known is refused, and so is a protocol that cannot be told: a name of TLS that cannot be read must never
/// become plaintext.
pub(super) fn external(external: wire::ExternalService) -> Result<ExternalService, Wrong> {
    let root = Field::root();
    let own = Name::new(&external.namespace, &external.name).map_err(|e| root.at(e.what).refused(&e))?;
    let hosts = all(root.at("hosts"), bounds::HOSTS, external.hosts, |field, text| {
        HostPattern::parse(&text).ok_or_else(|| field.wrong("is not a host name"))
    })?;
    let ports = all(root.at("ports"), bounds::PORTS, external.ports, port)?;
    let resolution = match external.resolution {
        Some(wire::external_service::Resolution::Dns(names)) => {
            let field = root.at("dns");
            Resolution::Dns(all(field.at("hosts"), bounds::HOSTS, names.hosts, |field, text| {
                name(field, &text)
            })?)
        }
        Some(wire::external_service::Resolution::Static(addresses)) => {
            Resolution::Static(ips(&root.at("static"), addresses)?)
        }
        Some(wire::external_service::Resolution::AsDialled(_)) => Resolution::None,
        None => return Err(root.at("resolution").wrong(UNKNOWN)),
    };
    let origin = root.at("origin").text(external.origin)?;
    Ok(ExternalService { name: own, hosts, ports, resolution, origin })
}

fn port(field: &Field<'_>, port: wire::ExternalPort) -> Result<ExternalPort, Wrong> {
    let declared = port.protocol();
    let tls = port.tls.map(|tls| {
        let field = field.at("tls");
        if tls.ca.len() > bounds::PEM {
            let why = format!("has {} bytes, more than {}", tls.ca.len(), bounds::PEM);
            return Err(field.at("ca").wrong(why));
        }
        let sni = if tls.sni.is_empty() { None } else { Some(name(&field.at("sni"), &tls.sni)?) };
        Ok(Origination { sni, ca: Some(tls.ca).filter(|ca| !ca.is_empty()) })
    });
    Ok(ExternalPort {
        port: field.at("port").port(port.port)?,
        target: field.at("target").port(port.target)?,
        protocol: protocol(declared),
        tls: tls.transpose()?,
    })
}

fn name(field: &Field<'_>, text: &str) -> Result<Host, Wrong> {
    Host::parse(text).ok_or_else(|| field.wrong("is not a host name"))
}

fn ips(field: &Field<'_>, addresses: wire::HostAddresses) -> Result<Vec<IpAddr>, Wrong> {
    all(field.at("ips"), bounds::SERVED, addresses.ips, |field, text| {
        text.parse().map_err(|_| field.wrong("is not an IP address"))
    })
}
