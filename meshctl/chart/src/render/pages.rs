//! A page that must say what the chart says: the reference of values is written from `values.yaml`.

use std::fmt::Write as _;
use std::path::Path;

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
