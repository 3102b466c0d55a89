//! `meshctl demo --check`: the shop under load, a change of weights while it runs, and a judgement of what was counted.
//! It acts and measures; what the numbers mean is decided in [`verdict`].

use std::time::{Duration, Instant};

use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::{StatRequest, StatResponse};
use mesh_proto::report::v1::{Security, Side};
use tokio_util::sync::CancellationToken;

use super::{Outcome, sync};
use crate::client::inspect::Inspect;
use crate::local::control_plane::ControlPlane;
use crate::local::memory;
use crate::local::supervisor::Kind;
use crate::output::{self, Format, Paint};
use crate::shop::install;
use crate::shop::objects::{OPENING_WEIGHTS, Weights};
use crate::shop::visitor::Visitor;

mod traces;
pub(crate) mod verdict;

use traces::TraceCount;
use verdict::{Measured, Memory};

/// Requests a second.
const LOAD: u32 = 400;
/// The split is judged over at least so many.
const ENOUGH: u64 = 5000;
/// The load runs at least this long before the weights are changed ...
const BEFORE_CHANGE: Duration = Duration::from_secs(14);
/// ... and no longer than this, however slow the machine is.
const LONGEST: Duration = Duration::from_mins(1);
/// The whole takes at least this long.
const WHOLE: Duration = Duration::from_secs(20);
/// The old version counts as gone when it has not answered for so long and so many others have.
const GONE_TIME: Duration = Duration::from_millis(1500);
const GONE_REQUESTS: u64 = 100;
/// A change that takes longer is not coming.
const CHANGE_DEADLINE: Duration = Duration::from_secs(15);
/// Reports travel every few seconds.
const REPORT_DEADLINE: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(50);

/// Measures and judges. The shop is open.
pub(crate) async fn run(
    plane: &ControlPlane,
    visitor: &Visitor,
    first_request: Duration,
    format: Format,
    tasks: &Tasks,
) -> anyhow::Result<Outcome> {
    let inspect = Inspect::connect(&plane.state(), tasks).await?;
    let began = Instant::now();
    let (end_of_traces, end_of_load) = (CancellationToken::new(), CancellationToken::new());
    let traces = traces::count(&inspect, end_of_traces.clone());
    let load = visitor.walk(LOAD, end_of_load.clone());
    let act = async {
        let outcome = change_weights(plane, visitor, began).await;
        end_of_load.cancel();
        outcome
    };
    let rest = async {
        let ((), outcome) = tokio::join!(load, act);
        let stat = all_reports(&inspect, visitor, began).await;
        end_of_traces.cancel();
        (outcome, stat)
    };
    let (traces, (change, stat)) = tokio::join!(traces, rest);
    let sync = sync::findings(&inspect.sync().await?);
    let measured = Measured { first_request, sync, ..measured(plane, visitor, change?, &stat?, traces?) };
    let problems = verdict::problems(&measured);
    match format {
        Format::Json => output::json_line(&verdict::json(&measured, &problems))?,
        Format::Table => output::print(&verdict::text(&measured, &problems, Paint::stdout())),
    }
    for problem in &problems {
        output::note(&format!("meshctl: {problem}"));
    }
    Ok(if problems.is_empty() { Outcome::Fine } else { Outcome::Finding })
}

/// What a change of weights did.
#[derive(Debug, Clone, Copy)]
struct Change {
    split: [u64; 2],
    /// None: the old version was still answering at the deadline.
    took: Option<Duration>,
}

/// Waits for enough requests, counts the split, moves all weight to the second version and back.
async fn change_weights(plane: &ControlPlane, visitor: &Visitor, began: Instant) -> anyhow::Result<Change> {
    let enough = |elapsed: Duration| visitor.tally().requests() >= ENOUGH && elapsed >= BEFORE_CHANGE;
    while !enough(began.elapsed()) && began.elapsed() < LONGEST {
        tokio::time::sleep(PACE).await;
    }
    let count = |version| visitor.tally().seen(version).map_or(0, |seen| seen.count);
    let split = [count("v1"), count("v2")];
    let took = shift(plane, visitor, Weights { v1: 0, v2: 100 }).await?;
    install::write_weights(plane, OPENING_WEIGHTS)?;
    // The first version comes back: the change back is in force as well.
    let before = count("v1");
    let back = Instant::now();
    while (count("v1") == before && back.elapsed() < CHANGE_DEADLINE) || began.elapsed() < WHOLE {
        tokio::time::sleep(PACE).await;
    }
    Ok(Change { split, took: took.filter(|_| count("v1") > before) })
}

/// Puts weights in force under which the first version gets nothing, and measures until it has answered for the last time.
async fn shift(
    plane: &ControlPlane,
    visitor: &Visitor,
    weights: Weights,
) -> anyhow::Result<Option<Duration>> {
    let others = || visitor.tally().seen("v2").map_or(0, |seen| seen.count);
    let written = Instant::now();
    install::write_weights(plane, weights)?;
    let mut last = visitor.tally().seen("v1").map_or(written, |seen| seen.last);
    let mut since_last = others();
    while written.elapsed() < CHANGE_DEADLINE {
        tokio::time::sleep(PACE).await;
        let seen = visitor.tally().seen("v1").map_or(written, |seen| seen.last);
        if seen != last {
            (last, since_last) = (seen, others());
        }
        let quiet = last.max(written).elapsed() >= GONE_TIME;
        if quiet && others() >= since_last + GONE_REQUESTS {
            return Ok(Some(last.saturating_duration_since(written)));
        }
    }
    Ok(None)
}

/// Asks until every visit is in the reports of the visitor's sidecar, or it is clear that some will not be.
async fn all_reports(
    inspect: &Inspect,
    visitor: &Visitor,
    began: Instant,
) -> anyhow::Result<[StatResponse; 2]> {
    let until = Instant::now() + REPORT_DEADLINE;
    loop {
        let window_seconds = u32::try_from(began.elapsed().as_secs() + 60).unwrap_or(3600).min(3600);
        let request =
            |side: Side| StatRequest { window_seconds, side: side.into(), ..StatRequest::default() };
        let outbound = inspect.stat(request(Side::Outbound)).await?;
        let inbound = inspect.stat(request(Side::Inbound)).await?;
        let visits = |answer: &StatResponse| -> u64 {
            let rows = answer.rows.iter().filter(|row| row.source_workload == crate::shop::VISITOR);
            rows.map(|row| row.requests).sum()
        };
        let (made, reported) = (visitor.tally().requests(), [visits(&outbound), visits(&inbound)]);
        let complete = reported.iter().all(|reported| *reported >= made);
        if !complete && Instant::now() > until {
            tracing::warn!(made, ?reported, "sidecars have not reported every visit");
        }
        if complete || Instant::now() > until {
            return Ok([outbound, inbound]);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn measured(
    plane: &ControlPlane,
    visitor: &Visitor,
    change: Change,
    [outbound, inbound]: &[StatResponse; 2],
    traces: TraceCount,
) -> Measured {
    let sum = |answer: &StatResponse, wanted: fn(Security) -> bool| -> u64 {
        answer.rows.iter().filter(|row| wanted(row.security())).map(|row| row.requests).sum()
    };
    // What has no security never left its proxy, which answered it.
    let plaintext = |security| security == Security::Plaintext;
    let tally = visitor.tally();
    Measured {
        requests: tally.requests(),
        failed: tally.failed(),
        skipped: tally.skipped(),
        failures: tally.failures().to_vec(),
        split: change.split,
        mtls_requests: sum(outbound, |security| security == Security::Mtls),
        plaintext_requests: sum(outbound, plaintext) + sum(inbound, plaintext),
        p50_ms: tally.quantile_ms(0.5),
        p99_ms: tally.quantile_ms(0.99),
        first_request: Duration::ZERO,
        weight_change: change.took,
        traces_seen: traces.seen,
        traces_incomplete: traces.incomplete,
        trace_gaps: traces.gaps,
        app_failures: tally.degraded(),
        sync: Vec::new(),
        sidecars: memory_of(plane, Kind::Sidecar),
        controller_kib: memory_of(plane, Kind::Controller).max_kib,
    }
}

fn memory_of(plane: &ControlPlane, kind: Kind) -> Memory {
    let children = plane.state().children.into_iter().filter(|child| child.kind == kind);
    let mut sizes: Vec<u64> = children.filter_map(|child| memory::private_kib(child.pid?)).collect();
    sizes.sort_unstable();
    let median_kib = sizes.get(sizes.len() / 2).copied().unwrap_or_default();
    Memory { median_kib, max_kib: sizes.last().copied().unwrap_or_default() }
}
