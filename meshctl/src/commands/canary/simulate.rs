//! `meshctl canary simulate`: what the analysis does to versions that are made up. The machine is the controller's own; only the figures
//! come from chance, and the same seed gives the same ones.

use anyhow::bail;
use mesh_release::plan::{Exposure, Gate, Plan, Step};
use mesh_release::simulate::{Row, Scenario, Service, Summary, simulate};
use serde_json::{Value, json};

use crate::commands::Outcome;
use crate::output::table::{Align, Cell, Table};
use crate::output::{self, Format, Paint, Tone};

/// Arguments of `meshctl canary simulate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Runs of each scenario
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Where chance begins; the same number gives the same figures
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Only this scenario; may be repeated
    #[arg(long, value_name = "NAME", value_parser = scenario)]
    scenario: Vec<Scenario>,
    /// Weights of the steps in percent
    #[arg(long, value_delimiter = ',', default_value = "5,10,25,50", value_name = "PERCENT,..", value_parser = clap::value_parser!(u32).range(0..=100))]
    steps: Vec<u32>,
    /// Requests of the service between two checks, both versions together
    #[arg(long, default_value_t = 3000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    requests: u64,
    /// The share of requests that the stable version fails, in percent
    #[arg(long, default_value_t = 0.2, value_name = "PERCENT")]
    failures: f64,
    /// Requests that the new version must have answered in a step before it passes
    #[arg(long, default_value_t = 500, value_name = "N")]
    min_requests: u64,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

fn scenario(text: &str) -> Result<Scenario, String> {
    let names = || Scenario::ALL.map(Scenario::name).join(", ");
    let found = Scenario::ALL.into_iter().find(|scenario| scenario.name() == text);
    found.ok_or_else(|| format!("there is no such scenario; there are {}", names()))
}

/// Exit code 1 if a good version was taken back more often than was allowed, or a bad one was promoted.
pub(super) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let plan = plan(args)?;
    if !(0.0..=100.0).contains(&args.failures) {
        bail!("--failures {}: it is a share in percent, from 0 to 100", args.failures);
    }
    let service = Service { requests: args.requests, failures: args.failures / 100.0, ..Service::default() };
    let scenarios = if args.scenario.is_empty() { Scenario::ALL.to_vec() } else { args.scenario.clone() };
    let summary = simulate(&plan, &service, &scenarios, args.runs, args.seed);
    match args.output {
        Format::Json => output::json(&json(args, &plan, &summary))?,
        Format::Table => {
            output::print(&table(&summary).render(Paint::stdout()));
            output::line(&sentence(&summary));
        }
    }
    let good: u32 = summary.rows.iter().filter(|row| !row.scenario.is_bad()).map(|row| row.runs).sum();
    let allowed = f64::from(good) * f64::from(plan.analysis.false_alarm) / 1e6;
    let is_fine = summary.false_promotions() == 0 && f64::from(summary.false_rollbacks()) <= allowed;
    Ok(if is_fine { Outcome::Fine } else { Outcome::Finding })
}

fn plan(args: &Args) -> anyhow::Result<Plan> {
    let step =
        |percent: &u32| Step { exposure: Exposure::Weight(percent * 10_000), hold: 60, gate: Gate::Open };
    let mut plan = Plan { steps: args.steps.iter().map(step).collect(), ..Plan::default() };
    plan.analysis.min_requests = args.min_requests;
    if let Err(wrong) = plan.check() {
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        bail!("such a canary cannot be followed: {}", wrong.join("; "));
    }
    Ok(plan)
}

fn table(summary: &Summary) -> Table {
    let mut table = Table::new(&[
        ("SCENARIO", Align::Left),
        ("RUNS", Align::Right),
        ("PROMOTED", Align::Right),
        ("ROLLED_BACK", Align::Right),
        ("OPEN", Align::Right),
        ("CHECKS_P50", Align::Right),
        ("CHECKS_P95", Align::Right),
        ("HARMED_P50", Align::Right),
    ]);
    for row in &summary.rows {
        let right = |count: u32, is_right: bool| {
            let tone = if is_right || count == 0 { Tone::Plain } else { Tone::Bad };
            Cell::toned(count.to_string(), tone)
        };
        table.row([
            row.scenario.name().into(),
            row.runs.to_string().into(),
            right(row.promoted, !row.scenario.is_bad()),
            right(row.rolled_back, row.scenario.is_bad()),
            open(row).to_string().into(),
            row.checks_median.to_string().into(),
            row.checks_p95.to_string().into(),
            row.harmed_median.to_string().into(),
        ]);
    }
    table
}

/// Runs that had no end within the checks that a run is given.
fn open(row: &Row) -> u32 {
    row.runs.saturating_sub(row.promoted).saturating_sub(row.rolled_back)
}

fn sentence(summary: &Summary) -> String {
    let of = |bad: bool| -> u32 {
        summary.rows.iter().filter(|row| row.scenario.is_bad() == bad).map(|row| row.runs).sum()
    };
    format!(
        "good versions rolled back: {} of {}; bad versions promoted: {} of {}, rolled back: {}",
        summary.false_rollbacks(),
        of(false),
        summary.false_promotions(),
        of(true),
        summary.detected()
    )
}

fn json(args: &Args, plan: &Plan, summary: &Summary) -> Value {
    let row = |row: &Row| {
        json!({
            "scenario": row.scenario.name(),
            "bad": row.scenario.is_bad(),
            "runs": row.runs,
            "promoted": row.promoted,
            "rolled_back": row.rolled_back,
            "open": open(row),
            "checks_p50": row.checks_median,
            "checks_p95": row.checks_p95,
            "harmed_requests_p50": row.harmed_median,
        })
    };
    json!({
        "runs": args.runs,
        "seed": args.seed,
        "steps_percent": args.steps,
        "interval_seconds": plan.analysis.interval,
        "false_alarm_allowed": f64::from(plan.analysis.false_alarm) / 1e6,
        "false_rollbacks": summary.false_rollbacks(),
        "false_promotions": summary.false_promotions(),
        "detected": summary.detected(),
        "scenarios": summary.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::try_parse_from(std::iter::once(&"simulate").chain(line)).unwrap().args
    }

    fn of(line: &[&str]) -> (Args, Plan, Summary) {
        let args = args(line);
        let plan = plan(&args).unwrap();
        let service = Service { requests: args.requests, ..Service::default() };
        let summary = simulate(&plan, &service, &args.scenario, args.runs, args.seed);
        (args, plan, summary)
    }

    #[test]
    fn what_became_of_the_versions_is_counted() {
        let line = ["--runs", "20", "--scenario", "equal", "--scenario", "errors-2-percent"];
        let (args, plan, summary) = of(&line);
        insta::assert_snapshot!(format!("{}{}", table(&summary).render(Paint::Plain), sentence(&summary)));
        insta::assert_json_snapshot!(json(&args, &plan, &summary));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        let unknown = Line::try_parse_from(["simulate", "--scenario", "slow"]).unwrap_err().to_string();
        assert!(unknown.contains("there are equal, shared-outage"), "{unknown}");
        let shrinking = plan(&args(&["--steps", "50,10"])).unwrap_err().to_string();
        assert!(shrinking.contains("steps[1].weight: is lower"), "{shrinking}");
    }
}
