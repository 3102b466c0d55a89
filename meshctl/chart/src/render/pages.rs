//! Pages and files that must say what the chart says: the reference of values is written from `values.yaml`, and dashboards and
//! alerts name metrics that there are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::Chart;

const HEAD: &str = "# Values

<!-- Written from deploy/chart/values.yaml by `UPDATE_PAGES=1 cargo test -p mesh-chart`. Do not edit. -->

What `meshctl install` and `helm install` can be told: with `--values FILE`, or one by one with `--set KEY=VALUE`. Both take the
same values, hold them against the same schema and make the same objects of them. `meshctl install -o values` prints the file that
this page is written from. [Install](../tasks/install.md) shows how they are used; `--ha` of meshctl is `values-ha.yaml` of the
chart.

| value | default | meaning |
| --- | --- | --- |
";

/// The page, from the comments of `values.yaml`.
fn page(text: &str) -> String {
    let mut out = HEAD.to_owned();
    let (mut path, mut comment): (Vec<(usize, String)>, Vec<String>) = (Vec::new(), Vec::new());
    let mut begun = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let depth = line.len() - trimmed.len();
        if trimmed.is_empty() {
            // The head of the file belongs to no value.
            comment.clear();
            begun = true;
            continue;
        }
        if let Some(words) = trimmed.strip_prefix('#') {
            if begun {
                comment.push(words.trim().to_owned());
            }
            continue;
        }
        let Some((key, value)) = trimmed.split_once(':') else { continue };
        path.retain(|(outer, _)| *outer < depth);
        path.push((depth, key.to_owned()));
        let meaning = std::mem::take(&mut comment).join(" ");
        let name = path.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
        let value = value.trim();
        if value.is_empty() && meaning.is_empty() {
            continue;
        }
        let shown = if value.is_empty() { String::new() } else { format!("`{value}`") };
        writeln!(out, "| `{name}` | {shown} | {} |", meaning.replace('|', "\\|")).unwrap();
    }
    out
}

#[test]
fn the_reference_of_values_is_written_from_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/values.md");
    let wanted = page(Chart::embedded().file("values.yaml").unwrap());
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), wanted, "UPDATE_PAGES=1 writes it");
}

/// Names that begin with `mesh_`, as a set.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("mesh_")).collect()
}

#[test]
fn dashboards_and_alerts_name_metrics_that_there_are() {
    let known = metrics(include_str!("../../../../docs/reference/metrics.md"));
    let chart = Chart::embedded();
    let mut seen = 0;
    for (file, text) in chart.folder("grafana/").chain(chart.folder("prometheus/")) {
        for name in metrics(text) {
            seen += 1;
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(
                known.contains(name),
                "{file} names {name}, which docs/reference/metrics.md does not have"
            );
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn dashboards_are_json_with_ids_of_their_own() {
    let chart = Chart::embedded();
    let mut ids = BTreeSet::new();
    for (file, text) in chart.folder("grafana/") {
        let dashboard: Value = serde_json::from_str(text).unwrap();
        assert!(ids.insert(dashboard.get("uid").and_then(Value::as_str).unwrap().to_owned()), "{file}");
    }
    assert_eq!(ids.len(), 3);
}
