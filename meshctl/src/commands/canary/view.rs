//! Releases as tables and sentences. Pure: the time is an argument.

use std::fmt::Write as _;

use jiff::Timestamp;
use mesh_proto::inspect::v1::{CanaryFinding, CanaryRelease};

use crate::commands::Outcome;
use crate::output::table::{Align, Cell, Table};
use crate::output::units::span;
use crate::output::{Paint, Tone};

/// A version that was taken back is a finding.
pub(super) fn outcome(release: &CanaryRelease) -> Outcome {
    if release.phase == "RolledBack" { Outcome::Finding } else { Outcome::Fine }
}

/// The phase with what it waits for.
fn phase(release: &CanaryRelease) -> Cell {
    let text = match (release.phase.as_str(), release.pause.as_str()) {
        _ if !release.refused.is_empty() => "Refused".to_owned(),
        ("", _) => "-".to_owned(),
        (phase, "") if release.frozen => format!("{phase} (no figures)"),
        (phase, "") => phase.to_owned(),
        (phase, "Gate") => format!("{phase} (gate)"),
        (phase, "Hand") => format!("{phase} (by hand)"),
        (phase, "Edited") => format!("{phase} (weights edited)"),
        (phase, other) => format!("{phase} ({other})"),
    };
    let tone = match release.phase.as_str() {
        _ if !release.refused.is_empty() => Tone::Bad,
        "Promoted" => Tone::Good,
        "RolledBack" => Tone::Bad,
        "Paused" => Tone::Warning,
        _ if release.frozen => Tone::Warning,
        _ => Tone::Plain,
    };
    Cell::toned(text, tone)
}

fn why(release: &CanaryRelease) -> &str {
    if release.refused.is_empty() { &release.message } else { &release.refused }
}

fn step(release: &CanaryRelease) -> String {
    match release.phase.as_str() {
        "Progressing" | "Paused" => format!("{}/{}", release.step + 1, release.steps),
        _ => "-".to_owned(),
    }
}

/// All releases.
pub(super) fn table(all: &[CanaryRelease]) -> Table {
    let mut table = Table::new(&[
        ("NAMESPACE", Align::Left),
        ("NAME", Align::Left),
        ("VERSION", Align::Left),
        ("PHASE", Align::Left),
        ("STEP", Align::Right),
        ("ROUTING", Align::Left),
        ("FAILED", Align::Right),
        ("READY", Align::Right),
        ("WHY", Align::Left),
    ]);
    for release in all {
        table.row([
            release.namespace.clone().into(),
            release.name.clone().into(),
            release.version.clone().into(),
            phase(release),
            step(release).into(),
            release.routing.clone().into(),
            format!("{}/{}", release.failed_checks, release.failed_checks_allowed).into(),
            format!("{}+{}", release.stable_ready, release.canary_ready).into(),
            why(release).to_owned().into(),
        ]);
    }
    table
}

/// One release, whole.
pub(super) fn status(release: &CanaryRelease, now: u64, paint: Paint) -> String {
    let mut out = String::new();
    let title = format!("{}/{} version {}", release.namespace, release.name, release.version);
    let phase = phase(release);
    let _ = writeln!(out, "{}  {}", paint.tone(Tone::Strong, &title), paint.tone(phase.tone(), phase.text()));
    let mut row = |name: &str, text: String| {
        let _ = writeln!(out, "  {name:<10}{text}");
    };
    row("stable", format!("{}, {} ready", release.stable, release.stable_ready));
    row("canary", format!("{}, {} ready", release.canary, release.canary_ready));
    row("routes", release.routing.clone());
    if matches!(release.phase.as_str(), "Progressing" | "Paused") {
        let held = span(now.saturating_sub(release.step_began));
        row("step", format!("{} of {}, for {held}", release.step + 1, release.steps));
        row("requests", format!("{} of {} that this step takes", release.requests, release.min_requests));
        let next = match release.next_check.saturating_sub(now) {
            0 => "now".to_owned(),
            seconds => format!("in {}", span(seconds)),
        };
        let failed =
            format!("{} failed of {} that may", release.failed_checks, release.failed_checks_allowed);
        row("checks", format!("{failed}; the next one {next}"));
    }
    if !why(release).is_empty() {
        row("why", why(release).to_owned());
    }
    if !release.findings.is_empty() {
        out.push('\n');
        out.push_str(&findings(&release.findings).render(paint));
    }
    out
}

fn findings(all: &[CanaryFinding]) -> Table {
    let mut table = Table::new(&[
        ("VERDICT", Align::Left),
        ("STABLE", Align::Right),
        ("CANARY", Align::Right),
        ("RULE", Align::Left),
    ]);
    for finding in all {
        let tone = match finding.verdict.as_str() {
            "Pass" => Tone::Good,
            "Bad" | "Fail" => Tone::Bad,
            _ => Tone::Warning,
        };
        let share =
            |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.2}%", share * 100.0));
        table.row([
            Cell::toned(finding.verdict.clone(), tone),
            share(finding.stable).into(),
            share(finding.canary).into(),
            if finding.verdict == "Pass" { finding.rule.clone() } else { finding.text.clone() }.into(),
        ]);
    }
    table
}

/// One release on one line.
pub(super) fn line(release: &CanaryRelease, paint: Paint) -> String {
    let phase = phase(release);
    let requests = match release.phase.as_str() {
        "Progressing" | "Paused" => format!("{}/{} requests, ", release.requests, release.min_requests),
        _ => String::new(),
    };
    format!(
        "{} {}  {} {}  {requests}{} failed checks  {}",
        time(release.checked),
        release.version,
        paint.tone(phase.tone(), phase.text()),
        release.routing,
        release.failed_checks,
        why(release)
    )
}

/// Releases that are over.
pub(super) fn history(release: &CanaryRelease) -> Table {
    let mut table = Table::new(&[
        ("VERSION", Align::Left),
        ("END", Align::Left),
        ("STARTED", Align::Left),
        ("TOOK", Align::Right),
        ("STEP", Align::Right),
        ("WHY", Align::Left),
    ]);
    for past in &release.past {
        let tone = if past.phase == "Promoted" { Tone::Good } else { Tone::Bad };
        let took = match past.started {
            0 => "-".to_owned(),
            started => span(past.ended.saturating_sub(started)),
        };
        table.row([
            past.version.clone().into(),
            Cell::toned(past.phase.clone(), tone),
            time(past.started).into(),
            took.into(),
            (past.step + 1).to_string().into(),
            past.message.clone().into(),
        ]);
    }
    table
}

/// Unix seconds as text; `-` for none.
fn time(seconds: u64) -> String {
    let when = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let when = when.and_then(|seconds| Timestamp::from_second(seconds).ok());
    when.map_or("-".to_owned(), |when| when.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_996_800;

    fn running() -> CanaryRelease {
        let finding = |rule: &str, verdict: &str, text: &str, stable, canary| CanaryFinding {
            rule: rule.into(),
            verdict: verdict.into(),
            text: text.into(),
            stable,
            canary,
        };
        CanaryRelease {
            namespace: "shop".into(),
            name: "reviews".into(),
            stable: "reviews-v1".into(),
            canary: "reviews-v2".into(),
            version: "v2".into(),
            phase: "Progressing".into(),
            step: 1,
            steps: 4,
            routing: "10 %".into(),
            weight_ppm: 100_000,
            started: NOW - 300,
            step_began: NOW - 95,
            checked: NOW - 35,
            next_check: NOW + 25,
            failed_checks: 1,
            failed_checks_allowed: 3,
            requests: 320,
            min_requests: 500,
            stable_ready: 2,
            canary_ready: 1,
            reason: "Advanced".into(),
            message: "from 5 % to 10 %: it passed".into(),
            findings: vec![
                finding("at most 1 % failed", "Pass", "", Some(0.002), Some(0.003)),
                finding(
                    "p99 beside the stable version's",
                    "Wait",
                    "p99 beside the stable version's: 3 %",
                    Some(0.01),
                    Some(0.03),
                ),
            ],
            past: vec![mesh_proto::inspect::v1::CanaryPast {
                version: "v1.9".into(),
                phase: "RolledBack".into(),
                step: 0,
                started: NOW - 90_000,
                ended: NOW - 89_900,
                reason: "EvidenceAgainst".into(),
                message: "at most 1 % failed: 60 of 300 requests of this step (20 %)".into(),
            }],
            ..CanaryRelease::default()
        }
    }

    fn others() -> Vec<CanaryRelease> {
        let with = |change: fn(&mut CanaryRelease)| {
            let mut release = running();
            change(&mut release);
            release
        };
        vec![
            running(),
            with(|it| {
                (it.phase, it.pause, it.message) =
                    ("Paused".into(), "Gate".into(), "5 % passed; somebody has to promote it".into());
            }),
            with(|it| {
                (it.phase, it.routing, it.message) =
                    ("RolledBack".into(), "all to the stable version".into(), "somebody aborted it".into());
            }),
            with(|it| (it.phase, it.refused) = (String::new(), "Canary shop/older came first".into())),
        ]
    }

    #[test]
    fn all_releases_as_a_table() {
        insta::assert_snapshot!(table(&others()).render(Paint::Plain));
    }

    #[test]
    fn one_release_whole_and_on_a_line() {
        insta::assert_snapshot!(format!(
            "{}\n{}",
            status(&running(), NOW, Paint::Plain),
            line(&running(), Paint::Plain)
        ));
    }

    #[test]
    fn releases_that_are_over() {
        insta::assert_snapshot!(history(&running()).render(Paint::Plain));
    }

    #[test]
    fn json_has_every_field() {
        insta::assert_json_snapshot!(mesh_controller::inspect::json::canary(&running()));
    }
}
