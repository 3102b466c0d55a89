//! Counters and latencies of the last hour, one series an edge; `rings` has them over time, `points` their history. Pure: time is an
//! argument, in seconds. Bounded: a series that finds no room is counted, and so are its requests. What is told here are rows of one
//! replica; `group` makes answers of those of all.

pub mod group;
mod points;
mod rings;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mesh_proto::inspect::v1::{FailureCount, Reporter as WireReporter, StatRequest, StatResponse, StatRow};
use mesh_proto::report::v1::{Series, SeriesKey, Side};

use self::points::Points;
use self::rings::{Cell, KEPT, Rings};
use super::histogram::Histogram;
use super::members::Members;

/// Most series.
pub const MAX_SERIES: usize = 20_000;
/// Most series that have a history: 5,760 bytes each, 29 MB of all.
pub const MAX_HISTORIES: usize = 5_000;
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

/// When requests were counted.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// Now.
    pub now: u64,
    /// For how long what is told had to wait.
    pub late: u64,
}

/// Everything but the outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Edge {
    side: i32,
    source_namespace: String,
    source_workload: String,
    service_namespace: String,
    service: String,
    service_port: u32,
    destination_namespace: String,
    destination_workload: String,
    route: String,
    protocol: String,
    security: i32,
}

/// What one edge counted.
#[derive(Debug, Default)]
struct Kept {
    rings: Rings,
    /// `None`: there was no room.
    points: Option<Points>,
}

/// The statistics.
#[derive(Debug, Default)]
pub struct Stats {
    series: HashMap<Edge, Kept>,
    histories: usize,
    began: Option<u64>,
    overflow: u64,
    without_history: u64,
}

impl Stats {
    /// Adds what a proxy reported. What had to wait counts when it happened, so that what was seen before a decision is not taken for what
    /// came of it.
    pub fn record(&mut self, reporter: Reporter<'_>, series: &[Series], when: When) {
        self.began.get_or_insert(when.now);
        for series in series {
            let Some(key) = &series.key else { continue };
            let Some(edge) = edge(reporter, key) else { continue };
            let cell = cell(key, series);
            if let Some(kept) = self.series.get_mut(&edge) {
                kept.add(&cell, when);
                continue;
            }
            if self.series.len() >= MAX_SERIES {
                self.overflow = self.overflow.saturating_add(1);
                continue;
            }
            let mut kept = Kept::default();
            if self.histories < MAX_HISTORIES {
                self.histories += 1;
                kept.points = Some(Points::default());
            } else {
                self.without_history = self.without_history.saturating_add(1);
            }
            kept.add(&cell, when);
            self.series.insert(edge, kept);
        }
    }

    /// Forgets what is older than an hour.
    pub fn expire(&mut self, now: u64) {
        self.series.retain(|_, kept| {
            kept.rings.expire(now);
            if let Some(points) = &mut kept.points {
                points.expire(now);
            }
            !kept.rings.is_empty()
        });
        self.histories = self.series.values().filter(|kept| kept.points.is_some()).count();
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

    /// How many series have no history for want of room.
    pub fn without_history(&self) -> u64 {
        self.without_history
    }

    /// What is known of the last seconds: rows of both sides as they were reported, with their histograms.
    pub fn rows(&self, request: &StatRequest, now: u64, members: &Members) -> StatResponse {
        let asked = match request.window_seconds {
            0 => 60,
            seconds => u64::from(seconds).min(KEPT),
        };
        // Right after the start a rate over the whole window would be too low.
        let lived = self.began.map_or(asked, |began| now.saturating_sub(began).max(1));
        let mut rows: Vec<StatRow> = Vec::new();
        for (edge, kept) in self.series.iter().filter(|(edge, _)| edge.fits(request, members)) {
            // Over all that was asked for: the second in which it began is part of it.
            let cell = kept.rings.sum(asked, now);
            let history = match &kept.points {
                Some(points) if request.history => points.wire(),
                _ => Vec::new(),
            };
            if cell.requests > 0 || !history.is_empty() {
                rows.push(StatRow { history, ..row(edge, &cell) });
            }
        }
        let window_seconds = u32::try_from(asked.min(lived)).unwrap_or(0);
        StatResponse { window_seconds, rows, ..StatResponse::default() }
    }

    /// Workloads whose own proxies told of calls of theirs.
    pub fn callers(&self) -> impl Iterator<Item = WireReporter> {
        let outbound = self.series.keys().filter(|edge| edge.side == Side::Outbound as i32);
        let names = outbound.map(|edge| (edge.source_namespace.as_str(), edge.source_workload.as_str()));
        let names: BTreeSet<_> = names.collect();
        names.into_iter().map(|(namespace, workload)| WireReporter {
            namespace: namespace.to_owned(),
            workload: workload.to_owned(),
            service_account: String::new(),
        })
    }
}

impl Kept {
    fn add(&mut self, cell: &Cell, when: When) {
        self.rings.add(cell, when);
        if let Some(points) = &mut self.points {
            // What has passed there is drawn already.
            points.add(cell, when.now);
        }
    }
}

impl Edge {
    fn fits(&self, request: &StatRequest, members: &Members) -> bool {
        let namespace = request.namespace.as_str();
        let in_namespace = namespace.is_empty()
            || [&self.source_namespace, &self.service_namespace, &self.destination_namespace]
                .iter()
                .any(|n| *n == namespace);
        let workload = |wanted: &str, namespace: &str, name: &str| {
            named(wanted, namespace, name) || named(wanted, namespace, members.owner(namespace, name))
        };
        let from =
            request.from.is_empty() || workload(&request.from, &self.source_namespace, &self.source_workload);
        let to = request.to.is_empty()
            || workload(&request.to, &self.destination_namespace, &self.destination_workload)
            || named(&request.to, &self.service_namespace, &self.service);
        in_namespace && from && to
    }
}

/// `NAME` or `NAMESPACE/NAME`.
pub fn named(wanted: &str, namespace: &str, name: &str) -> bool {
    match wanted.split_once('/') {
        Some((ns, wanted)) => ns == namespace && wanted == name,
        None => wanted == name,
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
        service_port: key.service_port,
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
        bytes_in: series.bytes_in,
        bytes_out: series.bytes_out,
        latency_sum_us: series.latency_sum_us,
        latency: series.latency.as_ref().map(Histogram::from_wire).unwrap_or_default(),
        codes: if by_mesh {
            vec![(key.failure.chars().take(40).collect(), series.requests)]
        } else {
            Vec::new()
        },
    }
}

/// Without rates and quantiles, which `group` finds once all is put together.
fn row(edge: &Edge, cell: &Cell) -> StatRow {
    let codes: BTreeMap<&String, u64> = cell.codes.iter().map(|(code, count)| (code, *count)).collect();
    let codes = codes.into_iter().map(|(code, count)| FailureCount { code: code.clone(), count });
    let is_tcp = edge.protocol == "tcp";
    StatRow {
        side: edge.side,
        source_namespace: edge.source_namespace.clone(),
        source_workload: edge.source_workload.clone(),
        service_namespace: edge.service_namespace.clone(),
        service: edge.service.clone(),
        service_port: edge.service_port,
        destination_namespace: edge.destination_namespace.clone(),
        destination_workload: edge.destination_workload.clone(),
        route: edge.route.clone(),
        protocol: edge.protocol.clone(),
        security: edge.security,
        requests: cell.requests,
        failures: cell.failures,
        mesh_failures: cell.mesh_failures,
        failure_codes: codes.collect(),
        bytes_in: cell.bytes_in,
        bytes_out: cell.bytes_out,
        tcp_connections: if is_tcp { cell.requests } else { 0 },
        latency: Some(cell.latency.to_wire()),
        latency_sum_us: cell.latency_sum_us,
        ..StatRow::default()
    }
}

#[cfg(test)]
mod tests;
