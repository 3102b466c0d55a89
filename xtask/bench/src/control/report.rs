//! Figures against goals, as a table and as JSON. Pure. The goals are five times better than the best-tuned peer was measured to be.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::figures::{Figure, Figures};
use super::objects::Size;

/// Goals for 1,000 services of 10 endpoints under 1,000 streams.
const THOUSAND: &[(&str, &str, f64)] = &[
    ("start", "ready", 0.5),
    ("start", "CPU", 0.45),
    ("start", "memory, no streams", 48.0),
    ("connect", "memory", 80.0),
    ("connect", "CPU of a stream", 1.7),
    ("connect", "bytes of a stream", 20_000.0),
    ("one change, all concerned", "last stream, p99", 50.0),
    ("churn of 50 a second", "p50", 5.0),
    ("churn of 50 a second", "p99", 40.0),
    ("churn of 50 a second", "CPU", 0.2),
    ("edit without meaning", "bytes of updates", 0.0),
    ("reconnect storm", "settled after", 10.0),
    ("restart", "resources sent", 0.0),
];
/// Goals for 10,000 services of 10 endpoints.
const TEN_THOUSAND: &[(&str, &str, f64)] = &[
    ("start", "ready", 3.0),
    ("connect", "memory", 300.0),
    ("edit without meaning", "bytes of updates", 0.0),
    ("restart", "resources sent", 0.0),
];
/// A goal for 10,000 streams.
const CROWD: &[(&str, &str, f64)] = &[("one change, all concerned", "last stream, p99", 150.0)];

/// Goals for storms, for any number of services: of at most so many streams.
const STORM: &[(&str, &str, f64)] = &[
    ("reconnect storm", "settled after", 10.0),
    ("restart", "settled after it was ready", 10.0),
    ("restart", "resources sent", 0.0),
    ("restart", "most memory, of that at rest", 1.5),
];
const STORM_STREAMS: usize = 1000;

/// A figure and what it should be at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    figure: Figure,
    goal: Option<f64>,
}

impl Judged {
    fn verdict(&self) -> &'static str {
        match self.goal {
            None => "",
            Some(goal) if self.figure.value <= goal => "met",
            Some(_) => "NOT MET",
        }
    }
}

/// Goals hold for the sizes that they were measured at.
pub(super) fn judge(figures: &Figures, size: Size) -> Vec<Judged> {
    let goals: &[(&str, &str, f64)] = match (size.services, size.streams) {
        (_, 10_000..) => CROWD,
        (1000, 1000) => THOUSAND,
        (10_000, _) => TEN_THOUSAND,
        _ => &[],
    };
    let storm: &[(&str, &str, f64)] = if size.streams <= STORM_STREAMS { STORM } else { &[] };
    let goal = |figure: &Figure| {
        let found =
            goals.iter().chain(storm).find(|(phase, name, _)| *phase == figure.phase && *name == figure.name);
        found.map(|(_, _, goal)| *goal)
    };
    figures.all().iter().map(|figure| Judged { figure: *figure, goal: goal(figure) }).collect()
}

/// The goals for storms that were not met, as they are printed.
pub(super) fn storms_unmet(judged: &[Judged]) -> Vec<String> {
    let of_storms = |one: &&Judged| {
        STORM.iter().any(|(phase, name, _)| *phase == one.figure.phase && *name == one.figure.name)
    };
    let unmet =
        judged.iter().filter(of_storms).filter(|one| one.goal.is_some_and(|goal| one.figure.value > goal));
    unmet
        .map(|one| format!("{}, {}: {}", one.figure.phase, one.figure.name, number(one.figure.value)))
        .collect()
}

pub(super) fn table(judged: &[Judged]) -> String {
    let mut out = String::new();
    let mut phase = "";
    for one in judged {
        let Figure { phase: of, name, value, unit } = one.figure;
        if of != phase {
            phase = of;
            // Writing to a text never fails.
            let _ = writeln!(out, "\n{of}");
        }
        let goal = one.goal.map_or_else(String::new, |goal| format!("at most {goal} {unit}"));
        let line = format!("  {name:36} {:>12} {unit:6} {goal:22} {}", number(value), one.verdict());
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1000.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.3}"),
    }
}

pub(super) fn json(judged: &[Judged], facts: &Value) -> Value {
    let figures = judged.iter().map(|one| {
        let Figure { phase, name, value, unit } = one.figure;
        let met = one.goal.map(|goal| value <= goal);
        json!({ "phase": phase, "name": name, "value": value, "unit": unit, "goal": one.goal, "met": met })
    });
    json!({ "figures": figures.collect::<Vec<_>>(), "facts": facts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_held_against_the_goals_of_their_size_alone() {
        let mut figures = Figures::default();
        figures.add("start", "ready", 0.7, "s");
        figures.add("edit without meaning", "bytes of updates", 0.0, "B");
        let size = Size { services: 1000, endpoints: 10, streams: 1000, pods: true };
        let judged = judge(&figures, size);
        assert_eq!(judged.iter().map(Judged::verdict).collect::<Vec<_>>(), ["NOT MET", "met"]);
        assert!(table(&judged).contains("at most 0.5 s"));
        let other = judge(&figures, Size { services: 300, ..size });
        assert_eq!(other.iter().map(Judged::verdict).collect::<Vec<_>>(), ["", ""]);
        assert_eq!(json(&judged, &json!({}))["figures"][0]["met"], false);
    }

    #[test]
    fn storms_are_judged_by_themselves() {
        let mut figures = Figures::default();
        figures.add("start", "ready", 70.0, "s");
        figures.add("reconnect storm", "settled after", 12.0, "s");
        figures.add("restart", "resources sent", 0.0, "");
        let size = Size { services: 300, endpoints: 10, streams: 1000, pods: true };
        assert_eq!(storms_unmet(&judge(&figures, size)), ["reconnect storm, settled after: 12"]);
        let crowd = Size { streams: 5000, ..size };
        assert!(storms_unmet(&judge(&figures, crowd)).is_empty());
    }

    #[test]
    fn every_goal_is_of_a_figure_that_is_measured() {
        let source = include_str!("phases.rs");
        for (phase, name, _) in THOUSAND.iter().chain(TEN_THOUSAND).chain(CROWD).chain(STORM) {
            assert!(source.contains(&format!("\"{name}\"")), "{name}");
            assert!(source.contains(&format!("\"{phase}\"")), "{phase}");
        }
    }
}
