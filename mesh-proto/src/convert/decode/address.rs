//! Addresses from the wire.

use std::net::IpAddr;

use mesh_model::address::{Address, Meaning, Member, Served, ServedPort};
use mesh_model::name::ServiceName;

use super::field::{Field, Wrong, all};
use super::{endpoint, service_name, transport, workload};
use crate::config::v1 as wire;
use crate::convert::bounds;

/// An address without a meaning that this version knows is refused: to guess one could send bytes astray.
pub(super) fn address(address: wire::Address) -> Result<Address, Wrong> {
    let root = Field::root();
    let ip: IpAddr = address.ip.parse().map_err(|_| root.at("ip").wrong("is not an IP address"))?;
    let meaning = match address.meaning {
        Some(wire::address::Meaning::Service(service)) => {
            Meaning::Service(service_ref(&root.at("service"), &service)?)
        }
        Some(wire::address::Meaning::Served(some)) => Meaning::Served(served(&root.at("served"), some)?),
        None => {
            return Err(root.at("meaning").wrong("is absent or of a kind that this version does not know"));
        }
    };
    Ok(Address { ip: ip.to_canonical(), meaning })
}

fn service_ref(field: &Field<'_>, service: &wire::ServiceRef) -> Result<ServiceName, Wrong> {
    service_name(field, &service.namespace, &service.name)
}

fn served(field: &Field<'_>, served: wire::Served) -> Result<Served, Wrong> {
    let ports = all(field.at("ports"), bounds::SERVED, served.ports, port)?;
    let others = served.others.map(|others| member(&field.at("others"), others)).transpose()?;
    Ok(Served { ports, others })
}

fn port(field: &Field<'_>, served: wire::ServedPort) -> Result<ServedPort, Wrong> {
    let endpoint_field = field.at("endpoint");
    let place = served.endpoint.ok_or_else(|| endpoint_field.wrong("is absent"))?;
    let service = match served.service {
        None => None,
        Some(service) => Some((
            service_ref(&field.at("service"), &service)?,
            field.at("service_port").port(served.service_port)?,
        )),
    };
    Ok(ServedPort {
        port: field.at("port").port(served.port)?,
        endpoint: endpoint(&endpoint_field, place)?,
        service,
    })
}

fn member(field: &Field<'_>, member: wire::Member) -> Result<Member, Wrong> {
    Ok(Member {
        transport: transport(field, &member.identity)?,
        workload: workload(field, &member.workload_namespace, &member.workload)?,
        zone: field.at("zone").text(member.zone)?,
    })
}
