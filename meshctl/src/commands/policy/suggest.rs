//! Policies that allow what was observed, and nothing else. Pure.
//!
//! Every port of a workload that was called gets the policy of one Service: the one that is asked for, else of those that lead to that port
//! the one with the fewest workloads. A policy protects the ports that its Service leads to, and all that allow count together, so that each
//! observed call is allowed where it came in, whatever other Services lead there. Where it is not known which port was called, a caller is
//! allowed at all to which a Service leads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mesh_model::name::{Name, ServiceName, WorkloadName};
use serde_json::{Value, json};

use super::observed::{Scope, Seen};
use crate::commands::explain::objects::Objects;
use crate::output::table::{Align, Table};

/// Entries of a list of an object.
const MAX_ENTRIES: usize = 128;

/// Rules of an object.
const MAX_RULES: usize = 64;

/// Who may call which port.
type Callers = BTreeMap<u16, BTreeSet<Name>>;

/// A policy for each Service whose workloads were called, as an object.
pub(super) fn policies(objects: &Objects, seen: &Seen, scope: &Scope) -> Vec<Value> {
    let mut allowed: BTreeMap<ServiceName, Callers> = BTreeMap::new();
    for edge in &seen.edges {
        for port in seen.ports_of(edge) {
            let Some(service) = home(seen, scope, &edge.workload, port) else { continue };
            allowed.entry(service).or_default().entry(port).or_default().insert(edge.source.clone());
        }
    }
    allowed.iter().map(|(service, callers)| policy(service, &free_name(objects, service), callers)).collect()
}

/// The Service whose policy protects a port of a workload.
fn home(seen: &Seen, scope: &Scope, workload: &WorkloadName, port: u16) -> Option<ServiceName> {
    let size = |service: &ServiceName| {
        seen.served.values().filter(|services| services.iter().any(|(other, _)| other == service)).count()
    };
    let leads = seen.served.get(workload)?.iter().filter(|(_, own)| *own == port).map(|(service, _)| service);
    // A policy protects only in its own namespace.
    let own = leads.filter(|service| service.0.namespace() == workload.0.namespace());
    let mut meant = own.filter(|service| scope.service.as_ref().is_none_or(|only| only == *service));
    let first = meant.next()?;
    Some(meant.fold(first, |best, next| if size(next) < size(best) { next } else { best }).clone())
}

/// A name that no policy has yet: to replace one is for its owner to decide.
fn free_name(objects: &Objects, service: &ServiceName) -> String {
    let taken = |name: &str| {
        let mut known = objects.index.policies.authorization.iter();
        known.any(|(key, _)| *key.namespace == *service.0.namespace() && *key.name == *name)
    };
    let mut name = format!("{}-observed", service.0.name());
    for number in 2.. {
        if !taken(&name) {
            break;
        }
        name = format!("{}-observed-{number}", service.0.name());
    }
    name
}

fn policy(service: &ServiceName, name: &str, callers: &Callers) -> Value {
    // Ports with the same callers are one rule.
    let mut groups: BTreeMap<&BTreeSet<Name>, Vec<u16>> = BTreeMap::new();
    for (port, sources) in callers {
        groups.entry(sources).or_default().push(*port);
    }
    let rules: Vec<Value> = if groups.len() <= MAX_RULES {
        groups.iter().map(|(sources, ports)| rule(sources, ports)).collect()
    } else {
        // One rule for all of them: more than is needed, and nobody who called is shut out.
        let all: BTreeSet<Name> = callers.values().flatten().cloned().collect();
        vec![rule(&all, &callers.keys().copied().collect::<Vec<_>>())]
    };
    json!({
        "apiVersion": "amime.io/v1alpha1",
        "kind": "AuthorizationPolicy",
        "metadata": { "name": name, "namespace": service.0.namespace() },
        "spec": {
            "targetRefs": [{ "kind": "Service", "name": service.0.name() }],
            "action": "Allow",
            "rules": rules,
        },
    })
}

fn rule(sources: &BTreeSet<Name>, ports: &[u16]) -> Value {
    let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
    let from: Vec<Value> =
        sources.chunks(MAX_ENTRIES).map(|accounts| json!({ "serviceAccounts": accounts })).collect();
    let to: Vec<Value> = ports.chunks(MAX_ENTRIES).map(|ports| json!({ "ports": ports })).collect();
    json!({ "from": from, "to": to })
}

/// What the reader has to know, a line each.
fn notes(seen: &Seen) -> Vec<String> {
    let mut lines = vec![
        format!("Observed for {} s: {} callers of workloads.", seen.seconds, seen.edges.len()),
        "Not observed: methods and paths. What did not call in that time is refused.".to_owned(),
    ];
    match seen.unclear() {
        0 => {}
        unclear => lines.push(format!(
            "Of {unclear} of them it is not known which of several ports was called: they are allowed at each."
        )),
    }
    if !seen.not_called.is_empty() {
        let names: Vec<String> = seen.not_called.iter().map(ToString::to_string).collect();
        lines.push(format!("Nobody called {}: no policy for them.", names.join(", ")));
    }
    lines.extend(seen.warnings.iter().map(|warning| format!("WARNING: {warning}")));
    lines
}

/// For `kubectl apply`, or the folder of a mesh.
pub(super) fn yaml(policies: &[Value], seen: &Seen) -> String {
    let mut out = String::new();
    for line in notes(seen) {
        let _ = writeln!(out, "# {line}");
    }
    for policy in policies {
        // JSON values can always be written.
        let text = serde_saphyr::to_string(policy).unwrap_or_default();
        let _ = write!(out, "---\n{}\n", text.trim_end());
    }
    out
}

pub(super) fn json(policies: &[Value], seen: &Seen) -> Value {
    json!({
        "apiVersion": "meshctl.amime.io/v1",
        "kind": "PolicySuggestion",
        "observedSeconds": seen.seconds,
        "edges": seen.edges.iter().map(|edge| json!({
            "source": edge.source.to_string(),
            "workload": edge.workload.to_string(),
            "requests": edge.requests,
            "tcp": edge.is_tcp,
        })).collect::<Vec<_>>(),
        "notCalled": seen.not_called.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "warnings": seen.warnings,
        "policies": policies,
    })
}

pub(super) fn table(seen: &Seen) -> Table {
    let mut table = Table::new(&[
        ("CALLER", Align::Left),
        ("WORKLOAD", Align::Left),
        ("PROTOCOL", Align::Left),
        ("CALLS", Align::Right),
    ]);
    for edge in &seen.edges {
        table.row([
            edge.source.to_string().into(),
            edge.workload.to_string().into(),
            if edge.is_tcp { "tcp" } else { "http" }.into(),
            edge.requests.to_string().into(),
        ]);
    }
    table
}
