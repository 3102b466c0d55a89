//! `meshctl local ps`: how the programs are.

use serde_json::{Value, json};

use super::super::Outcome;
use super::{roster, up};
use crate::local::roster::{Entry, Roster, Traffic, now_ms};
use crate::output::table::{Align, Cell, Table};
use crate::output::units::span;
use crate::output::{self, Format, Paint, Tone};

/// Arguments of `meshctl local ps`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Reads once and prints; a program that is not well is a finding.
pub(crate) fn run(args: &Args, mesh: &str) -> anyhow::Result<Outcome> {
    let (_, roster) = roster(mesh)?;
    let alive = roster.keeper.lives();
    match args.output {
        Format::Json => output::json(&json(&roster, alive))?,
        Format::Table => {
            output::print(&table(&roster, alive, now_ms()).render(Paint::stdout()));
            if !alive {
                output::note("meshctl: the process that kept them is gone; `meshctl local down` cleans up");
            }
        }
    }
    let bad = !alive || roster.entries.iter().any(|entry| entry.state.is_bad());
    Ok(if bad { Outcome::Finding } else { Outcome::Fine })
}

fn table(roster: &Roster, alive: bool, now: u64) -> Table {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("STATE", Align::Left),
        ("SINCE", Align::Right),
        ("RESTARTS", Align::Right),
        ("PID", Align::Right),
        ("PORTS", Align::Left),
        ("ADDRESS", Align::Left),
        ("TRAFFIC", Align::Left),
        ("", Align::Left),
    ]);
    for entry in &roster.entries {
        let state = if alive {
            Cell::toned(entry.state.word(), up::tone(&entry.state))
        } else {
            Cell::toned("gone", Tone::Bad)
        };
        let restarts = if entry.restarts == 0 { Tone::Plain } else { Tone::Warning };
        table.row([
            entry.full_name().into(),
            state,
            span(now.saturating_sub(entry.since_ms) / 1000).into(),
            Cell::toned(entry.restarts.to_string(), restarts),
            entry.watcher.map(|watcher| watcher.pid.to_string()).unwrap_or_default().into(),
            entry.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",").into(),
            entry.address.map(|address| address.to_string()).unwrap_or_default().into(),
            traffic(entry).into(),
            entry.state.detail().unwrap_or_default().into(),
        ]);
    }
    table
}

fn traffic(entry: &Entry) -> &'static str {
    match entry.traffic {
        Some(Traffic::Captured) => "captured",
        Some(Traffic::Explicit) => "explicit",
        None => "",
    }
}

fn json(roster: &Roster, alive: bool) -> Value {
    let programs = roster.entries.iter().map(|entry| {
        json!({
            "name": entry.name,
            "namespace": entry.namespace,
            "workload": entry.service,
            "state": if alive { entry.state.word() } else { "gone" },
            "detail": entry.state.detail(),
            "since_ms": entry.since_ms,
            "restarts": entry.restarts,
            "pid": entry.watcher.map(|watcher| watcher.pid),
            "ports": entry.ports,
            "address": entry.address,
            "traffic": entry.traffic.map(|_| traffic(entry)),
            "log": entry.log,
        })
    });
    json!({
        "file": roster.file,
        "pid": roster.keeper.pid,
        "running": alive,
        "programs": programs.collect::<Vec<_>>(),
    })
}
