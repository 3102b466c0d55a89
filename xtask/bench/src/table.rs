//! The results as text for people. Pure.

use std::fmt::Write as _;

use crate::features::FEATURES;
use crate::results::{Outcome, Results};
use crate::rows::{Figure, Row};

/// Every row with its proxies, then the goals.
pub(crate) fn render(results: &Results, rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let figures = results.figures(*row);
        if *row == Row::Features {
            push(&mut out, &format!("\n{}\n", row.title()));
            push(&mut out, &aligned(&features(results)));
            continue;
        }
        let mut lines = vec![head(&figures)];
        lines.extend(results.proxies(*row).into_iter().map(|proxy| line(results, *row, proxy, &figures)));
        push(&mut out, &format!("\n{}\n", row.title()));
        push(&mut out, &aligned(&lines));
        for (proxy, why) in results.missing(*row) {
            push(&mut out, &format!("{proxy}: {why}\n"));
        }
    }
    push(&mut out, "\nGoals (medians)\n");
    let mut lines =
        vec![["goal", "against", "value", "best rounds", "wanted", ""].map(str::to_owned).to_vec()];
    lines.extend(results.outcomes(rows).iter().map(goal));
    push(&mut out, &aligned(&lines));
    out
}

/// The first feature is what the others are compared with.
fn features(results: &Results) -> Vec<Vec<String>> {
    let cpu = |name| results.median(Row::Features, name, Figure::CpuMicroseconds);
    let base = FEATURES.first().and_then(|feature| cpu(feature.name));
    let mut lines = vec![["feature", "CPU us/request", "adds us"].map(str::to_owned).to_vec()];
    for feature in &FEATURES {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let adds = cpu(feature.name).zip(base).map(|(one, base)| one - base);
        lines.push(vec![feature.name.to_owned(), shown(cpu(feature.name)), shown(adds)]);
    }
    lines
}

fn head(figures: &[Figure]) -> Vec<String> {
    let columns = figures.iter().flat_map(|figure| match figure {
        Figure::CpuMicroseconds => {
            vec!["CPU us/request".to_owned(), "(best)".to_owned(), "requests/s/core".to_owned()]
        }
        Figure::AddedCpuMicroseconds => vec!["adds us".to_owned()],
        Figure::RequestsPerSecond => vec!["reached/s".to_owned()],
        Figure::CpuMillisecondsPerMib => vec!["CPU ms/MiB".to_owned(), "(best)".to_owned()],
        Figure::MibPerSecond => vec!["MiB/s".to_owned(), "(best)".to_owned()],
        Figure::ClientFirstMilliseconds => vec!["client speaks".to_owned()],
        Figure::ServerFirstMilliseconds => vec!["server speaks".to_owned()],
        Figure::AddedClientFirstMilliseconds => vec!["client adds".to_owned()],
        Figure::AddedServerFirstMilliseconds => vec!["server adds".to_owned()],
        Figure::P50Microseconds => vec!["p50 us".to_owned()],
        Figure::P99Microseconds => vec!["p99 us".to_owned(), "(best)".to_owned()],
        Figure::P999Microseconds => vec!["p999 us".to_owned(), "(best)".to_owned()],
        Figure::IdleMegabytes => vec!["idle MB".to_owned()],
        Figure::ConnectionKib => vec!["KiB/connection".to_owned()],
        Figure::MtlsConnectionKib => vec!["KiB/mTLS connection".to_owned()],
    });
    std::iter::once("proxy".to_owned()).chain(columns).collect()
}

fn line(results: &Results, row: Row, proxy: &'static str, figures: &[Figure]) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    let columns = figures.iter().flat_map(|figure| {
        let median = results.median(row, proxy, *figure);
        let best = results.best(row, proxy, *figure);
        match figure {
            Figure::CpuMicroseconds => {
                vec![shown(median), shown(best), shown(median.map(|micros| 1e6 / micros))]
            }
            Figure::P99Microseconds
            | Figure::P999Microseconds
            | Figure::CpuMillisecondsPerMib
            | Figure::MibPerSecond => vec![shown(median), shown(best)],
            _ => vec![shown(median)],
        }
    });
    std::iter::once(proxy.to_owned()).chain(columns).collect()
}

fn goal(outcome: &Outcome) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let verdict = match outcome.is_met() {
        Some(true) => "met",
        Some(false) => "not met",
        None => "not measured",
    };
    vec![
        outcome.goal.name.to_owned(),
        outcome.goal.peer.unwrap_or("-").to_owned(),
        shown(outcome.value),
        shown(outcome.best),
        format!("{} {:.3}", outcome.goal.wanted.word(), outcome.goal.wanted.bound()),
        verdict.to_owned(),
    ]
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The first column to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") }
        });
        push(&mut out, cells.collect::<String>().trim_end());
        push(&mut out, "\n");
    }
    out
}

fn push(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = out.write_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::OURS;

    #[test]
    fn a_row_has_a_line_for_each_proxy_and_the_goals_follow() {
        let mut results = Results::default();
        results.add(Row::H1, OURS, Figure::CpuMicroseconds, 20.0);
        results.add(Row::H1, "envoy", Figure::CpuMicroseconds, 80.0);
        results.miss(Row::H1, "nginx", "not installed".to_owned());
        let text = render(&results, &[Row::H1]);
        assert!(text.contains("  amime            20.0    20.0            50000\n"), "{text}");
        assert!(text.contains("nginx: not installed\n"), "{text}");
        let goals: Vec<&str> = text.lines().filter(|line| line.contains("h1_cpu")).collect();
        assert!(goals[0].ends_with("met") && goals[0].contains("0.250"), "{text}");
        assert!(goals[1].ends_with("not measured"), "{text}");
    }
}
