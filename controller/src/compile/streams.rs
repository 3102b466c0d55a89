//! Routes of connections of the model: TCPRoutes and TLSRoutes with parents and backends resolved, and what is to be said of UDPRoutes.
//! It must not know endpoints.
//!
//! Parents and backends are found as for routes of requests (`routes`), with the same decisions. Which of several routes counts is
//! `mesh_model::stream::standing`'s decision; here it is only told.

use std::sync::Arc;

use mesh_model::host::HostPattern;
use mesh_model::name::ServiceName;
use mesh_model::route::table::{self, Standing};
use mesh_model::route::{Backend, Route};
use mesh_model::stream::{RequestRoutes, StreamId, StreamKind, StreamRoute, StreamStanding, standing};

use super::Reports;
use super::routes::{Refs, Services, created, supported};
use crate::api::lower::LoweredBackend;
use crate::api::lower::streams::{self, LoweredStream};
use crate::api::{Kind, ObjectKey, streams as api};
use crate::index::Index;
use crate::index::store::Entry;
use crate::status::{Condition, ConditionType};

/// Compiles every route of connections that is attached to a Service. `of_requests` are the HTTPRoutes and GRPCRoutes.
pub fn compile(
    index: &Index,
    services: &Services,
    of_requests: &[Arc<Route>],
    reports: &mut Reports,
) -> Vec<Arc<StreamRoute>> {
    let mut routes = Vec::new();
    let kinds = [
        (StreamKind::Tcp, Kind::TcpRoute, &index.routes.tcp),
        (StreamKind::Tls, Kind::TlsRoute, &index.routes.tls),
    ];
    for (kind, object, store) in kinds {
        for (key, entry) in store.iter() {
            routes.extend(one(kind, object, key, entry, services, reports));
        }
    }
    for (key, entry) in index.routes.udp.iter() {
        reports.object(key, &entry.origin, None);
        let message =
            "the mesh does not carry UDP: datagrams pass by it untouched, and this route has no effect";
        reports.say(key, Condition::failed(ConditionType::Accepted, "NotProgrammed", "spec", message));
    }
    for route in &routes {
        overruled(route, &routes, of_requests, services, reports);
    }
    routes
}

fn one(
    kind: StreamKind,
    object: Kind,
    key: &ObjectKey,
    entry: &Entry<api::StreamRoute>,
    services: &Services,
    reports: &mut Reports,
) -> Option<Arc<StreamRoute>> {
    let id = StreamId { kind, name: key.model_name()? };
    let mut conditions = Vec::new();
    let refs = Refs { key, parents: &entry.object.spec.parent_refs };
    let parents = refs.parents(services, &mut conditions);
    let LoweredStream { hosts, rule, backends, findings: _ } = streams::lower(object, &entry.object);
    let backends = backends.iter().map(|it| backend(&refs, it, services, &mut conditions)).collect();
    reports.object(key, &entry.origin, (!parents.is_empty()).then(|| id.to_string()));
    for condition in conditions {
        reports.say(key, condition);
    }
    let created = created(&entry.object.metadata);
    let origin = entry.origin.to_string();
    (!parents.is_empty())
        .then(|| Arc::new(StreamRoute { id, parents, hosts, rule, backends, created, origin }))
}

fn backend(
    refs: &Refs<'_>,
    backend: &LoweredBackend,
    services: &Services,
    conditions: &mut Vec<Condition>,
) -> Backend {
    let reference = &backend.reference;
    let target = supported(backend).and_then(|()| refs.target(reference, services));
    let target = target.unwrap_or_else(|invalid| {
        refs.invalid(reference, invalid, "its share of connections is refused", conditions)
    });
    Backend { target, weight: backend.weight, filters: Vec::new(), takes: Vec::new() }
}

/// Says where another route keeps this one from counting, for clients that it is meant for.
fn overruled(
    route: &Arc<StreamRoute>,
    all: &[Arc<StreamRoute>],
    of_requests: &[Arc<Route>],
    services: &Services,
    reports: &mut Reports,
) {
    let (kind, name) = match route.id.kind {
        StreamKind::Tcp => (Kind::TcpRoute, &route.id.name),
        StreamKind::Tls => (Kind::TlsRoute, &route.id.name),
    };
    let key = ObjectKey::new(kind, name.namespace(), name.name());
    let mut said: Vec<(ServiceName, StreamStanding)> = Vec::new();
    for parent in &route.parents {
        let Some((service, _)) = services.get(&parent.service) else { continue };
        for port in service.ports.iter().map(|p| p.port).filter(|port| parent.port.is_none_or(|p| p == *port))
        {
            let requests = requests(&parent.service, port, name.namespace(), of_requests);
            let standings = standing(&parent.service, port, name.namespace(), all, requests);
            let Some((_, standing)) = standings.into_iter().find(|(other, _)| other.id == route.id) else {
                continue;
            };
            let told = (parent.service.clone(), standing);
            if let Some(message) = words(&told.1, &parent.service, port, &route.hosts)
                && !said.contains(&told)
            {
                said.push(told);
                reports.say(
                    &key,
                    Condition::noted(ConditionType::Accepted, "Overruled", "spec.parentRefs", message),
                );
            }
        }
    }
}

/// Whether routes of requests count there.
fn requests(service: &ServiceName, port: u16, namespace: &str, routes: &[Arc<Route>]) -> RequestRoutes {
    let counts = table::standing(service, port, namespace, routes).any(|(_, s)| s == Standing::InForce);
    if counts { RequestRoutes::Some } else { RequestRoutes::None }
}

fn words(
    standing: &StreamStanding,
    service: &ServiceName,
    port: u16,
    hosts: &[HostPattern],
) -> Option<String> {
    let at = format!("port {port} of Service {service}");
    match standing {
        StreamStanding::HiddenByHttp => {
            Some(format!("an HTTPRoute or GRPCRoute counts on {at}, so this route does not (GEP-1294)"))
        }
        StreamStanding::HiddenByTls => {
            Some(format!("a TLSRoute counts on {at}, so this route does not (GEP-1294)"))
        }
        StreamStanding::HiddenByOlder(older) if hosts.is_empty() => Some(format!(
            "{older} is older and takes every connection to {at}; attach this route elsewhere or remove one of the two"
        )),
        StreamStanding::HiddenByOlder(older) => Some(format!(
            "{older} is older and has the same hostnames on {at}; give this route others or remove one of the two"
        )),
        StreamStanding::InForce
        | StreamStanding::OtherPort
        | StreamStanding::OtherNamespace
        | StreamStanding::HiddenByConsumer => None,
    }
}

#[cfg(test)]
mod tests;
