//! Who talks to whom, and why something is not secured. Pure.

use std::collections::BTreeMap;

use mesh_proto::inspect::v1::{Edge, EdgesRequest, EdgesResponse, StatResponse, StatRow, Unsecured};
use mesh_proto::report::v1::{Security, Side};

use super::facts::{Disabled, Facts};
use crate::observe::members::Callers;
use crate::observe::stats::group::{Rows, View, finish};

/// Seconds that are looked at by default.
const WINDOW: u32 = 600;

/// Seconds that are asked about.
pub fn window(request: &EdgesRequest) -> u32 {
    if request.window_seconds == 0 { WINDOW } else { request.window_seconds }
}

/// Rows of all replicas as edges, the busiest first.
pub fn edges(all: StatResponse, facts: &Facts) -> EdgesResponse {
    let callers = Callers::of(&all.reporters);
    let mut rows = Rows::default();
    let mut plain_from_members: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in all.rows {
        if !View::Caller.shows(&row, &callers) {
            continue;
        }
        if row.side == Side::Outbound as i32 && row.security == Security::Plaintext as i32 {
            let to = (row.destination_namespace.clone(), row.destination_workload.clone());
            *plain_from_members.entry(to).or_default() += row.requests;
        }
        rows.add(StatRow { route: String::new(), service_port: 0, protocol: String::new(), ..row });
    }
    let mut told = Rows::default();
    let mut reasons = BTreeMap::new();
    for mut row in rows.done() {
        if is_stranger(&row) {
            // Members that call in plaintext are told of by their own proxies; to the callee's they are strangers.
            let to = (row.destination_namespace.clone(), row.destination_workload.clone());
            let known = plain_from_members.get(&to).copied().unwrap_or(0);
            if row.requests <= known {
                continue;
            }
            row.requests -= known;
        }
        let why = why(&row, facts);
        let label = StatRow { side: 0, ..owners(row, facts) };
        reasons.entry(place(&label)).or_insert(why);
        told.add(label);
    }
    let window_seconds = all.window_seconds;
    let edge = |mut row: StatRow| {
        finish(&mut row, window_seconds);
        let (unsecured, reason) = reasons.remove(&place(&row)).unwrap_or_default();
        edge(row, unsecured, reason)
    };
    let mut edges: Vec<Edge> = told.done().into_iter().map(edge).collect();
    edges.sort_by_key(|edge| std::cmp::Reverse(edge.requests));
    EdgesResponse { window_seconds, edges, unanswered: all.unanswered }
}

fn is_stranger(row: &StatRow) -> bool {
    row.side == Side::Inbound as i32
        && row.security == Security::Plaintext as i32
        && row.source_workload.is_empty()
}

fn owners(row: StatRow, facts: &Facts) -> StatRow {
    let owner = |namespace: &str, workload: &str| facts.members().owner(namespace, workload).to_owned();
    StatRow {
        source_workload: owner(&row.source_namespace, &row.source_workload),
        destination_workload: owner(&row.destination_namespace, &row.destination_workload),
        ..row
    }
}

fn place(row: &StatRow) -> ([String; 6], i32) {
    let names = [
        &row.source_namespace,
        &row.source_workload,
        &row.service_namespace,
        &row.service,
        &row.destination_namespace,
        &row.destination_workload,
    ];
    (names.map(String::clone), row.security)
}

fn edge(row: StatRow, unsecured: Unsecured, reason: String) -> Edge {
    Edge {
        source_namespace: row.source_namespace,
        source_workload: row.source_workload,
        destination_namespace: row.destination_namespace,
        destination_workload: row.destination_workload,
        service_namespace: row.service_namespace,
        service: row.service,
        security: row.security,
        unsecured: unsecured.into(),
        reason,
        requests: row.requests,
        failures: row.failures,
        rps: row.rps,
        p50_ms: row.p50_ms,
        p99_ms: row.p99_ms,
        bytes_in: row.bytes_in,
        bytes_out: row.bytes_out,
    }
}

/// Why there was no mutual TLS.
fn why(row: &StatRow, facts: &Facts) -> (Unsecured, String) {
    if row.security != Security::Plaintext as i32 {
        return (Unsecured::Unspecified, String::new());
    }
    let (namespace, workload) = (&row.destination_namespace, &row.destination_workload);
    if row.side == Side::Inbound as i32 {
        let open = facts.open_by(namespace, workload).unwrap_or_default();
        let (why, what) = if row.source_workload.is_empty() {
            (Unsecured::CallerOutside, "the caller has no proxy")
        } else {
            (Unsecured::CallerPastProxy, "the call did not go through the caller's proxy")
        };
        return (why, format!("{what}; plaintext is let in: {open}"));
    }
    if (&row.source_namespace, &row.source_workload) == (namespace, workload) {
        return (Unsecured::Itself, "the workload calls itself; nothing leaves it".to_owned());
    }
    if workload.is_empty() {
        return (Unsecured::CalleeOutside, "the destination is outside the mesh".to_owned());
    }
    match facts.members().find(namespace, workload) {
        Some(member) if member.sidecar => match facts.disabled(namespace, workload) {
            Some(Disabled { source, port }) => {
                let at = port.map(|port| format!(" at port {port}")).unwrap_or_default();
                let by = if source.is_empty() { "the default of the mesh" } else { source.as_str() };
                (Unsecured::Disabled, format!("{by} turns mutual TLS off{at}"))
            }
            None => {
                (Unsecured::CalleeOutside, "the called one had no proxy; since then it has one".to_owned())
            }
        },
        _ => (Unsecured::CalleeOutside, "the called one has no proxy".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use mesh_proto::inspect::v1::Reporter;

    use super::*;

    fn row(side: Side, source: &str, to: &str, security: Security, requests: u64) -> StatRow {
        let namespace = |name: &str| if name.is_empty() { String::new() } else { "shop".to_owned() };
        StatRow {
            side: side.into(),
            source_namespace: namespace(source),
            source_workload: source.into(),
            destination_namespace: namespace(to),
            destination_workload: to.into(),
            security: security.into(),
            requests,
            ..StatRow::default()
        }
    }

    #[test]
    fn each_edge_is_told_once_with_why_it_is_not_secured() {
        use Security::{Mtls, Plaintext};
        let rows = vec![
            row(Side::Outbound, "web", "cart", Mtls, 100),
            row(Side::Inbound, "web", "cart", Mtls, 100),
            row(Side::Outbound, "web", "old", Plaintext, 40),
            row(Side::Outbound, "web", "web", Plaintext, 5),
            // Of the 30 strangers of cart's proxy none is the member that it is to be told of.
            row(Side::Inbound, "", "cart", Plaintext, 30),
        ];
        let reporter =
            |name: &str| Reporter { namespace: "shop".into(), workload: name.into(), ..Reporter::default() };
        let reporters = vec![reporter("web"), reporter("cart")];
        let all = StatResponse { window_seconds: 10, rows, reporters, ..StatResponse::default() };
        let told: Vec<_> = edges(all, &Facts::default())
            .edges
            .into_iter()
            .map(|edge| {
                (
                    edge.source_workload.clone(),
                    edge.destination_workload.clone(),
                    edge.requests,
                    edge.unsecured(),
                )
            })
            .collect();
        let of = |source: &str, to: &str, requests, why| (source.to_owned(), to.to_owned(), requests, why);
        assert_eq!(
            told,
            [
                of("web", "cart", 100, Unsecured::Unspecified),
                of("web", "old", 40, Unsecured::CalleeOutside),
                of("", "cart", 30, Unsecured::CallerOutside),
                of("web", "web", 5, Unsecured::Itself),
            ]
        );
    }
}
