//! Addresses on the wire.

use mesh_model::address::{Address, Meaning, Member, Served, ServedPort};
use mesh_model::endpoint::Transport;
use mesh_model::name::Name;

use super::endpoint;
use crate::config::v1 as wire;

/// What an address is.
pub(super) fn address(address: &Address) -> wire::Address {
    let meaning = match &address.meaning {
        Meaning::Service(service) => wire::address::Meaning::Service(service_ref(&service.0)),
        Meaning::Served(some) => wire::address::Meaning::Served(served(some)),
    };
    wire::Address { ip: address.ip.to_string(), meaning: Some(meaning) }
}

/// A reference to what has this name.
pub(super) fn service_ref(name: &Name) -> wire::ServiceRef {
    wire::ServiceRef { namespace: name.namespace().to_owned(), name: name.name().to_owned() }
}

fn served(served: &Served) -> wire::Served {
    wire::Served {
        ports: served.ports.iter().map(port).collect(),
        others: served.others.as_ref().map(member),
    }
}

fn port(served: &ServedPort) -> wire::ServedPort {
    wire::ServedPort {
        port: served.port.into(),
        endpoint: Some(endpoint(&served.endpoint)),
        service: served.service.as_ref().map(|(service, _)| service_ref(&service.0)),
        service_port: served.service.as_ref().map_or(0, |(_, port)| (*port).into()),
    }
}

fn member(member: &Member) -> wire::Member {
    let workload = member.workload.as_ref().map(|workload| &workload.0);
    wire::Member {
        identity: match &member.transport {
            Transport::Mesh(id) => id.to_string(),
            Transport::Plain => String::new(),
        },
        workload_namespace: workload.map(|name| name.namespace().to_owned()).unwrap_or_default(),
        workload: workload.map(|name| name.name().to_owned()).unwrap_or_default(),
        zone: member.zone.clone(),
    }
}
