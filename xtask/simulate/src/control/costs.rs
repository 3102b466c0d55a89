//! What a controller's work takes, as `cargo xtask bench control` measured it. Pure but for reading its figures.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Coefficients; docs/scale.md has them in a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Costs {
    /// From the start of a process to ready, seconds.
    pub(crate) start_s: f64,
    /// CPU of a stream that begins with nothing, milliseconds: handshake, Hello, all of its resources.
    pub(crate) connect_ms: f64,
    /// CPU of a stream that comes back with what it holds, milliseconds.
    pub(crate) resume_ms: f64,
    /// CPU of a change for each stream that it concerns, microseconds.
    pub(crate) push_us: f64,
    /// CPU of a change by itself, milliseconds: reading, compiling, finding whom it concerns.
    pub(crate) change_ms: f64,
    /// Memory without streams, MiB.
    pub(crate) base_mib: f64,
    /// Memory of a stream, KiB.
    pub(crate) stream_kib: f64,
}

impl Default for Costs {
    /// The table of docs/scale.md: 1,000 services of 10 endpoints, 1,000 streams.
    fn default() -> Self {
        Self {
            start_s: 0.67,
            connect_ms: 1.22,
            resume_ms: 1.16,
            push_us: 49.31,
            change_ms: 16.66,
            base_mib: 49.73,
            stream_kib: 49.12,
        }
    }
}

impl Costs {
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let last = text.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
        let run: Value = serde_json::from_str(last).with_context(|| {
            format!(
                "{} has no JSON; `cargo xtask bench control -o json` writes it as the last line",
                file.display()
            )
        })?;
        Self::of(&run)
    }

    /// From a run of the bench.
    fn of(run: &Value) -> Result<Self> {
        let figures =
            run.get("figures").and_then(Value::as_array).context("no `figures` in the bench's JSON")?;
        let figure = |phase: &str, name: &str| {
            let found = figures.iter().find(|one| {
                one.get("phase").is_some_and(|it| it == phase) && one.get("name").is_some_and(|it| it == name)
            });
            found
                .and_then(|one| one.get("value").and_then(Value::as_f64))
                .with_context(|| format!("the bench's JSON has no figure `{phase}`, `{name}`"))
        };
        let streams = run.pointer("/facts/objects/streams").and_then(Value::as_f64);
        let streams = streams.context("no `facts.objects.streams`")?;
        let base_mib = figure("start", "memory, no streams")?;
        // A change that concerns all, less one that concerns few, is the part of the streams.
        let (all, few) = (
            figure("one change, all concerned", "CPU of a change")?,
            figure("one change", "CPU of a change")?,
        );
        Ok(Self {
            start_s: figure("start", "ready")?,
            connect_ms: figure("connect", "CPU of a stream")?,
            resume_ms: figure("reconnect storm", "CPU")? * 1e3 / streams,
            push_us: ((all - few) * 1e3 / streams).max(0.0),
            change_ms: few,
            base_mib,
            stream_kib: ((figure("connect", "memory")? - base_mib) * 1024.0 / streams).max(0.0),
        })
    }

    /// Names, values and units, for a table.
    pub(crate) fn rows(self) -> [(&'static str, f64, &'static str); 7] {
        [
            ("start", self.start_s, "s"),
            ("a stream that begins with nothing", self.connect_ms, "ms CPU"),
            ("a stream that comes back", self.resume_ms, "ms CPU"),
            ("a change, for each stream concerned", self.push_us, "us CPU"),
            ("a change, by itself", self.change_ms, "ms CPU"),
            ("memory without streams", self.base_mib, "MiB"),
            ("memory of a stream", self.stream_kib, "KiB"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn coefficients_come_from_the_figures_of_a_bench() {
        let one =
            |phase: &str, name: &str, value: f64| json!({ "phase": phase, "name": name, "value": value });
        let run = json!({
            "facts": { "objects": { "streams": 1000 } },
            "figures": [
                one("start", "ready", 0.5), one("start", "memory, no streams", 40.0),
                one("connect", "CPU of a stream", 1.5), one("connect", "memory", 80.0),
                one("reconnect storm", "CPU", 0.9),
                one("one change", "CPU of a change", 4.0), one("one change, all concerned", "CPU of a change", 54.0),
            ],
        });
        let costs = Costs::of(&run).unwrap();
        assert_eq!(
            costs.rows().map(|(_, value, _)| value.to_string()),
            ["0.5", "1.5", "0.9", "50", "4", "40", "40.96"]
        );
        let error =
            Costs::of(&json!({ "facts": { "objects": { "streams": 1 } }, "figures": [] })).unwrap_err();
        assert!(error.to_string().contains("`start`, `memory, no streams`"), "{error}");
    }
}
