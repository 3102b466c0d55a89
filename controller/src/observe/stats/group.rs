//! Rows of all replicas as one answer: added up, each request once, put together by what was asked for. Pure.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use mesh_proto::inspect::v1::{FailureCount, Group, StatRequest, StatResponse, StatRow};
use mesh_proto::report::v1::{Security, Side};

use super::super::histogram::Histogram;
use super::super::members::{Callers, Members};
use super::{named, points};

/// Who is behind a service: namespace and name of workloads.
pub type Behind<'a> = BTreeMap<(&'a str, &'a str), BTreeSet<(&'a str, &'a str)>>;

/// What an answer is put together with.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// Workloads that objects name.
    pub members: &'a Members,
    /// Which of them are behind which service.
    pub services: &'a Behind<'a>,
}

/// Where a request is counted, so that it is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// As its caller's proxy saw it, and where the caller has none as its callee's did.
    Caller,
    /// As its callee's proxy saw it, and where the callee has none as its caller's did.
    Callee,
    /// What proxies of this side saw.
    Only(Side),
}

impl View {
    fn of(request: &StatRequest) -> Self {
        match Side::try_from(request.side) {
            Ok(side @ (Side::Outbound | Side::Inbound)) => return Self::Only(side),
            Ok(Side::Unspecified) | Err(_) => {}
        }
        match request.group() {
            Group::Workload | Group::Pod | Group::Namespace
                if request.from.is_empty() && request.to.is_empty() =>
            {
                Self::Callee
            }
            _ => Self::Caller,
        }
    }

    /// Whether that row is what is counted.
    pub fn shows(self, row: &StatRow, callers: &Callers) -> bool {
        let outbound = row.side == Side::Outbound as i32;
        match self {
            Self::Only(side) => row.side == side as i32,
            Self::Caller => {
                outbound
                    || row.security == Security::Plaintext as i32
                    || !callers.report(&row.source_namespace, &row.source_workload)
            }
            Self::Callee => {
                !outbound || !callers.report(&row.destination_namespace, &row.destination_workload)
            }
        }
    }
}

/// The answers of all replicas as one, with every row in it that any of them has.
pub fn together(all: Vec<StatResponse>) -> StatResponse {
    let mut sum = StatResponse::default();
    let mut rows = Rows::default();
    for one in all {
        sum.window_seconds = sum.window_seconds.max(one.window_seconds);
        sum.reporters.extend(one.reporters);
        sum.unanswered.extend(one.unanswered);
        one.rows.into_iter().for_each(|row| rows.add(row));
    }
    sum.rows = rows.done();
    sum
}

/// What was asked for.
pub fn answer(all: StatResponse, request: &StatRequest, world: World<'_>) -> StatResponse {
    let callers = Callers::of(&all.reporters);
    let (group, view) = (request.group(), View::of(request));
    let by_source = !request.to.is_empty();
    let mut rows = Rows::default();
    if request.from.is_empty() && request.to.is_empty() {
        for label in known(group, world, &callers) {
            if in_namespace(&label, request) {
                rows.add(label);
            }
        }
    }
    for row in all.rows {
        if !view.shows(&row, &callers) {
            continue;
        }
        if let Some(label) = label(row, group, world.members, by_source) {
            rows.add(label);
        }
    }
    let (window, census) = (all.window_seconds, census(group, world, &callers));
    let mut rows = rows.done();
    rows.retain(|row| request.name.is_empty() || is_called(row, group, by_source, &request.name));
    for row in &mut rows {
        finish(row, window);
        if !request.histograms {
            row.latency = None;
        }
        let counted = census.get(&subject(row, group, by_source)).copied();
        (row.meshed, row.meshed_of) = counted.unwrap_or_default();
    }
    StatResponse { window_seconds: window, rows, unanswered: all.unanswered, reporters: Vec::new() }
}

/// Rates and quantiles.
pub fn finish(row: &mut StatRow, window: u32) {
    let latency = row.latency.as_ref().map(Histogram::from_wire).unwrap_or_default();
    let millis = |q: f64| latency.quantile(q) / 1000.0;
    row.rps = row.requests as f64 / f64::from(window.max(1));
    (row.p50_ms, row.p95_ms, row.p99_ms) = (millis(0.50), millis(0.95), millis(0.99));
}

fn in_namespace(label: &StatRow, request: &StatRequest) -> bool {
    let of = if label.service_namespace.is_empty() {
        &label.destination_namespace
    } else {
        &label.service_namespace
    };
    request.namespace.is_empty() || *of == request.namespace
}

/// The row with what rows of the group have in common; `None` if it is not about anything of that kind.
fn label(row: StatRow, group: Group, members: &Members, by_source: bool) -> Option<StatRow> {
    let counted = StatRow {
        side: 0,
        source_namespace: String::new(),
        source_workload: String::new(),
        service_namespace: String::new(),
        service: String::new(),
        service_port: 0,
        destination_namespace: String::new(),
        destination_workload: String::new(),
        route: String::new(),
        protocol: String::new(),
        security: 0,
        ..row.clone()
    };
    let of = |namespace: String, workload: String| {
        let counted = counted.clone();
        Some(if by_source {
            StatRow { source_namespace: namespace, source_workload: workload, ..counted }
        } else {
            StatRow { destination_namespace: namespace, destination_workload: workload, ..counted }
        })
    };
    let (namespace, workload) = if by_source {
        (row.source_namespace.clone(), row.source_workload.clone())
    } else {
        (row.destination_namespace.clone(), row.destination_workload.clone())
    };
    match group {
        Group::Unspecified => Some(StatRow { service_port: 0, ..row }),
        Group::Workload | Group::Pod | Group::Namespace if workload.is_empty() => None,
        Group::Workload => {
            let owner = members.owner(&namespace, &workload).to_owned();
            of(namespace, owner)
        }
        Group::Pod => of(namespace, workload),
        Group::Namespace => of(namespace, String::new()),
        Group::Service | Group::Route if row.service.is_empty() => None,
        Group::Service | Group::Route => Some(StatRow {
            service_namespace: row.service_namespace,
            service: row.service,
            route: if group == Group::Route { row.route } else { String::new() },
            ..counted
        }),
    }
}

/// A row without traffic for each that is known.
fn known(group: Group, world: World<'_>, callers: &Callers) -> Vec<StatRow> {
    let workloads = || {
        let named = world.members.iter().map(|(namespace, workload, _)| (namespace, workload));
        named.chain(callers.workloads()).collect::<BTreeSet<_>>()
    };
    let row = |namespace: &str, workload: &str| StatRow {
        destination_namespace: namespace.to_owned(),
        destination_workload: workload.to_owned(),
        ..StatRow::default()
    };
    match group {
        Group::Workload => {
            workloads().into_iter().map(|(ns, name)| row(ns, world.members.owner(ns, name))).collect()
        }
        Group::Pod => workloads().into_iter().map(|(ns, name)| row(ns, name)).collect(),
        Group::Namespace => workloads().into_iter().map(|(ns, _)| row(ns, "")).collect(),
        Group::Service => {
            let service = |(namespace, service): &(&str, &str)| StatRow {
                service_namespace: (*namespace).to_owned(),
                service: (*service).to_owned(),
                ..StatRow::default()
            };
            world.services.keys().map(service).collect()
        }
        Group::Unspecified | Group::Route => Vec::new(),
    }
}

fn is_called(row: &StatRow, group: Group, by_source: bool, wanted: &str) -> bool {
    let (namespace, name) = match (group, by_source) {
        (Group::Service, _) => (&row.service_namespace, &row.service),
        (Group::Route, _) => {
            let route = row.route.split('#').next().unwrap_or_default();
            let short = route.rsplit('/').next().unwrap_or_default();
            return route == wanted
                || row.route == wanted
                || short == wanted
                || named(wanted, &row.service_namespace, &row.service);
        }
        (Group::Namespace, true) => return row.source_namespace == wanted,
        (Group::Namespace, false) => return row.destination_namespace == wanted,
        (_, true) => (&row.source_namespace, &row.source_workload),
        (_, false) => (&row.destination_namespace, &row.destination_workload),
    };
    named(wanted, namespace, name)
}

/// By whom a row is about: how many have a proxy that reports, and how many there are.
type Census = BTreeMap<(String, String), (u32, u32)>;

fn census(group: Group, world: World<'_>, callers: &Callers) -> Census {
    let mut census = Census::new();
    let mut count = |of: (&str, &str), (namespace, workload): (&str, &str)| {
        let (reporting, all) = census.entry((of.0.to_owned(), of.1.to_owned())).or_default();
        *reporting += u32::from(callers.report(namespace, workload));
        *all += 1;
    };
    let named = world.members.iter().map(|(namespace, workload, _)| (namespace, workload));
    let workloads: BTreeSet<(&str, &str)> = named.chain(callers.workloads()).collect();
    match group {
        Group::Unspecified | Group::Route => {}
        Group::Service => {
            for (service, behind) in world.services {
                for workload in behind {
                    count(*service, *workload);
                }
            }
        }
        Group::Workload => {
            let of = |(ns, name): (&str, &str)| (ns.to_owned(), world.members.owner(ns, name).to_owned());
            for workload in workloads {
                let (ns, owner) = of(workload);
                count((&ns, &owner), workload);
            }
        }
        Group::Pod => workloads.into_iter().for_each(|workload| count(workload, workload)),
        Group::Namespace => workloads.into_iter().for_each(|workload| count((workload.0, ""), workload)),
    }
    census
}

fn subject(row: &StatRow, group: Group, by_source: bool) -> (String, String) {
    let (namespace, name) = match (group, by_source) {
        (Group::Service, _) => (&row.service_namespace, &row.service),
        (_, true) => (&row.source_namespace, &row.source_workload),
        (_, false) => (&row.destination_namespace, &row.destination_workload),
    };
    (namespace.clone(), name.clone())
}

type Key = ([String; 4], [String; 4], (i32, i32, u32));

/// Rows of the same meaning, added up.
#[derive(Debug, Default)]
pub struct Rows(BTreeMap<Key, (StatRow, Histogram)>);

impl Rows {
    /// Adds one.
    pub fn add(&mut self, mut row: StatRow) {
        let latency = row.latency.take().as_ref().map(Histogram::from_wire).unwrap_or_default();
        match self.0.entry(key(&row)) {
            Entry::Vacant(place) => drop(place.insert((row, latency))),
            Entry::Occupied(mut known) => {
                let (known, sum) = known.get_mut();
                sum.merge(&latency);
                add(known, row);
            }
        }
    }

    /// All, in the order of their names.
    pub fn done(self) -> Vec<StatRow> {
        let all = self.0.into_values();
        all.map(|(row, latency)| StatRow { latency: Some(latency.to_wire()), ..row }).collect()
    }
}

fn key(row: &StatRow) -> Key {
    let names = [&row.source_namespace, &row.source_workload, &row.service_namespace, &row.service];
    let others = [&row.destination_namespace, &row.destination_workload, &row.route, &row.protocol];
    (names.map(String::clone), others.map(String::clone), (row.side, row.security, row.service_port))
}

fn add(known: &mut StatRow, more: StatRow) {
    known.requests += more.requests;
    known.failures += more.failures;
    known.mesh_failures += more.mesh_failures;
    known.bytes_in = known.bytes_in.saturating_add(more.bytes_in);
    known.bytes_out = known.bytes_out.saturating_add(more.bytes_out);
    known.tcp_connections += more.tcp_connections;
    known.latency_sum_us = known.latency_sum_us.saturating_add(more.latency_sum_us);
    points::add(&mut known.history, more.history);
    let mut counts = BTreeMap::<String, u64>::new();
    for failure in known.failure_codes.drain(..).chain(more.failure_codes) {
        *counts.entry(failure.code).or_default() += failure.count;
    }
    known.failure_codes = counts.into_iter().map(|(code, count)| FailureCount { code, count }).collect();
}

#[cfg(test)]
mod tests;
