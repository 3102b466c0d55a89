//! The two versions behind one Service, as Services inside of the mesh: parts of its endpoints, told apart by the labels or the Deployment of
//! the workloads. They are resources as others are, so a proxy needs to know nothing of them; policies of the Service count for them too.
//!
//! Their names have a dot, which no Service's has, so nobody calls them and none of a user's is meant. It must not know how a share
//! comes about.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::endpoint::{Endpoint, Endpoints, PortEndpoints};
use mesh_model::name::{Name, ServiceName};
use mesh_model::route::{
    Backend, BackendTarget, Match, ParentRef, PathMatch, Route, RouteId, RouteKind, Rule, Target, Timeouts,
};
use mesh_model::service::{Protocol, Service};
use mesh_model::traffic::{PolicyTarget, TrafficPolicy};

use super::Release;
use crate::api::canary::{CanaryEndpoints, CanaryTarget};
use crate::api::lower::canary::versions::selects;
use crate::compile::routes::Services;
use crate::index::Index;

/// What the names of parts end with.
const ENDS: [&str; 2] = [".stable", ".canary"];

/// The names of both parts of a Service.
pub(super) fn names(service: &ServiceName) -> Option<(ServiceName, ServiceName)> {
    let [stable, canary] =
        ENDS.map(|end| ServiceName::new(service.0.namespace(), &format!("{}{end}", service.0.name())).ok());
    Some((stable?, canary?))
}

/// Whether that is a part of a Service, and none that anybody wrote.
pub fn is_version(service: &ServiceName) -> bool {
    ENDS.iter().any(|end| service.0.name().ends_with(end))
}

/// Both parts. What is neither version's is in none.
pub(super) fn divide(
    release: &Release,
    target: &CanaryTarget,
    index: &Index,
    services: &Services,
) -> Services {
    let Some((service, endpoints)) = release.target.as_ref().and_then(|name| services.get(name)) else {
        return Services::default();
    };
    let is_new = |endpoint: &Endpoint| is_of(&target.canary, endpoint, index);
    let is_stable = |endpoint: &Endpoint| match &target.stable {
        Some(stable) => is_of(stable, endpoint, index) && !is_new(endpoint),
        None => !is_new(endpoint),
    };
    let stable = part(service, endpoints, &release.stable, is_stable);
    let canary = part(service, endpoints, &release.canary, is_new);
    [(release.stable.clone(), stable), (release.canary.clone(), canary)].into_iter().collect()
}

fn part(
    of: &Service,
    all: &Endpoints,
    name: &ServiceName,
    is_meant: impl Fn(&Endpoint) -> bool,
) -> (Service, Endpoints) {
    let service = Service { name: name.clone(), addresses: Vec::new(), headless: false, ..of.clone() };
    let port = |port: &PortEndpoints| PortEndpoints {
        endpoints: port.endpoints.iter().filter(|endpoint| is_meant(endpoint)).cloned().collect(),
        ..port.clone()
    };
    (service, Endpoints { service: name.clone(), ports: all.ports.iter().map(port).collect() })
}

fn is_of(wanted: &CanaryEndpoints, endpoint: &Endpoint, index: &Index) -> bool {
    let Some(workload) = &endpoint.workload else { return false };
    if let Some(pod) = index.pods.find(workload) {
        return selects(wanted, &pod.object.owner(workload.0.name()), Some(pod.object.labels()));
    }
    let labels = index.workloads.find(workload).and_then(|entry| entry.object.metadata.labels.as_ref());
    selects(wanted, workload.0.name(), labels)
}

/// Where no route of its namespace says what becomes of requests to the Service, one says that they go there, so that there is something to
/// divide. What is declared to be no HTTP is left alone.
pub(super) fn attach(release: &Release, services: &Services, routes: &mut Vec<Arc<Route>>) {
    let Some((service, _)) = release.target.as_ref().and_then(|name| services.get(name)) else { return };
    let namespace = service.name.0.namespace();
    let is_routed = |port: u16| {
        let own = routes.iter().filter(|route| route.id.name.namespace() == namespace);
        let mut parents = own.flat_map(|route| &route.parents);
        parents.any(|parent| parent.service == service.name && parent.port.is_none_or(|at| at == port))
    };
    let is_http = |protocol| !matches!(protocol, Some(Protocol::Tcp | Protocol::Tls));
    let ports = service.ports.iter().filter(|port| is_http(port.protocol) && !is_routed(port.port));
    let made: Vec<_> = ports.filter_map(|port| route(release, service, port.port)).collect();
    routes.extend(made.into_iter().map(Arc::new));
    routes.sort_by(|one, other| one.id.cmp(&other.id));
}

fn route(release: &Release, service: &Service, port: u16) -> Option<Route> {
    let name = format!("{}.canary.{port}", release.key.name);
    let every = Match {
        target: Target::Http { path: PathMatch::prefix("/"), method: None, query: Vec::new() },
        headers: Vec::new(),
    };
    let target = BackendTarget::Service { service: service.name.clone(), port };
    let rule = Rule {
        name: None,
        matches: vec![every],
        filters: Vec::new(),
        backends: vec![Backend { target, weight: 1, filters: Vec::new(), takes: Vec::new() }],
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    };
    Some(Route {
        id: RouteId { kind: RouteKind::Http, name: Name::new(&release.key.namespace, &name).ok()? },
        parents: vec![ParentRef { service: service.name.clone(), port: Some(port) }],
        rules: vec![rule],
        created: 0,
        origin: release.key.to_string(),
    })
}

/// Policies of a Service count for its parts too.
pub(in crate::compile) fn cover(releases: &[Release], policies: &mut [Arc<TrafficPolicy>]) {
    let parts: BTreeMap<&ServiceName, &Release> = releases
        .iter()
        .filter(|release| release.refused.is_none())
        .filter_map(|release| Some((release.target.as_ref()?, release)))
        .collect();
    if parts.is_empty() {
        return;
    }
    for policy in policies {
        let mut more = Vec::new();
        for target in &policy.targets {
            let PolicyTarget::Service { service, port } = target else { continue };
            let Some(release) = parts.get(service) else { continue };
            let part = |name: &ServiceName| PolicyTarget::Service { service: name.clone(), port: *port };
            more.extend([part(&release.stable), part(&release.canary)]);
        }
        if !more.is_empty() {
            Arc::make_mut(policy).targets.append(&mut more);
        }
    }
}
