//! Routes of connections on the wire.

use mesh_model::stream::{StreamKind, StreamRoute};

use super::{backend, parent};
use crate::config::v1 as wire;

/// A route of connections.
pub(super) fn stream(route: &StreamRoute) -> wire::StreamRoute {
    let kind = match route.id.kind {
        StreamKind::Tcp => wire::StreamKind::Tcp,
        StreamKind::Tls => wire::StreamKind::Tls,
    };
    wire::StreamRoute {
        kind: kind.into(),
        namespace: route.id.name.namespace().to_owned(),
        name: route.id.name.name().to_owned(),
        parents: route.parents.iter().map(parent).collect(),
        hosts: route.hosts.iter().map(ToString::to_string).collect(),
        rule: route.rule.clone().unwrap_or_default(),
        backends: route.backends.iter().map(backend).collect(),
        created: route.created,
        origin: route.origin.clone(),
    }
}
