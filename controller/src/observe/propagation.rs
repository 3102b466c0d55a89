//! Which workloads do not pass trace headers on. While such a one answers a request with a trace, its proxy sees calls that begin
//! traces of their own, and none with the trace of the request. Pure: time is an argument. Bounded in spans and in workloads.
//!
//! Calls that a workload makes by itself look the same, so one is not enough: most of its requests must have such a call in their time,
//! and most such calls must be in the time of a request.

use std::collections::{BTreeMap, HashMap, VecDeque};

use mesh_proto::inspect::v1::Dropping;
use mesh_proto::report::v1::{Side, Span};

use super::span::cut;

/// Spans that are looked at, of all proxies and of one.
const MAX_SPANS: usize = 50_000;
const MAX_OF_PROXY: usize = 512;
/// Workloads with a record.
const MAX_WORKLOADS: usize = 2_000;
/// After this time all spans that belong to a request have come: two report intervals of a proxy, and some.
const SETTLED_MS: u64 = 4_000;
/// A span is kept this long, so that shorter ones within it find it.
const KEPT_MS: u64 = 30_000;
/// What was seen counts for this long.
const LIFE_MS: u64 = 600_000;
/// Fewer calls say nothing.
const ENOUGH: u64 = 3;

type Proxy = (String, String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A request to the workload.
    Asked,
    /// A call of it with a trace that it was given.
    Passed,
    /// A call of it that begins a trace.
    Began,
}

#[derive(Debug)]
struct Seen {
    kind: Kind,
    trace: [u8; 16],
    start_us: u64,
    end_us: u64,
    arrived_ms: u64,
    judged: bool,
    /// Of a call that begins a trace: what it was.
    call: String,
}

#[derive(Debug, Default)]
struct Record {
    /// Requests whose trace some call had.
    passed: u64,
    /// Requests without one, and of these the ones with a call of another trace in their time.
    childless: u64,
    crossed: u64,
    /// Calls that began a trace, and of these the ones in the time of a request.
    began: u64,
    within: u64,
    example: String,
    trace: [u8; 16],
    last_ms: u64,
}

/// What was seen of all workloads.
#[derive(Debug, Default)]
pub struct Propagation {
    proxies: HashMap<Proxy, VecDeque<Seen>>,
    spans: usize,
    records: BTreeMap<(String, String), Record>,
}

impl Propagation {
    /// Looks at spans of one proxy.
    pub fn record(&mut self, spans: &[Span], now_ms: u64) {
        for span in spans {
            let Ok(trace) = <[u8; 16]>::try_from(&*span.trace_id) else { continue };
            let (kind, namespace, workload) = match (span.side(), span.parent_span_id.is_empty()) {
                (Side::Inbound, _) => (Kind::Asked, &span.destination_namespace, &span.destination_workload),
                (Side::Outbound, false) => (Kind::Passed, &span.source_namespace, &span.source_workload),
                (Side::Outbound, true) => (Kind::Began, &span.source_namespace, &span.source_workload),
                (Side::Unspecified, _) => continue,
            };
            if self.spans >= MAX_SPANS {
                return;
            }
            let proxy = (namespace.clone(), workload.clone(), span.instance.clone());
            let seen = self.proxies.entry(proxy).or_default();
            if seen.len() >= MAX_OF_PROXY {
                seen.pop_front();
                self.spans -= 1;
            }
            self.spans += 1;
            seen.push_back(Seen {
                kind,
                trace,
                start_us: span.start_us,
                end_us: span.start_us.saturating_add(span.duration_us),
                arrived_ms: now_ms,
                judged: false,
                call: if kind == Kind::Began { call(span) } else { String::new() },
            });
        }
    }

    /// Judges what has settled and forgets what is old.
    pub fn settle(&mut self, now_ms: u64) {
        let (records, mut left) = (&mut self.records, 0);
        self.proxies.retain(|(namespace, workload, _), seen| {
            while seen.front().is_some_and(|one| one.arrived_ms + KEPT_MS <= now_ms) {
                seen.pop_front();
            }
            let due: Vec<usize> = (0..seen.len())
                .filter(|at| {
                    seen.get(*at).is_some_and(|one| !one.judged && one.arrived_ms + SETTLED_MS <= now_ms)
                })
                .collect();
            let key = (namespace.clone(), workload.clone());
            if !due.is_empty() && (records.contains_key(&key) || records.len() < MAX_WORKLOADS) {
                let record = records.entry(key).or_default();
                record.last_ms = now_ms;
                for at in due {
                    judge(record, seen, at);
                }
            }
            left += seen.len();
            !seen.is_empty()
        });
        self.spans = left;
        records.retain(|_, record| record.last_ms + LIFE_MS > now_ms);
    }

    /// Those that drop trace headers.
    pub fn dropping(&self) -> Vec<Dropping> {
        let dropping = self.records.iter().filter(|(_, record)| record.drops());
        let told = dropping.map(|((namespace, workload), record)| Dropping {
            namespace: namespace.clone(),
            workload: workload.clone(),
            calls: record.within,
            example: record.example.clone(),
            trace_id: record.trace.to_vec(),
        });
        told.collect()
    }

    /// Spans that are looked at.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.spans
    }
}

impl Record {
    fn drops(&self) -> bool {
        self.passed == 0
            && self.within >= ENOUGH
            && self.crossed * 2 >= self.childless
            && self.within * 5 >= self.began * 4
    }
}

fn judge(record: &mut Record, seen: &mut VecDeque<Seen>, at: usize) {
    let Some(one) = seen.get_mut(at) else { return };
    one.judged = true;
    let (kind, trace, start, end) = (one.kind, one.trace, one.start_us, one.end_us);
    let call = std::mem::take(&mut one.call);
    let in_time = |other: &Seen| (start..=end).contains(&other.start_us);
    match kind {
        Kind::Passed => {}
        Kind::Asked => {
            if seen.iter().any(|other| other.kind == Kind::Passed && other.trace == trace) {
                record.passed += 1;
                return;
            }
            record.childless += 1;
            let crossed = |other: &Seen| other.kind == Kind::Began && other.trace != trace && in_time(other);
            record.crossed += u64::from(seen.iter().any(crossed));
        }
        Kind::Began => {
            record.began += 1;
            let around =
                |other: &Seen| other.kind == Kind::Asked && (other.start_us..=other.end_us).contains(&start);
            if seen.iter().any(around) {
                record.within += 1;
                record.example = call;
                record.trace = trace;
            }
        }
    }
}

fn call(span: &Span) -> String {
    let to = if span.service.is_empty() { &span.destination_workload } else { &span.service };
    let mut text = format!("{} {} to {to}", span.method, span.path);
    cut(&mut text, 160);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(side: Side, trace: u8, parent: bool, start_us: u64, duration_us: u64) -> Span {
        Span {
            side: side.into(),
            trace_id: vec![trace; 16].into(),
            span_id: vec![1; 8].into(),
            parent_span_id: if parent { vec![2; 8] } else { vec![] }.into(),
            source_namespace: "shop".into(),
            source_workload: "cart".into(),
            destination_namespace: "shop".into(),
            destination_workload: if side == Side::Inbound { "cart" } else { "db" }.into(),
            service: if side == Side::Inbound { "" } else { "db" }.into(),
            method: "GET".into(),
            path: "/items".into(),
            start_us,
            duration_us,
            ..Span::default()
        }
    }

    fn of(spans: &[Span]) -> Vec<Dropping> {
        let mut propagation = Propagation::default();
        propagation.record(spans, 1_000);
        propagation.settle(1_000 + SETTLED_MS - 1);
        assert_eq!(propagation.dropping(), [], "not settled yet");
        propagation.settle(1_000 + SETTLED_MS);
        propagation.dropping()
    }

    /// Requests of 10 ms, a tenth of a second apart, each with a call in its time.
    fn requests(passes: bool) -> Vec<Span> {
        let each = |n: u8| {
            let start = u64::from(n) * 100_000;
            let trace = if passes { n } else { 100 + n };
            [
                span(Side::Inbound, n, true, start, 10_000),
                span(Side::Outbound, trace, passes, start + 2_000, 5_000),
            ]
        };
        (1..=5).flat_map(each).collect()
    }

    #[test]
    fn a_workload_that_drops_trace_headers_is_named_with_a_call() {
        let dropping = of(&requests(false));
        assert_eq!(dropping.len(), 1);
        assert_eq!((dropping[0].workload.as_str(), dropping[0].calls), ("cart", 5));
        assert_eq!(dropping[0].example, "GET /items to db");
    }

    #[test]
    fn one_that_passes_them_on_is_not() {
        assert_eq!(of(&requests(true)), []);
    }

    #[test]
    fn calls_that_a_workload_makes_by_itself_accuse_nobody() {
        // Leaf requests, and a poll every 30 ms whether there is one or not.
        let asked = (1..=5).map(|n| span(Side::Inbound, n, true, u64::from(n) * 100_000, 10_000));
        let polls = (0..20).map(|n| span(Side::Outbound, 100 + n, false, u64::from(n) * 30_000, 1_000));
        assert_eq!(of(&asked.chain(polls).collect::<Vec<_>>()), []);
    }

    #[test]
    fn two_are_not_enough() {
        assert_eq!(of(&requests(false)[..4]), []);
    }

    #[test]
    fn what_is_looked_at_is_bounded_and_forgotten() {
        let mut propagation = Propagation::default();
        for n in 0..2_000 {
            propagation.record(&[span(Side::Inbound, 1, true, n, 1)], 1_000);
        }
        assert_eq!(propagation.len(), MAX_OF_PROXY);
        propagation.settle(1_000 + KEPT_MS);
        assert_eq!(propagation.len(), 0);
        for n in 0..MAX_SPANS + 10 {
            let instance = format!("{}", n / 100);
            propagation.record(&[Span { instance, ..span(Side::Inbound, 1, true, 0, 1) }], 50_000);
        }
        assert_eq!(propagation.len(), MAX_SPANS);
    }
}
