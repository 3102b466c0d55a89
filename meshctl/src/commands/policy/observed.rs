//! Who called whom, as the called sidecars reported it, and at which ports, as far as those of the callers say. Pure. It must not know
//! policies.

use std::collections::{BTreeMap, BTreeSet};

use mesh_model::name::{Name, ServiceName, WorkloadName};
use mesh_proto::inspect::v1::{StatResponse, StatRow};
use mesh_proto::report::v1::Side;

use crate::commands::callee::{self, standing};
use crate::commands::explain::objects::Objects;

/// Codes of calls that policies refused: they are no reason to allow anything.
const REFUSED: [&str; 2] = ["policy_denied", "policy_undecided"];

/// Which part of the mesh is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) namespace: Option<String>,
    pub(super) service: Option<ServiceName>,
}

impl Scope {
    /// Whether a workload is meant to which these Services lead.
    fn holds(&self, workload: &WorkloadName, services: &[(ServiceName, u16)]) -> bool {
        let of_service = |only: &ServiceName| services.iter().any(|(service, _)| service == only);
        self.namespace.as_deref().is_none_or(|only| workload.0.namespace() == only)
            && self.service.as_ref().is_none_or(of_service)
    }
}

/// Somebody who called a workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    /// Namespace and service account of the caller's certificate.
    pub(super) source: Name,
    pub(super) workload: WorkloadName,
    /// Calls that were not refused by a policy.
    pub(super) requests: u64,
    pub(super) is_tcp: bool,
}

/// What is known of the last while.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) seconds: u32,
    /// Each caller of each workload once for requests and once for TCP, in order.
    pub(super) edges: Vec<Edge>,
    /// Whom each workload is: by workload the Services that lead to it with the ports of its application.
    pub(super) served: BTreeMap<WorkloadName, Vec<(ServiceName, u16)>>,
    /// Only ports that this one leads to are meant.
    only: Option<ServiceName>,
    /// The ports that a caller called at a workload, where its own sidecars account for all of its calls.
    called: BTreeMap<(Name, WorkloadName), BTreeSet<u16>>,
    /// Services of the scope that nobody called.
    pub(super) not_called: Vec<ServiceName>,
    /// What a reader has to know before policies are applied.
    pub(super) warnings: Vec<String>,
}

impl Seen {
    /// Ports of a workload's application that Services of the scope lead to.
    pub(super) fn ports(&self, workload: &WorkloadName) -> BTreeSet<u16> {
        let meant = |service: &ServiceName| self.only.as_ref().is_none_or(|only| only == service);
        let services = self.served.get(workload).into_iter().flatten();
        services.filter(|(service, _)| meant(service)).map(|(_, port)| *port).collect()
    }
}

impl Seen {
    /// Ports of the scope at which a caller called, or may have called.
    pub(super) fn ports_of(&self, edge: &Edge) -> BTreeSet<u16> {
        let all = self.ports(&edge.workload);
        match self.called.get(&(edge.source.clone(), edge.workload.clone())) {
            Some(called) => all.intersection(called).copied().collect(),
            None => all,
        }
    }

    /// Callers of which it is not known which of several ports they called.
    pub(super) fn unclear(&self) -> usize {
        let unclear = |edge: &&Edge| {
            let known = self.called.contains_key(&(edge.source.clone(), edge.workload.clone()));
            !known && self.ports(&edge.workload).len() > 1
        };
        self.edges.iter().filter(unclear).count()
    }
}

/// What the sidecars of a caller say of its calls to a workload.
#[derive(Debug, Default)]
struct Told {
    calls: u64,
    ports: BTreeSet<u16>,
    /// Some call went to a port that cannot be told.
    is_unclear: bool,
}

/// Ports that callers called. A route may lead to another port than the one that was called, and a call to a workload's own address names no
/// Service: then nothing is said of that caller.
fn called(
    objects: &Objects,
    series: &[StatRow],
    edges: &BTreeMap<(Name, WorkloadName, bool), u64>,
) -> BTreeMap<(Name, WorkloadName), BTreeSet<u16>> {
    let accounts: BTreeMap<WorkloadName, Name> = standing::known(objects)
        .into_iter()
        .filter_map(|(workload, peer)| {
            let id = peer.identity?;
            Some((workload, Name::new(id.namespace(), id.service_account()).ok()?))
        })
        .collect();
    let mut told: BTreeMap<(Name, WorkloadName), Told> = BTreeMap::new();
    for row in series.iter().filter(|row| row.side() == Side::Outbound) {
        let source = WorkloadName::new(&row.source_namespace, &row.source_workload).ok();
        let source = source.and_then(|source| accounts.get(&source));
        let to = WorkloadName::new(&row.destination_namespace, &row.destination_workload);
        let (Some(source), Ok(to)) = (source, to) else { continue };
        let port = port_of(objects, row, &to);
        let told = told.entry((source.clone(), to)).or_default();
        let failed: u64 = row.failure_codes.iter().map(|it| it.count).sum();
        told.calls += row.requests.saturating_sub(failed);
        told.is_unclear |= port.is_none();
        told.ports.extend(port);
    }
    let mut arrived: BTreeMap<(Name, WorkloadName), u64> = BTreeMap::new();
    for ((source, to, _), calls) in edges {
        *arrived.entry((source.clone(), to.clone())).or_default() += calls;
    }
    told.into_iter()
        .filter(|(edge, told)| {
            !told.is_unclear && arrived.get(edge).is_some_and(|arrived| told.calls >= *arrived)
        })
        .map(|(edge, told)| (edge, told.ports))
        .collect()
}

/// The port of the application that a call came to.
fn port_of(objects: &Objects, row: &StatRow, to: &WorkloadName) -> Option<u16> {
    let service = ServiceName::new(&row.service_namespace, &row.service).ok()?;
    let port = u16::try_from(row.service_port).ok().filter(|port| *port != 0 && row.route.is_empty())?;
    let (_, endpoints) = objects.compiled.services.get(&service)?;
    let (places, _) = callee::places(objects, &service, port, endpoints.port(port));
    places.into_iter().find(|place| place.workload == *to).map(|place| place.port)
}

/// Calls by what is to be said of them.
#[derive(Debug, Default)]
struct Calls {
    edges: BTreeMap<(Name, WorkloadName, bool), u64>,
    plain: BTreeMap<WorkloadName, u64>,
    refused: BTreeMap<WorkloadName, u64>,
    /// Called, and no Service leads there.
    alone: BTreeSet<WorkloadName>,
}

impl Calls {
    fn add(&mut self, row: &StatRow, workload: WorkloadName) {
        let (went_on, stopped) = counts(row);
        if stopped > 0 {
            *self.refused.entry(workload.clone()).or_default() += stopped;
        }
        if went_on == 0 {
            return;
        }
        let count = match Name::new(&row.source_namespace, &row.source_workload) {
            Ok(source) => self.edges.entry((source, workload, row.protocol == "tcp")).or_default(),
            Err(_) => self.plain.entry(workload).or_default(),
        };
        *count += went_on;
    }

    fn warnings(&self, objects: &Objects) -> Vec<String> {
        let plain = self.plain.iter().map(|(workload, calls)| format!(
            "{calls} calls to {workload} came as plaintext, from nobody that a policy could name: they will be refused; put the callers into the mesh, `meshctl mtls report` says who they may be"
        ));
        let refused = self.refused.iter().map(|(workload, calls)| {
            format!(
                "{calls} calls to {workload} were refused by policies already; nothing is suggested for them"
            )
        });
        let alone = self.alone.iter().map(|workload| {
            format!("{workload} was called, and no Service leads to it: no policy is suggested for it")
        });
        let sources: BTreeSet<&Name> = self.edges.keys().map(|(source, ..)| source).collect();
        plain.chain(outside(objects, &sources)).chain(refused).chain(alone).collect()
    }
}

/// Reads the reports of called sidecars.
pub(super) fn observed(objects: &Objects, stat: &StatResponse, series: &[StatRow], scope: &Scope) -> Seen {
    let served = served(objects);
    let mut calls = Calls::default();
    for row in &stat.rows {
        let Ok(workload) = WorkloadName::new(&row.destination_namespace, &row.destination_workload) else {
            continue;
        };
        let services = served.get(&workload).map(Vec::as_slice).unwrap_or_default();
        if !scope.holds(&workload, services) {
            continue;
        }
        if services.is_empty() {
            calls.alone.insert(workload);
        } else {
            calls.add(row, workload);
        }
    }
    let called: BTreeSet<&ServiceName> = served
        .iter()
        .filter(|(workload, _)| {
            calls.edges.keys().any(|(_, called, _)| called == *workload)
                || calls.plain.contains_key(*workload)
        })
        .flat_map(|(_, services)| services.iter().map(|(service, _)| service))
        .collect();
    let in_scope = |name: &&ServiceName| match &scope.service {
        Some(only) => *name == only,
        None => scope.namespace.as_deref().is_none_or(|only| name.0.namespace() == only),
    };
    let services = objects.compiled.services.keys().filter(in_scope);
    let not_called = services.filter(|name| !called.contains(name)).cloned().collect();
    let warnings = calls.warnings(objects);
    let ports = self::called(objects, series, &calls.edges);
    let edge = |((source, workload, is_tcp), requests)| Edge { source, workload, requests, is_tcp };
    let edges = calls.edges.into_iter().map(edge).collect();
    let (seconds, only) = (stat.window_seconds, scope.service.clone());
    Seen { seconds, edges, served, only, called: ports, not_called, warnings }
}

/// Calls that went on, and those that policies refused.
fn counts(row: &StatRow) -> (u64, u64) {
    let refused = row.failure_codes.iter().filter(|it| REFUSED.contains(&it.code.as_str()));
    let refused: u64 = refused.map(|it| it.count).sum();
    (row.requests.saturating_sub(refused), refused)
}

/// Callers that no object explains. Reports name no trust domain, so that one of another mesh looks like this as well.
fn outside(objects: &Objects, sources: &BTreeSet<&Name>) -> Vec<String> {
    let index = &objects.index;
    let workloads = index.workloads.store.iter().filter_map(|(key, _)| key.model_name());
    let pods = index.pods.store.iter().filter_map(|(key, _)| key.model_name());
    let known: BTreeSet<(String, String)> = workloads
        .chain(pods)
        .filter_map(|name| callee::peer_of(objects, &WorkloadName(name))?.identity)
        .map(|id| (id.namespace().to_owned(), id.service_account().to_owned()))
        .collect();
    let unknown = sources
        .iter()
        .filter(|source| !known.contains(&(source.namespace().to_owned(), source.name().to_owned())));
    unknown
        .map(|source| format!(
            "{source} called, and no workload has that service account now: it has ended, or is of another trust domain; take it out if it should not call"
        ))
        .collect()
}

/// By workload the Services that lead to it, with the ports of its application.
fn served(objects: &Objects) -> BTreeMap<WorkloadName, Vec<(ServiceName, u16)>> {
    let mut found: BTreeMap<WorkloadName, Vec<(ServiceName, u16)>> = BTreeMap::new();
    for (service, (_, endpoints)) in &objects.compiled.services {
        for port in &endpoints.ports {
            for endpoint in &port.endpoints {
                if let Some(place) = callee::place(objects, service, port.service_port, endpoint) {
                    found.entry(place.workload).or_default().push((service.clone(), place.port));
                }
            }
        }
    }
    for services in found.values_mut() {
        services.sort();
        services.dedup();
    }
    found
}

/// Whether a Service leads to that workload, `NAMESPACE/NAME`.
pub(super) fn leads_to(objects: &Objects, service: &ServiceName, workload: &str) -> bool {
    let known = objects.compiled.services.get(service);
    let mut endpoints = known.into_iter().flat_map(|(_, all)| &all.ports).flat_map(|port| &port.endpoints);
    endpoints.any(|endpoint| endpoint.workload.as_ref().is_some_and(|name| name.to_string() == workload))
}
