//! `meshctl demo --check`: the demo judges itself; here its verdict is read and shown.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::config::Workspace;
use crate::exec::tail;
use crate::screen;

use super::Binaries;

/// What the last line must tell.
const FIELDS: [&str; 10] = [
    "requests",
    "failed",
    "split",
    "mtls_requests",
    "plaintext_requests",
    "p50_ms",
    "p99_ms",
    "first_request_ms",
    "weight_change_ms",
    "traces_complete",
];

/// Runs it; false with the reasons printed when it found something wrong.
pub(crate) fn demo(_workspace: &Workspace, binaries: &Binaries) -> Result<bool> {
    let home = tempfile::tempdir().context("make a home for the demo")?;
    let run = binaries
        .meshctl(home.path(), Duration::from_mins(3))
        .args(["demo", "--check", "-o", "json"])
        .capture()
        .context("run the demo's check")?;
    let last = run.stdout.lines().last().unwrap_or_default();
    let missing = missing(last);
    screen::line(&format!("   {last}"));
    if run.status.success() && missing.is_empty() {
        return Ok(true);
    }
    screen::line(&format!("   the demo ended with {}; missing in its last line: {missing:?}", run.status));
    screen::line(&tail(&run.stderr));
    Ok(false)
}

fn missing(line: &str) -> Vec<&'static str> {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    FIELDS.into_iter().filter(|field| value.get(field).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promised_field_is_asked_for() {
        assert_eq!(missing("no json").len(), FIELDS.len());
        assert_eq!(missing("{\"requests\": 1, \"failed\": 0}").len(), FIELDS.len() - 2);
    }
}
