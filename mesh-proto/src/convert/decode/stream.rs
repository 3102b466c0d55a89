//! Routes of connections from the wire.

use mesh_model::host::HostPattern;
use mesh_model::name::Name;
use mesh_model::stream::{StreamId, StreamKind, StreamRoute};

use super::field::{Field, Wrong, all};
use super::route::{backend, parent};
use crate::config::v1 as wire;
use crate::convert::bounds;

/// A kind that is not known is refused, and so are filters: to leave one out could send bytes astray.
pub(super) fn stream(route: wire::StreamRoute) -> Result<StreamRoute, Wrong> {
    let root = Field::root();
    let kind = match wire::StreamKind::try_from(route.kind) {
        Ok(wire::StreamKind::Tcp) => StreamKind::Tcp,
        Ok(wire::StreamKind::Tls) => StreamKind::Tls,
        Ok(wire::StreamKind::Unspecified) | Err(_) => return Err(root.at("kind").unknown(route.kind)),
    };
    let name = Name::new(&route.namespace, &route.name).map_err(|e| root.at(e.what).refused(&e))?;
    let hosts = all(root.at("hosts"), bounds::HOSTS, route.hosts, |field, text| {
        HostPattern::parse(&text).ok_or_else(|| field.wrong("is not a host name"))
    })?;
    match (kind, hosts.is_empty()) {
        (StreamKind::Tcp, false) => return Err(root.at("hosts").wrong("are not for a TCPRoute")),
        (StreamKind::Tls, true) => return Err(root.at("hosts").wrong("are absent of a TLSRoute")),
        (StreamKind::Tcp, true) | (StreamKind::Tls, false) => {}
    }
    let backends = all(root.at("backends"), bounds::BACKENDS, route.backends, |field, one| {
        let one = backend(field, one)?;
        if one.filters.is_empty() {
            Ok(one)
        } else {
            Err(field.at("filters").wrong("are not for connections"))
        }
    })?;
    Ok(StreamRoute {
        id: StreamId { kind, name },
        parents: all(root.at("parents"), bounds::PARENTS, route.parents, parent)?,
        hosts,
        rule: root.at("rule").optional_text(route.rule)?,
        backends,
        created: route.created,
        origin: root.at("origin").text(route.origin)?,
    })
}
