//! Every metric is named `mesh_<area>_<what>` and has a line in the reference.

use super::files::Tree;
use super::source::Source;
use super::violation::Violation;

const REFERENCE: &str = "docs/reference/metrics.md";

pub(super) fn check(tree: &Tree, sources: &[Source]) -> Vec<Violation> {
    let reference = tree.get(REFERENCE).map(|text| text.text.as_str()).unwrap_or_default();
    let metrics = sources
        .iter()
        .filter(|source| !source.is_test)
        .flat_map(|source| source.metrics.iter().map(move |(name, line)| (source, name, *line)));
    metrics.filter_map(|(source, name, line)| check_name(source, name, line, reference)).collect()
}

fn check_name(source: &Source, name: &str, line: usize, reference: &str) -> Option<Violation> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !name.starts_with("mesh_") || !plain {
        return Some(
            Violation::error(&source.path, line, "metric-name", format!("a metric named `{name}`"))
                .because("one prefix tells our series from everybody's, and dashboards rely on it")
                .instead("name it mesh_<area>_<what>[_<unit>], lower case"),
        );
    }
    (!reference.contains(&format!("`{name}"))).then(|| {
        Violation::error(&source.path, line, "metric-undocumented", format!("`{name}` is not in {REFERENCE}"))
            .because("a metric that no page explains is a number without a meaning")
            .instead(format!("add a row for `{name}` with its labels and meaning to {REFERENCE}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::Text;
    use super::*;

    fn rules(name: &str) -> Vec<&'static str> {
        let text = format!("fn f() {{ r.register({name:?}, \"help\", x); }}");
        let source = Source::parse(&Text::new("p/src/m.rs", &text)).unwrap();
        let tree = Tree { texts: vec![Text::new(REFERENCE, "| `mesh_ca_signed_total` | … |")] };
        check(&tree, &[source]).into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn names_need_the_prefix_and_a_line_in_the_reference() {
        assert_eq!(rules("mesh_ca_signed"), [""; 0]);
        assert_eq!(rules("ca_signed"), ["metric-name"]);
        assert_eq!(rules("mesh_ca_Signed"), ["metric-name"]);
        assert_eq!(rules("mesh_ca_refused"), ["metric-undocumented"]);
    }
}
