//! What was measured, and what it says about the goals. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::peers::OURS;
use crate::rows::{Figure, GOALS, Goal, Row};
use crate::stats::median;

/// Every value of every round.
#[derive(Debug, Default)]
pub(crate) struct Results {
    values: BTreeMap<(Row, &'static str, Figure), Vec<f64>>,
    /// Why a proxy is missing in a row.
    missing: BTreeMap<(Row, &'static str), String>,
}

/// A goal beside what came out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) goal: Goal,
    /// Ours divided by the peer's (medians), or our figure itself; None when one was not measured.
    pub(crate) value: Option<f64>,
    /// The same from the best round of each.
    pub(crate) best: Option<f64>,
}

impl Outcome {
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.value.map(|value| self.goal.wanted.is_met(value))
    }
}

impl Results {
    pub(crate) fn add(&mut self, row: Row, proxy: &'static str, figure: Figure, value: f64) {
        self.values.entry((row, proxy, figure)).or_default().push(value);
    }

    pub(crate) fn miss(&mut self, row: Row, proxy: &'static str, why: String) {
        self.missing.entry((row, proxy)).or_insert(why);
    }

    pub(crate) fn median(&self, row: Row, proxy: &'static str, figure: Figure) -> Option<f64> {
        median(self.values.get(&(row, proxy, figure))?)
    }

    pub(crate) fn best(&self, row: Row, proxy: &'static str, figure: Figure) -> Option<f64> {
        figure.best(self.values.get(&(row, proxy, figure))?)
    }

    /// The proxies of a row, ours first, then in the order of their names.
    pub(crate) fn proxies(&self, row: Row) -> Vec<&'static str> {
        let measured = self.values.keys().filter(|key| key.0 == row).map(|key| key.1);
        let mut names: Vec<_> = measured.collect();
        names.sort_unstable_by_key(|name| (*name != OURS, *name));
        names.dedup();
        names
    }

    /// The figures of a row, in their order.
    pub(crate) fn figures(&self, row: Row) -> Vec<Figure> {
        let mut figures: Vec<_> = self.values.keys().filter(|key| key.0 == row).map(|key| key.2).collect();
        figures.sort_unstable();
        figures.dedup();
        figures
    }

    pub(crate) fn missing(&self, row: Row) -> impl Iterator<Item = (&'static str, &str)> {
        self.missing.iter().filter(move |(key, _)| key.0 == row).map(|(key, why)| (key.1, why.as_str()))
    }

    /// The goals of the rows that were asked for.
    pub(crate) fn outcomes(&self, rows: &[Row]) -> Vec<Outcome> {
        GOALS.into_iter().filter(|goal| rows.contains(&goal.row)).map(|goal| self.outcome(goal)).collect()
    }

    fn outcome(&self, goal: Goal) -> Outcome {
        let divided = |of: &dyn Fn(&'static str) -> Option<f64>| match goal.peer {
            None => of(OURS),
            Some(peer) => Some(of(OURS)? / of(peer).filter(|peer| *peer > 0.0)?),
        };
        Outcome {
            goal,
            value: divided(&|proxy| self.median(goal.row, proxy, goal.figure)),
            best: divided(&|proxy| self.best(goal.row, proxy, goal.figure)),
        }
    }

    /// One object: `ratios` is what is judged, `medians` what it was made of.
    pub(crate) fn json(&self, rows: &[Row], facts: &Value) -> Value {
        let ratios: serde_json::Map<String, Value> = self
            .outcomes(rows)
            .into_iter()
            .map(|outcome| {
                let value = json!({
                    "value": outcome.value.map(rounded),
                    "goal": rounded(outcome.goal.wanted.bound()),
                    "wanted": outcome.goal.wanted.word(),
                    "peer": outcome.goal.peer,
                    "best": outcome.best.map(rounded),
                    "met": outcome.is_met(),
                });
                (outcome.goal.name.to_owned(), value)
            })
            .collect();
        let mut medians: BTreeMap<String, BTreeMap<&str, BTreeMap<&str, Value>>> = BTreeMap::new();
        for ((row, proxy, figure), values) in &self.values {
            let figures = medians.entry(key(*row)).or_default().entry(proxy).or_default();
            let value = json!({
                "median": median(values).map(rounded),
                "best": figure.best(values).map(rounded),
                "rounds": values.len(),
            });
            figures.insert(figure.name(), value);
        }
        let missing: Vec<Value> = self
            .missing
            .iter()
            .map(|((row, proxy), why)| json!({ "row": key(*row), "proxy": proxy, "why": why }))
            .collect();
        json!({ "ratios": ratios, "medians": medians, "missing": missing, "facts": facts })
    }
}

/// The row's name as it is typed after `--rows`.
fn key(row: Row) -> String {
    format!("{row:?}").to_lowercase()
}

/// Four digits after the point: more would be noise that looks like knowledge.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Results {
        let mut results = Results::default();
        for value in [10.0, 30.0, 20.0] {
            results.add(Row::H1, OURS, Figure::CpuMicroseconds, value);
            results.add(Row::H1, "envoy", Figure::CpuMicroseconds, value * 4.0);
        }
        results.add(Row::Memory, OURS, Figure::IdleMegabytes, 9.5);
        results
    }

    #[test]
    fn a_ratio_is_ours_to_the_peers_median() {
        let json = measured().json(&[Row::H1, Row::Memory], &json!({}));
        let ratio = &json["ratios"]["h1_cpu_envoy"];
        assert_eq!(ratio["value"], 0.25);
        assert_eq!(ratio["goal"], 0.3333);
        assert_eq!(ratio["peer"], "envoy");
        assert_eq!(ratio["met"], true);
        assert_eq!(json["medians"]["h1"][OURS]["cpu_us"]["median"], 20.0);
        assert_eq!(json["medians"]["h1"][OURS]["cpu_us"]["best"], 10.0);
    }

    #[test]
    fn a_figure_without_a_peer_is_compared_itself() {
        let json = measured().json(&[Row::Memory], &json!({}));
        assert_eq!(json["ratios"]["idle_sidecar_mb"]["value"], 9.5);
        assert_eq!(json["ratios"]["idle_sidecar_mb"]["met"], false);
        assert!(json["ratios"].get("h1_cpu_envoy").is_none(), "the row was not asked for");
    }

    #[test]
    fn what_was_not_measured_has_no_value_and_says_why() {
        let mut results = measured();
        results.miss(Row::H1, "nginx", "not installed".to_owned());
        let json = results.json(&[Row::H1], &json!({}));
        assert!(json["ratios"]["h1_cpu_nginx"]["value"].is_null());
        assert!(json["ratios"]["h1_cpu_nginx"]["met"].is_null());
        assert_eq!(json["missing"][0]["why"], "not installed");
    }

    #[test]
    fn the_best_rate_is_the_largest_and_the_best_cost_the_smallest() {
        assert_eq!(Figure::RequestsPerSecond.best(&[1.0, 3.0, 2.0]), Some(3.0));
        assert_eq!(Figure::P99Microseconds.best(&[1.0, 3.0, 2.0]), Some(1.0));
    }

    #[test]
    fn of_throughput_more_is_better() {
        let mut results = Results::default();
        for (proxy, value) in
            [(OURS, 600.0), (OURS, 900.0), (OURS, 500.0), ("haproxy", 500.0), ("envoy", 400.0)]
        {
            results.add(Row::Tcp1, proxy, Figure::MibPerSecond, value);
        }
        let ratios = &results.json(&[Row::Tcp1], &json!({}))["ratios"];
        assert_eq!(ratios["tcp1_throughput_haproxy"]["value"], 1.2);
        assert_eq!(ratios["tcp1_throughput_haproxy"]["wanted"], "at least");
        assert_eq!(ratios["tcp1_throughput_haproxy"]["met"], true);
        assert_eq!(ratios["tcp1_throughput_envoy"]["best"], 2.25);
    }

    #[test]
    fn our_own_proxy_comes_first() {
        let mut results = measured();
        results.add(Row::H1, "aaa", Figure::CpuMicroseconds, 1.0);
        assert_eq!(results.proxies(Row::H1), [OURS, "aaa", "envoy"]);
    }
}
