//! What the check's numbers mean. Pure. It must not know how they were measured.

use std::time::Duration;

use serde_json::{Value, json};

use crate::output::table::{Align, Cell, Table};
use crate::output::units::{megabytes, millis};
use crate::output::{Paint, Tone};

/// Below this the split says nothing: three points are then within the play of chance.
const ENOUGH_FOR_SPLIT: u64 = 1000;
/// How far the split may be off, in points.
const TOLERANCE: f64 = 3.0;
/// Per cent that the first version is to get.
const WANTED_V1: f64 = 90.0;

/// Everything that was counted and measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// Not made, because too many were under way.
    pub(crate) skipped: u64,
    pub(crate) failures: Vec<String>,
    /// Requests to v1 and v2 before the weights were changed.
    pub(crate) split: [u64; 2],
    pub(crate) mtls_requests: u64,
    pub(crate) plaintext_requests: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// From process start.
    pub(crate) first_request: Duration,
    /// From writing the file to the last answer of the version without weight; None: it never stopped, or never came back.
    pub(crate) weight_change: Option<Duration>,
    pub(crate) traces_seen: u64,
    pub(crate) traces_incomplete: u64,
    pub(crate) trace_gaps: Vec<String>,
    /// Failures of `recommend` that are its own.
    pub(crate) app_failures: u64,
    /// Sidecars and objects that are not up to date.
    pub(crate) sync: Vec<String>,
    pub(crate) sidecars: Memory,
    pub(crate) controller_kib: u64,
}

/// Private memory of several processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) median_kib: u64,
    pub(crate) max_kib: u64,
}

impl Measured {
    fn split_total(&self) -> u64 {
        self.split.iter().sum()
    }

    /// Share of v1 in per cent.
    fn v1_percent(&self) -> f64 {
        let [v1, _] = self.split;
        if self.split_total() == 0 { 0.0 } else { v1 as f64 * 100.0 / self.split_total() as f64 }
    }

    fn traces_complete(&self) -> bool {
        self.traces_seen > 0 && self.traces_incomplete == 0
    }
}

/// What is wrong, a sentence each; empty when all is well.
pub(crate) fn problems(m: &Measured) -> Vec<String> {
    let mut problems = Vec::new();
    if m.failed > 0 {
        let first = m.failures.first().map_or("unknown", String::as_str);
        problems.push(format!("{} of {} requests failed; the first: {first}", m.failed, m.requests));
    }
    if m.split_total() < ENOUGH_FOR_SPLIT {
        let total = m.split_total();
        problems.push(format!(
            "only {total} requests came before the change of weights; \
             at least {ENOUGH_FOR_SPLIT} are needed to judge the split"
        ));
    } else if (m.v1_percent() - WANTED_V1).abs() > TOLERANCE {
        let (share, total) = (m.v1_percent(), m.split_total());
        problems.push(format!(
            "v1 got {share:.1} % of {total} requests; its weight is {WANTED_V1} %, \
             and {TOLERANCE} points either way are accepted"
        ));
    }
    if m.plaintext_requests > 0 {
        problems.push(format!(
            "{} requests between sidecars were not encrypted with mutual TLS",
            m.plaintext_requests
        ));
    }
    if m.mtls_requests < m.requests {
        let (seen, made) = (m.mtls_requests, m.requests);
        problems.push(format!(
            "sidecars reported {seen} requests with mutual TLS, fewer than the {made} that were made"
        ));
    }
    if m.weight_change.is_none() {
        problems.push("a change of weights in the folder did not come into force under load".to_owned());
    }
    if m.traces_seen == 0 {
        problems.push("no trace was seen".to_owned());
    } else if m.traces_incomplete > 0 {
        let (bad, all, gaps) = (m.traces_incomplete, m.traces_seen, m.trace_gaps.join("; "));
        problems.push(format!("{bad} of {all} traces lack a hop: {gaps}"));
    }
    problems.extend(m.sync.iter().map(|finding| format!("not up to date: {finding}")));
    problems
}

/// For scripts. Shares are 0 to 1.
pub(crate) fn json(m: &Measured, problems: &[String]) -> Value {
    let share = |count: u64| if m.split_total() == 0 { 0.0 } else { count as f64 / m.split_total() as f64 };
    let [v1, v2] = m.split;
    json!({
        "requests": m.requests,
        "failed": m.failed,
        "skipped": m.skipped,
        "split": { "v1": share(v1), "v2": share(v2) },
        "split_requests": m.split_total(),
        "mtls_requests": m.mtls_requests,
        "plaintext_requests": m.plaintext_requests,
        "p50_ms": m.p50_ms,
        "p99_ms": m.p99_ms,
        "first_request_ms": whole_ms(m.first_request),
        "weight_change_ms": m.weight_change.map(whole_ms),
        "traces_complete": m.traces_complete(),
        "traces_seen": m.traces_seen,
        "traces_incomplete": m.traces_incomplete,
        "app_failures": m.app_failures,
        "sidecar_private_kb": { "median": m.sidecars.median_kib, "max": m.sidecars.max_kib },
        "controller_private_kb": m.controller_kib,
        "problems": problems,
    })
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// For people.
pub(crate) fn text(m: &Measured, problems: &[String], paint: Paint) -> String {
    let mut table = Table::new(&[("CHECK", Align::Left), ("RESULT", Align::Left)]);
    let mut row = |name: &str, good: bool, text: String| {
        table.row([name.into(), Cell::toned(text, if good { Tone::Good } else { Tone::Bad })]);
    };
    row("requests", m.failed == 0, format!("{}, {} failed", m.requests, m.failed));
    let split_good = m.split_total() >= ENOUGH_FOR_SPLIT && (m.v1_percent() - WANTED_V1).abs() <= TOLERANCE;
    row("split", split_good, format!("{:.1} % v1, {:.1} % v2", m.v1_percent(), 100.0 - m.v1_percent()));
    let encrypted = m.plaintext_requests == 0 && m.mtls_requests >= m.requests;
    row("mutual TLS", encrypted, format!("{} requests, {} without", m.mtls_requests, m.plaintext_requests));
    row("latency", true, format!("p50 {}, p99 {}", millis(m.p50_ms), millis(m.p99_ms)));
    row("first page", true, format!("{} ms after start", whole_ms(m.first_request)));
    let change = m
        .weight_change
        .map_or("never in force".to_owned(), |took| format!("in force after {} ms", whole_ms(took)));
    row("change of weights", m.weight_change.is_some(), change);
    row("traces", m.traces_complete(), format!("{} seen, {} not whole", m.traces_seen, m.traces_incomplete));
    row(
        "failures of recommend",
        true,
        format!("{} of its own, {} % meant", m.app_failures, crate::shop::RECOMMEND_FAILS_PPM / 10_000),
    );
    row("in sync", m.sync.is_empty(), if m.sync.is_empty() { "all".into() } else { m.sync.join("; ") });
    let (median, max) = (megabytes(m.sidecars.median_kib), megabytes(m.sidecars.max_kib));
    row("memory of a sidecar", true, format!("{median}, at most {max}"));
    row("memory of the controller", true, megabytes(m.controller_kib));
    let end = match problems.len() {
        0 => paint.tone(Tone::Good, "All is well."),
        1 => paint.tone(Tone::Bad, "One thing is wrong:"),
        many => paint.tone(Tone::Bad, &format!("{many} things are wrong:")),
    };
    format!("{}\n{end}\n", table.render(paint))
}

#[cfg(test)]
mod tests;
