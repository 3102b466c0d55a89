//! Counters and latencies of the last hour, one series an edge; `rings` has them over time. Pure: time is an argument, in
//! seconds. Bounded: a series that finds no room is counted, and so are its requests.

mod rings;

use std::collections::{BTreeMap, HashMap, HashSet};

use mesh_proto::inspect::v1::{FailureCount, StatRequest, StatResponse, StatRow};
use mesh_proto::report::v1::{Security, Series, SeriesKey, Side};

use self::rings::{Cell, KEPT, Rings};
use super::histogram::Histogram;

/// Most series.
pub const MAX_SERIES: usize = 20_000;
/// Longest text of a key; names in Kubernetes end at 253, a route is two and a rule.
const MAX_TEXT: usize = 600;

/// Who reports: what a proxy says about itself is taken from here, not from its report.
#[derive(Debug, Clone, Copy)]
pub struct Reporter<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its workload.
    pub workload: &'a str,
}

/// Everything but the outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Edge {
    side: i32,
    source_namespace: String,
    source_workload: String,
    service_namespace: String,
    service: String,
    destination_namespace: String,
    destination_workload: String,
    route: String,
    protocol: String,
    security: i32,
}

/// The statistics.
#[derive(Debug, Default)]
pub struct Stats {
    series: HashMap<Edge, Rings>,
    began: Option<u64>,
    overflow: u64,
}

impl Stats {
    /// Adds what a proxy reported.
    pub fn record(&mut self, reporter: Reporter<'_>, series: &[Series], now: u64) {
        self.began.get_or_insert(now);
        for series in series {
            let Some(key) = &series.key else { continue };
            let Some(edge) = edge(reporter, key) else { continue };
            if !self.series.contains_key(&edge) && self.series.len() >= MAX_SERIES {
                self.overflow = self.overflow.saturating_add(1);
                continue;
            }
            self.series.entry(edge).or_default().add(&cell(key, series), now);
        }
    }

    /// Forgets what is older than an hour.
    pub fn expire(&mut self, now: u64) {
        self.series.retain(|_, rings| {
            rings.expire(now);
            !rings.is_empty()
        });
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// How many times a series found no room.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Answers a question about the last seconds. `reporters` have a proxy that reports, also when it has not told of a call yet.
    pub fn query(&self, request: &StatRequest, now: u64, reporters: &Callers<'_>) -> StatResponse {
        let asked = match request.window_seconds {
            0 => 60,
            seconds => u64::from(seconds).min(KEPT),
        };
        // Right after the start a rate over the whole window would be too low.
        let lived = self.began.map_or(asked, |began| now.saturating_sub(began).max(1));
        let window = asked.min(lived);
        let callers: Callers<'_> = self.callers().chain(reporters.iter().copied()).collect();
        let mut rows: Vec<StatRow> = Vec::new();
        for (edge, rings) in &self.series {
            if !edge.fits(request) || !side_fits(edge, request.side, &callers) {
                continue;
            }
            // Over all that was asked for: the second in which it began is part of it.
            let cell = rings.sum(asked, now);
            if cell.requests > 0 {
                rows.push(row(edge, &cell, window));
            }
        }
        rows.sort_by(|a, b| order(a).cmp(&order(b)));
        StatResponse { window_seconds: u32::try_from(window).unwrap_or(0), rows }
    }

    /// Workloads whose own proxies report their calls.
    fn callers(&self) -> impl Iterator<Item = (&str, &str)> {
        let outbound = self.series.keys().filter(|edge| edge.side == Side::Outbound as i32);
        outbound.map(|edge| (edge.source_namespace.as_str(), edge.source_workload.as_str()))
    }
}

/// Namespace and name of workloads.
pub type Callers<'a> = HashSet<(&'a str, &'a str)>;

fn order(row: &StatRow) -> (&str, &str, &str, &str, &str, &str, &str, i32) {
    (
        &row.source_namespace,
        &row.source_workload,
        &row.service_namespace,
        &row.service,
        &row.destination_namespace,
        &row.destination_workload,
        &row.route,
        row.side,
    )
}

impl Edge {
    fn fits(&self, request: &StatRequest) -> bool {
        let namespace = request.namespace.as_str();
        let in_namespace = namespace.is_empty()
            || [&self.source_namespace, &self.service_namespace, &self.destination_namespace]
                .iter()
                .any(|n| *n == namespace);
        let from =
            request.from.is_empty() || named(&request.from, &self.source_namespace, &self.source_workload);
        let to = request.to.is_empty()
            || named(&request.to, &self.destination_namespace, &self.destination_workload)
            || named(&request.to, &self.service_namespace, &self.service);
        in_namespace && from && to
    }
}

/// `NAME` or `NAMESPACE/NAME`.
fn named(wanted: &str, namespace: &str, name: &str) -> bool {
    match wanted.split_once('/') {
        Some((ns, wanted)) => ns == namespace && wanted == name,
        None => wanted == name,
    }
}

/// A side that was asked for; else each request once: as its caller's proxy saw it, and where the caller has none as its
/// callee's did.
fn side_fits(edge: &Edge, side: i32, callers: &Callers<'_>) -> bool {
    match Side::try_from(side) {
        Ok(Side::Outbound | Side::Inbound) => edge.side == side,
        Ok(Side::Unspecified) | Err(_) => {
            edge.side == Side::Outbound as i32
                || edge.security == Security::Plaintext as i32
                || !callers.contains(&(edge.source_namespace.as_str(), edge.source_workload.as_str()))
        }
    }
}

fn edge(reporter: Reporter<'_>, key: &SeriesKey) -> Option<Edge> {
    let cut = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
    let mut edge = Edge {
        side: key.side,
        source_namespace: cut(&key.source_namespace),
        source_workload: cut(&key.source_workload),
        service_namespace: cut(&key.service_namespace),
        service: cut(&key.service),
        destination_namespace: cut(&key.destination_namespace),
        destination_workload: cut(&key.destination_workload),
        route: cut(&key.route),
        protocol: cut(&key.protocol),
        security: key.security,
    };
    match Side::try_from(key.side) {
        Ok(Side::Outbound) => {
            reporter.namespace.clone_into(&mut edge.source_namespace);
            reporter.workload.clone_into(&mut edge.source_workload);
        }
        Ok(Side::Inbound) => {
            reporter.namespace.clone_into(&mut edge.destination_namespace);
            reporter.workload.clone_into(&mut edge.destination_workload);
        }
        Ok(Side::Unspecified) | Err(_) => return None,
    }
    Some(edge)
}

/// HTTP 5xx; a gRPC status that says that the server failed (UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
/// DATA_LOSS); for what has neither, a failure of the mesh.
pub fn is_failure(status: u32, grpc_status: Option<u32>, failure: &str) -> bool {
    match grpc_status {
        Some(grpc) => matches!(grpc, 2 | 4 | 12 | 13 | 14 | 15),
        None if status == 0 => !failure.is_empty(),
        None => status >= 500,
    }
}

fn cell(key: &SeriesKey, series: &Series) -> Cell {
    let failed = is_failure(key.status, key.grpc_status, &key.failure);
    let count = |is: bool| if is { series.requests } else { 0 };
    let by_mesh = !key.failure.is_empty();
    Cell {
        requests: series.requests,
        failures: count(failed),
        mesh_failures: count(failed && by_mesh),
        latency: series.latency.as_ref().map(Histogram::from_wire).unwrap_or_default(),
        codes: if by_mesh {
            vec![(key.failure.chars().take(40).collect(), series.requests)]
        } else {
            Vec::new()
        },
    }
}

fn row(edge: &Edge, cell: &Cell, window: u64) -> StatRow {
    let millis = |q: f64| cell.latency.quantile(q) / 1000.0;
    let codes: BTreeMap<&String, u64> = cell.codes.iter().map(|(code, count)| (code, *count)).collect();
    StatRow {
        side: edge.side,
        source_namespace: edge.source_namespace.clone(),
        source_workload: edge.source_workload.clone(),
        service_namespace: edge.service_namespace.clone(),
        service: edge.service.clone(),
        destination_namespace: edge.destination_namespace.clone(),
        destination_workload: edge.destination_workload.clone(),
        route: edge.route.clone(),
        protocol: edge.protocol.clone(),
        security: edge.security,
        requests: cell.requests,
        failures: cell.failures,
        mesh_failures: cell.mesh_failures,
        rps: cell.requests as f64 / window.max(1) as f64,
        p50_ms: millis(0.50),
        p95_ms: millis(0.95),
        p99_ms: millis(0.99),
        failure_codes: codes
            .into_iter()
            .map(|(code, count)| FailureCount { code: code.clone(), count })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
