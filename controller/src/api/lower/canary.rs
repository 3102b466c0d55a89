//! From a Canary to the plan of a release. It must not know whether the Services are there (`compile`).

pub mod asks;
pub mod versions;

use std::time::Duration;

use mesh_release::machine::mark;
use mesh_release::plan::{
    ALL, Analysis, Bad, Comparison, Exposure, Gate, InvalidPlan, Plan, Ppm, Step, Threshold,
};
use mesh_release::window::Window;

use super::scalars::{optional, percent};
use super::{Findings, compare};
use crate::api::canary::{Canary, CanaryAnalysis, CanaryGate, CanaryStep, CanaryWindow, Day};

const WEEK: Duration = Duration::from_hours(24 * 7);
const QUARTER: Duration = Duration::from_hours(24 * 92);
const SECOND: Duration = Duration::from_secs(1);

/// The plan, and what is wrong with it.
pub fn lower(canary: &Canary) -> (Plan, Findings) {
    let mut findings = Findings::default();
    let spec = &canary.spec;
    versions::check(canary, &mut findings);
    if spec.version.is_empty() || spec.version.len() > 253 {
        findings.fault("spec.version", "has no text, or more than 253 bytes");
    }
    if let Some(it) = &spec.compare {
        compare::lower(it, "spec.compare", &mut findings);
        if spec.steps.iter().all(|step| step.shadow.is_none()) {
            let why = "answers to copies are compared, and no step has `shadow`; write one, such as `{ shadow: 10 }`";
            findings.fault("spec.compare", why);
        }
    }
    let analysis = analysis(&spec.analysis, &mut findings);
    let cohort = versions::cohort(canary, &mut findings);
    let asks = asks::asks(canary, &mut findings);
    let steps = spec.steps.iter().enumerate();
    let plan = Plan {
        steps: steps.map(|(at, it)| step(it, at, analysis.interval, &mut findings)).collect(),
        max_duration: seconds_of(optional(
            spec.max_duration.as_ref(),
            "spec.maxDuration",
            SECOND..=QUARTER,
            &mut findings,
        )),
        windows: spec
            .windows
            .iter()
            .enumerate()
            .filter_map(|(at, it)| window(it, at, &mut findings))
            .collect(),
        hooks: asks.into_iter().map(|ask| ask.hook).collect(),
        who: match (&spec.target, cohort.as_slice()) {
            (None, []) => 0,
            who => mark(&format!("{who:?}")),
        },
        analysis,
    };
    if spec.cohort.is_empty() && plan.steps.iter().any(|step| step.exposure == Exposure::Cohort) {
        findings
            .fault("spec.cohort", "is empty, and a step is for the cohort; say by which header or cookie");
    }
    if findings.faults.is_empty()
        && let Err(wrong) = plan.check()
    {
        for InvalidPlan::Field { field, why } in wrong {
            findings.fault(format!("spec.{field}"), why);
        }
    }
    (plan, findings)
}

fn seconds_of(duration: Option<Duration>) -> Option<u64> {
    duration.map(|duration| duration.as_secs())
}

fn share(value: f64, field: &str, findings: &mut Findings) -> Ppm {
    percent(value, field, 0.0..=100.0, findings).0
}

fn step(it: &CanaryStep, at: usize, interval: u64, findings: &mut Findings) -> Step {
    let field = format!("spec.steps[{at}]");
    let exposure = match (it.weight, it.shadow, it.cohort) {
        (Some(weight), None, false) => Exposure::Weight(share(weight, &format!("{field}.weight"), findings)),
        (None, Some(copied), false) => Exposure::Shadow(share(copied, &format!("{field}.shadow"), findings)),
        (None, None, true) => Exposure::Cohort,
        (Some(_) | None, Some(_) | None, _) => {
            findings.fault(field.clone(), "needs one of `weight`, `shadow` and `cohort: true`");
            Exposure::Weight(0)
        }
    };
    let hold = optional(it.hold.as_ref(), &format!("{field}.hold"), SECOND..=WEEK, findings);
    let gate = match it.gate {
        CanaryGate::Open => Gate::Open,
        CanaryGate::Manual => Gate::Manual,
    };
    Step { exposure, hold: seconds_of(hold).unwrap_or(interval), gate }
}

fn analysis(it: &CanaryAnalysis, findings: &mut Findings) -> Analysis {
    let at = "spec.analysis";
    let half_an_hour = Duration::from_mins(30);
    let interval = optional(
        Some(&it.interval),
        &format!("{at}.interval"),
        Duration::from_secs(5)..=half_an_hour,
        findings,
    );
    let mut thresholds = Vec::new();
    let success = share(it.success_rate, &format!("{at}.successRate"), findings);
    if success > 0 {
        thresholds.push(Threshold { bad: Bad::Failed, at_most: ALL - success });
    }
    for (index, limit) in it.latency.iter().enumerate() {
        let field = format!("{at}.latency[{index}]");
        let quantile = share(limit.quantile, &format!("{field}.quantile"), findings);
        let longest = optional(
            Some(&limit.at_most),
            &format!("{field}.atMost"),
            Duration::from_millis(1)..=Duration::from_hours(1),
            findings,
        );
        let micros = longest.map_or(0, |limit| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
        thresholds.push(Threshold { bad: Bad::SlowerThan(micros), at_most: ALL.saturating_sub(quantile) });
    }
    for (index, limit) in it.failure_codes.iter().enumerate() {
        let field = format!("{at}.failureCodes[{index}]");
        let known =
            |code: &&String| mesh_model::failure::Failure::ALL.iter().any(|it| it.code() == code.as_str());
        for unknown in limit.codes.iter().filter(|code| !known(code)) {
            findings
                .fault(format!("{field}.codes"), format!("`{unknown}` is none; `meshctl error` lists them"));
        }
        let at_most = share(limit.at_most, &format!("{field}.atMost"), findings);
        thresholds.push(Threshold { bad: Bad::Codes(limit.codes.clone()), at_most });
    }
    let mut comparisons = Vec::new();
    if let Some(margin) = it.compare.failures_margin {
        let margin = share(margin, &format!("{at}.compare.failuresMargin"), findings);
        comparisons.push(Comparison::Failures { margin });
    }
    for (index, limit) in it.compare.latency.iter().enumerate() {
        let field = format!("{at}.compare.latency[{index}]");
        let quantile = share(limit.quantile, &format!("{field}.quantile"), findings);
        let margin = percent(limit.margin, &format!("{field}.margin"), 0.0..=1000.0, findings).0;
        comparisons.push(Comparison::Latency { quantile, margin });
    }
    Analysis {
        interval: seconds_of(interval).unwrap_or(60),
        min_requests: u64::from(it.min_requests),
        failed_checks: it.failed_checks,
        false_alarm: percent(it.false_alarm, &format!("{at}.falseAlarm"), 0.0001..=20.0, findings).0,
        thresholds,
        comparisons,
    }
}

fn window(it: &CanaryWindow, at: usize, findings: &mut Findings) -> Option<Window> {
    let field = format!("spec.windows[{at}]");
    let days = if it.days.is_empty() { 0x7f } else { it.days.iter().fold(0, |days, day| days | bit(*day)) };
    let mut minute = |text: &str, name: &str| {
        let found = text.split_once(':').and_then(|(hours, minutes)| {
            let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
            (hours <= 24 && minutes < 60).then_some(hours * 60 + minutes)
        });
        if found.is_none() {
            findings
                .fault(format!("{field}.{name}"), format!("`{text}` is no time of day; write it as 09:00"));
        }
        found
    };
    let (from, to) = (minute(&it.from, "from"), minute(&it.to, "to"));
    Some(Window { days, from: from?, to: to? })
}

fn bit(day: Day) -> u8 {
    match day {
        Day::Mon => 1,
        Day::Tue => 1 << 1,
        Day::Wed => 1 << 2,
        Day::Thu => 1 << 3,
        Day::Fri => 1 << 4,
        Day::Sat => 1 << 5,
        Day::Sun => 1 << 6,
    }
}

#[cfg(test)]
mod tests {
    use mesh_release::plan::Plan;

    use super::*;

    fn canary(spec: &str) -> Canary {
        let text = format!(
            "apiVersion: amime.io/v1alpha1\nkind: Canary\nmetadata: {{name: cart}}\nspec: {{{spec}}}"
        );
        serde_saphyr::from_str(&text).unwrap()
    }

    const LEAST: &str = "stable: cart-v1, canary: cart-v2, version: v2";

    fn faults(spec: &str) -> Vec<String> {
        lower(&canary(spec)).1.faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_written_is_the_plan_that_is_simulated() {
        let steps = "steps: [{weight: 5}, {weight: 10}, {weight: 25}, {weight: 50}]";
        let (plan, findings) = lower(&canary(&format!("{LEAST}, {steps}")));
        assert_eq!(findings.faults, []);
        assert_eq!(plan, Plan::default());
    }

    #[test]
    fn everything_that_can_be_written_is_read() {
        let (plan, findings) = lower(&canary(&format!(
            "{LEAST}, maxDuration: 2h, windows: [{{days: [Mon, Fri], from: '09:00', to: '17:30'}}],
             steps: [{{shadow: 10, hold: 5m}}, {{weight: 0.5, gate: Manual}}, {{weight: 100}}],
             analysis: {{interval: 30s, minRequests: 50, failedChecks: 0, falseAlarm: 1, successRate: 99.9,
               latency: [{{quantile: 99, atMost: 500ms}}], failureCodes: [{{codes: [upstream_reset], atMost: 0.1}}],
               compare: {{failuresMargin: null, latency: [{{quantile: 50, margin: 10}}]}}}}"
        )));
        assert_eq!(findings.faults, []);
        assert_eq!(plan.steps[0], Step { exposure: Exposure::Shadow(100_000), hold: 300, gate: Gate::Open });
        assert_eq!(plan.steps[1], Step { exposure: Exposure::Weight(5_000), hold: 30, gate: Gate::Manual });
        assert_eq!(plan.windows, [Window { days: 0b1_0001, from: 540, to: 1_050 }]);
        assert_eq!(plan.analysis.thresholds[1], Threshold { bad: Bad::SlowerThan(500_000), at_most: 10_000 });
        assert_eq!(plan.analysis.comparisons, [Comparison::Latency { quantile: 500_000, margin: 100_000 }]);
        assert_eq!((plan.max_duration, plan.analysis.false_alarm), (Some(7_200), 10_000));
    }

    #[test]
    fn mistakes_are_named_with_their_field() {
        let steps = "steps: [{weight: 5}]";
        assert_eq!(
            faults(&format!("stable: cart, canary: cart, version: v2, {steps}")),
            ["spec.canary: is the stable Service itself; give the new version a Service of its own"]
        );
        assert_eq!(
            faults(&format!("{LEAST}, steps: [{{hold: 1m}}]")),
            ["spec.steps[0]: needs one of `weight`, `shadow` and `cohort: true`"]
        );
        assert_eq!(
            faults(&format!("{LEAST}, steps: [{{weight: 50}}, {{weight: 10}}]")),
            ["spec.steps[1].weight: is lower than the step's before; steps only grow"]
        );
        assert_eq!(
            faults(&format!("{LEAST}, {steps}, compare: {{ignorePaths: [id]}}")),
            [
                "spec.compare.ignorePaths[0]: does not begin with `$`; write a place such as `$.items[*].id`",
                "spec.compare: answers to copies are compared, and no step has `shadow`; write one, such as `{ shadow: 10 }`"
            ]
        );
        assert_eq!(
            faults(&format!("{LEAST}, steps: [{{shadow: 10}}, {{weight: 5}}], compare: {{}}")),
            [""; 0]
        );
        assert_eq!(
            faults(&format!("{LEAST}, {steps}, windows: [{{from: '25:00', to: noon}}]")),
            [
                "spec.windows[0].from: `25:00` is no time of day; write it as 09:00",
                "spec.windows[0].to: `noon` is no time of day; write it as 09:00"
            ]
        );
        assert_eq!(
            faults(&format!("{LEAST}, {steps}, analysis: {{failureCodes: [{{codes: [nope]}}]}}")),
            ["spec.analysis.failureCodes[0].codes: `nope` is none; `meshctl error` lists them"]
        );
    }
}
