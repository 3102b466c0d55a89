//! What a proxy's metrics say: the text format of Prometheus, as much of it as our proxies write. Pure.

/// One line: a name, its labels, a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    /// The label's value; empty when there is none.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }

    /// Whether it has all these labels.
    pub(crate) fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.label(name) == *value)
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels: Vec<String> = self
            .labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        write!(f, "{} {{{}}} {}", self.name, labels.join(" "), self.value)
    }
}

/// All samples of a page; lines that are none are left out.
pub(crate) fn samples(page: &str) -> Vec<Sample> {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

/// The sum over the samples with that name and these labels.
pub(crate) fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    samples.iter().filter(|sample| sample.name == name && sample.has(labels)).map(|sample| sample.value).sum()
}

fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, rest) = head.split_once('{').unwrap_or((head, ""));
    let mut labels = Vec::new();
    let mut rest = rest.strip_suffix('}').unwrap_or(rest);
    while let Some((label, after)) = rest.split_once("=\"") {
        // No label of ours has a quote in its value.
        let (value, after) = after.split_once('"')?;
        labels.push((label.trim_start_matches(',').to_owned(), value.to_owned()));
        rest = after;
    }
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_summed() {
        let page = "# HELP a b\na_total{x=\"1\",y=\"\"} 2\na_total{x=\"1\",y=\"z w\"} 3\na_total{x=\"2\"} 4\nb 0.5\nnonsense\n";
        let all = samples(page);
        assert_eq!(all.len(), 4);
        assert!((sum(&all, "a_total", &[("x", "1")]) - 5.0).abs() < f64::EPSILON);
        assert!((sum(&all, "b", &[]) - 0.5).abs() < f64::EPSILON);
        assert_eq!(all[1].label("y"), "z w");
        assert_eq!(all[0].to_string(), "a_total {x=1} 2");
    }
}
