//! From what is known to causes: failures of both sides put together, grouped, and joined with the state of objects and sidecars. Pure: facts
//! in, causes out. It must not know who was asked for the facts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use mesh_proto::inspect::v1::{
    FailureRow, ObjectStatus, ProxyCertificate, ProxySync, ServicesResponse, StatRow,
};
use mesh_proto::report::v1::{Example, Security, SeriesKey, Side};

use super::cause::{self, Cause, Seen};
use super::state;

/// What is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Whom it is about, `NAME` or `NAMESPACE/NAME`; empty: everybody.
    pub(crate) about: String,
    /// Only there; empty: everywhere.
    pub(crate) namespace: String,
    pub(crate) failures: Vec<FailureRow>,
    /// Traffic in the window.
    pub(crate) traffic: Vec<StatRow>,
    /// When there was traffic last, Unix seconds; asked for where there is none in the window.
    pub(crate) last_seen: Option<u64>,
    pub(crate) objects: Vec<ObjectStatus>,
    pub(crate) proxies: Vec<ProxySync>,
    pub(crate) certificates: Vec<ProxyCertificate>,
    pub(crate) services: ServicesResponse,
    /// Unix seconds.
    pub(crate) now: u64,
}

/// A workload or service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Party {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// An object that has to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Object {
    pub(crate) object: String,
    pub(crate) origin: String,
    pub(crate) field: String,
    pub(crate) message: String,
}

/// One cause, and whom it meets.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) cause: Cause,
    /// Requests or connections that failed so; 0 for a state.
    pub(crate) count: u64,
    /// Of so many between the two.
    pub(crate) requests: u64,
    pub(crate) source: Party,
    pub(crate) service: Party,
    pub(crate) port: u32,
    pub(crate) destination: Party,
    /// `httproute/NS/NAME#RULE`.
    pub(crate) route: String,
    /// The policy that decided, `NS/NAME`, and its rule from 1; 0: none fits.
    pub(crate) policy: Option<(String, u32)>,
    /// In the words of who noticed.
    pub(crate) detail: String,
    pub(crate) example: Option<Example>,
    pub(crate) objects: Vec<Object>,
}

/// All that was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) about: String,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) last_seen: Option<u64>,
    /// The most frequent first, states last.
    pub(crate) causes: Vec<Found>,
}

/// Finds the causes.
pub(crate) fn diagnose(facts: &Facts) -> Report {
    let rows = joined(facts);
    let mut groups: BTreeMap<_, Found> = BTreeMap::new();
    for one in rows {
        let key = (
            one.cause.code,
            one.source.clone(),
            one.service.clone(),
            one.destination.clone(),
            one.route.clone(),
            one.policy.clone(),
        );
        match groups.get_mut(&key) {
            None => {
                groups.insert(key, one);
            }
            Some(known) => {
                known.count += one.count;
                known.requests = known.requests.max(one.requests);
                if time_of(&one) > time_of(known) {
                    (known.example, known.detail) = (one.example, one.detail);
                }
            }
        }
    }
    let mut causes: Vec<Found> = groups.into_values().collect();
    // What came to the workloads behind a service, by whichever way, is told after what came by it.
    let of_service = is_service(facts);
    let aside = |found: &Found| of_service && found.service.name.is_empty();
    causes.sort_by(|a, b| {
        let order = aside(a).cmp(&aside(b)).then_with(|| b.count.cmp(&a.count));
        order.then_with(|| time_of(b).cmp(&time_of(a)))
    });
    let failed = causes.iter().filter(|one| one.cause != cause::CLIENT_GONE).map(|one| one.count).sum();
    state::join(facts, &mut causes);
    let requests = facts.traffic.iter().map(|row| row.requests).sum();
    Report { about: facts.about.clone(), requests, failed, last_seen: facts.last_seen, causes }
}

/// Whether a service is asked about.
fn is_service(facts: &Facts) -> bool {
    facts.services.services.iter().any(|service| is(&facts.about, &service.namespace, &service.name))
}

fn time_of(found: &Found) -> u64 {
    found.example.as_ref().map_or(0, |example| example.time_ms)
}

/// A failure at one side.
#[derive(Clone, Copy)]
struct Row<'a> {
    row: &'a FailureRow,
    key: &'a SeriesKey,
    example: &'a Example,
}

/// What both sides told of one failure becomes one: the caller's side knows the service and the route, the callee's knows why.
fn joined(facts: &Facts) -> Vec<Found> {
    let all = facts
        .failures
        .iter()
        .filter_map(|row| Some(Row { row, key: row.key.as_ref()?, example: row.example.as_ref()? }));
    let (inbound, outbound): (Vec<_>, Vec<_>) = all.partition(|row| row.key.side() == Side::Inbound);
    let mut told: Vec<bool> = vec![false; inbound.len()];
    let mut found = Vec::new();
    for one in &outbound {
        let same = |other: &Row<'_>| likeness(one, other);
        let best = (0..inbound.len())
            .filter_map(|at| Some((same(inbound.get(at)?)?, at)))
            .max_by_key(|(likeness, at)| (*likeness, Reverse(apart(one, inbound.get(*at)))));
        let other = best.and_then(|(_, at)| inbound.get(at));
        if let Some(seen) = best.and_then(|(_, at)| told.get_mut(at)) {
            *seen = true;
        }
        found.push(of(one, other));
    }
    // The same kind may have been told in several ways; what a caller's side told of the edge stands for all of it.
    let of_service = is_service(facts);
    for (one, told) in inbound.iter().zip(told) {
        let covered = outbound.iter().any(|other| likeness(other, one).is_some());
        let anonymous = one.key.source_workload.is_empty();
        // Its caller went away, most often because its sidecar gave up waiting: that one tells it.
        let left = one.example.reason == "client_gone" && !anonymous;
        // By another service than the one that is asked about; its callers tell which.
        let elsewhere = of_service && !anonymous && one.key.protocol != "tcp";
        if !(told || covered || left || elsewhere) {
            found.push(of(one, None));
        }
    }
    found
}

/// How far apart the examples of two sides are in time.
fn apart(one: &Row<'_>, other: Option<&Row<'_>>) -> u64 {
    other.map_or(u64::MAX, |other| one.example.time_ms.abs_diff(other.example.time_ms))
}

/// How much what the callee's side tells looks like what the caller's side tells; `None`: it is something else.
fn likeness(outbound: &Row<'_>, inbound: &Row<'_>) -> Option<u32> {
    let (out, key) = (outbound.key, inbound.key);
    let workload = (&out.destination_namespace, &out.destination_workload);
    if workload != (&key.destination_namespace, &key.destination_workload)
        || (!key.source_workload.is_empty() && out.source_namespace != key.source_namespace)
    {
        return None;
    }
    let tcp = out.protocol == "tcp" && key.protocol == "tcp";
    let same = if tcp {
        // Bytes have no answer that could say why.
        out.failure == "upstream_reset" && !key.failure.is_empty()
    } else {
        out.failure == key.failure && (outbound.example.by_callee || out.failure.is_empty())
    };
    if !same || (!tcp && out.status != key.status) {
        return None;
    }
    let (a, b) = (outbound.example, inbound.example);
    let trace = !a.trace_id.is_empty() && a.trace_id == b.trace_id;
    let path = a.path == b.path && a.method == b.method;
    let source = out.source_workload == key.source_workload;
    Some(4 * u32::from(trace) + 2 * u32::from(path) + u32::from(source))
}

fn of(one: &Row<'_>, other: Option<&Row<'_>>) -> Found {
    let why = other.unwrap_or(one);
    let key = one.key;
    let seen = Seen {
        inbound: why.key.side() == Side::Inbound || one.example.by_callee,
        mesh: key.security() == Security::Mtls,
        outside: key.security() == Security::Tls,
    };
    let reason = if why.example.reason.is_empty() { &one.example.reason } else { &why.example.reason };
    let party =
        |namespace: &str, name: &str| Party { namespace: namespace.to_owned(), name: name.to_owned() };
    let example = Example {
        count: 0,
        key: one.example.key.clone().or_else(|| Some(key.clone())),
        ..one.example.clone()
    };
    Found {
        cause: cause::of(&why.key.failure, reason, seen),
        count: one.row.count,
        requests: one.row.requests,
        source: party(&key.source_namespace, &key.source_workload),
        service: party(&key.service_namespace, &key.service),
        port: key.service_port,
        destination: party(&key.destination_namespace, &key.destination_workload),
        route: key.route.clone(),
        policy: (!why.example.policy.is_empty()).then(|| (why.example.policy.clone(), why.example.rule)),
        detail: if why.example.detail.is_empty() {
            one.example.detail.clone()
        } else {
            why.example.detail.clone()
        },
        example: Some(example),
        objects: Vec::new(),
    }
}

/// Whether `wanted`, a `NAME` or `NAMESPACE/NAME`, names that one.
pub(crate) fn is(wanted: &str, namespace: &str, name: &str) -> bool {
    match wanted.split_once('/') {
        Some((ns, wanted)) => ns == namespace && wanted == name,
        None => !wanted.is_empty() && wanted == name,
    }
}

#[cfg(test)]
pub(crate) mod tests;
