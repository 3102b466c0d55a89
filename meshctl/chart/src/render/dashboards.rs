//! Dashboards, rules and alerts name metrics that there are, with labels that these have, as the reference of metrics says; and each
//! alert has tests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Chart;

type Words = BTreeSet<String>;

/// What Prometheus and Kubernetes put on every series, and what histograms and alerts have.
const ALWAYS: &[&str] =
    &["namespace", "pod", "container", "instance", "job", "le", "alertname", "alertstate"];
const REFERENCE: &str = include_str!("../../../../docs/reference/metrics.md");
const TESTS: &str = include_str!("../../../../xtask/suites/rules/tests.yaml");

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| word.chars().all(is_word) && !word.is_empty())
}

/// Labels of each metric: those in its row, and those that the text of its section names.
fn reference() -> BTreeMap<String, Words> {
    let mut known: BTreeMap<String, Words> = BTreeMap::new();
    for section in REFERENCE.split("\n##") {
        let lines = section.lines();
        let (rows, prose): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("| `"));
        let prose: Words = prose.iter().flat_map(|line| quoted(line)).map(str::to_owned).collect();
        for row in rows {
            let names = row.split('|').nth(1).unwrap_or_default();
            let labels: Words = quoted(row).map(str::to_owned).chain(prose.iter().cloned()).collect();
            for name in quoted(names) {
                known.entry(name.to_owned()).or_default().extend(labels.iter().cloned());
            }
        }
    }
    known
}

/// Names of series in an expression, and of labels that it picks, keeps or matches by.
fn named(expr: &str) -> (Words, Words) {
    let (mut metrics, mut labels) = (Words::new(), Words::new());
    let (mut word, mut list, mut braces, mut quote) = (String::new(), false, false, false);
    let mut last = String::new();
    for c in expr.chars().chain([' ']) {
        if quote {
            quote = c != '"';
            continue;
        }
        if is_word(c) || c == '$' {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            let is_metric = word.starts_with("mesh_") || word.starts_with("amime:");
            let is_key = matches!(c, '=' | '!' | ' ' | ',' | ')') && !word.starts_with('$');
            if is_metric && !list && !braces {
                metrics.insert(word.clone());
            } else if (list || braces) && is_key {
                labels.insert(word.clone());
            }
            last = std::mem::take(&mut word);
        }
        match c {
            '"' => quote = true,
            '{' => braces = true,
            '}' => braces = false,
            '(' => list = matches!(last.as_str(), "by" | "without" | "on" | "ignoring" | "group_left"),
            ')' => list = false,
            _ => {}
        }
        if !c.is_whitespace() && c != '(' {
            last.clear();
        }
    }
    (metrics, labels)
}

/// Every expression of a rules file with what it records or alerts on.
fn rules() -> Vec<(String, String)> {
    let chart = Chart::embedded();
    let file: Value = serde_saphyr::from_str(chart.file("prometheus/rules.yaml").unwrap()).unwrap();
    let groups = file["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let text = |rule: &Value, key: &str| rule[key].as_str().map(str::to_owned);
    rules
        .map(|rule| (text(rule, "record").or(text(rule, "alert")).unwrap(), text(rule, "expr").unwrap()))
        .collect()
}

/// Every expression of a dashboard with the panel's title.
fn panels(text: &str) -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let expressions = panels.flat_map(|panel| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap().iter();
        targets.map(move |target| (title.clone(), target["expr"].as_str().unwrap().to_owned()))
    });
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let queries = variables.filter_map(|variable| variable["query"]["query"].as_str());
    // `label_values(METRIC{...}, LABEL)`
    let queries = queries.map(|query| {
        let (metric, label) = query.strip_prefix("label_values(").unwrap().rsplit_once(", ").unwrap();
        ("variable".to_owned(), format!("sum by ({label} ({metric})"))
    });
    expressions.chain(queries).collect()
}

#[test]
fn every_metric_and_label_of_a_panel_or_rule_is_in_the_reference() {
    let mut known = reference();
    let mut seen = 0;
    let mut check = |place: &str, expr: &str, known: &BTreeMap<String, Words>| -> Words {
        let (metrics, labels) = named(expr);
        let mut allowed: Words = ALWAYS.iter().map(|label| (*label).to_owned()).collect();
        for metric in &metrics {
            seen += 1;
            let base = metric.strip_suffix("_bucket").unwrap_or(metric);
            let of_metric = known.get(base);
            assert!(of_metric.is_some(), "{place}: docs/reference/metrics.md has no {metric}: {expr}");
            allowed.extend(of_metric.into_iter().flatten().cloned());
        }
        for label in labels {
            assert!(allowed.contains(&label), "{place}: none of {metrics:?} has a label {label}: {expr}");
        }
        allowed
    };
    for (name, expr) in rules() {
        let labels = check(&name, &expr, &known);
        // What is recorded can be asked for.
        if name.starts_with("amime:") {
            known.insert(name, labels);
        }
    }
    for (file, text) in Chart::embedded().folder("grafana/") {
        for (title, expr) in panels(text) {
            check(&format!("{file}: {title}"), &expr, &known);
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn expressions_are_taken_apart() {
    let (metrics, labels) =
        named("sum by (a, b) (rate(mesh_x_total{c=~\"mesh_no{x\", d!=\"\"}[5m])) / on (e) amime:y > 3");
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Words>();
    assert_eq!((metrics, labels), (words("amime:y mesh_x_total"), words("a b c d e")));
}

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let alerts = rules().into_iter().filter(|(name, _)| !name.contains(':'));
    let mut count = 0;
    for (alert, _) in alerts {
        count += 1;
        for word in ["fires", "is quiet"] {
            assert!(
                TESTS.contains(&format!("- name: {alert} {word}\n")),
                "{alert} has no test that it {word}"
            );
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn dashboards_are_json_with_ids_of_their_own() {
    let chart = Chart::embedded();
    let mut ids = BTreeSet::new();
    for (file, text) in chart.folder("grafana/") {
        let dashboard: Value = serde_json::from_str(text).unwrap();
        assert!(ids.insert(dashboard["uid"].as_str().unwrap().to_owned()), "{file}");
        let panels = dashboard["panels"].as_array().unwrap();
        let numbers: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
        assert_eq!(numbers.len(), panels.len(), "{file}: two panels have one id");
        let monitoring = chart.file("templates/monitoring.yaml").unwrap();
        let name = file.rsplit('/').next().unwrap().trim_end_matches(".json");
        assert!(monitoring.contains(&format!("\"{name}\"")), "the chart does not install {file}");
    }
    assert_eq!(ids.len(), 6);
}
