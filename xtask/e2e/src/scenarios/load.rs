//! The load that the application carries, and what became of it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::screen;

use super::world::{SHOP, World};

/// Of one protocol, as the client of the application tells it.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) sent: u64,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) late: u64,
    pub(super) reasons: BTreeMap<String, u64>,
    pub(super) by: BTreeMap<String, u64>,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// By protocol.
pub(super) type Report = BTreeMap<String, Summary>;

/// What the client has counted so far.
pub(super) fn report(world: &World) -> Result<Report> {
    report_of(world, SHOP)
}

/// What the client of a namespace has counted so far.
pub(super) fn report_of(world: &World, namespace: &str) -> Result<Report> {
    let pod = world.kubectl.pod(namespace, "app=load", "metadata.name")?;
    let ran = world.kubectl.exec(namespace, &pod, "load", &["/mesh-peer", "report"])?;
    ensure!(ran.code == 0, "ask the client what it counted: {}", ran.last());
    serde_json::from_str(&ran.stdout).context("the client's report")
}

/// What came between two reports: something of every protocol, and nothing that failed. Prints the figures.
pub(super) fn nothing_lost(before: &Report, after: &Report) -> Result<()> {
    let mut lost = Vec::new();
    for (protocol, now) in after {
        let then = before.get(protocol).cloned().unwrap_or_default();
        let (ok, failed, late) = (now.ok - then.ok, now.failed - then.failed, now.late - then.late);
        screen::detail(&format!(
            "{protocol}: {ok} answered, {failed} failed, {late} not sent in time; p50 {:.1} ms, p99 {:.1} ms since the start",
            millis(now.p50_us),
            millis(now.p99_us)
        ));
        ensure!(ok > 0, "{protocol}: nothing was answered");
        for (reason, count) in &now.reasons {
            let count = count - then.reasons.get(reason).copied().unwrap_or_default();
            if count > 0 {
                lost.push(format!("{protocol}: {count} times {reason}"));
            }
        }
    }
    ensure!(lost.is_empty(), "requests were lost: {}", lost.join("; "));
    ensure!(!after.is_empty(), "the client sends nothing");
    Ok(())
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
