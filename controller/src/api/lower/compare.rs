//! How answers to copies are compared. It must not know whose copies.

use std::sync::Arc;

use mesh_model::compare::{Compare, JsonPath};

use super::Findings;
use super::matches::check_header_name;
use super::scalars::percent;
use crate::api::compare::AnswerComparison;

/// Headers and places.
const MAX_NAMED: usize = 32;

/// Reads it; what is wrong is left out.
pub fn lower(it: &AnswerComparison, at: &str, findings: &mut Findings) -> Arc<Compare> {
    findings.limit(&format!("{at}.headers"), it.headers.len(), MAX_NAMED);
    for (index, name) in it.headers.iter().enumerate() {
        check_header_name(name, &format!("{at}.headers[{index}]"), findings);
    }
    findings.limit(&format!("{at}.ignorePaths"), it.ignore_paths.len(), MAX_NAMED);
    let mut ignore = Vec::with_capacity(it.ignore_paths.len());
    for (index, path) in it.ignore_paths.iter().enumerate() {
        match path.parse::<JsonPath>() {
            Ok(path) => ignore.push(path),
            Err(wrong) => findings.fault(
                format!("{at}.ignorePaths[{index}]"),
                format!("{wrong}; write a place such as `$.items[*].id`"),
            ),
        }
    }
    Arc::new(Compare {
        headers: it.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
        body: it.body,
        sample: percent(it.sample, &format!("{at}.sample"), 0.0..=100.0, findings),
        twins: percent(it.noise, &format!("{at}.noise"), 0.0..=100.0, findings),
        ignore,
        values: it.values,
    })
}

#[cfg(test)]
mod tests {
    use mesh_model::traffic::Ppm;

    use super::*;

    #[test]
    fn what_is_not_written_is_the_default_of_the_model() {
        let mut findings = Findings::default();
        let written: AnswerComparison = serde_saphyr::from_str("{}").unwrap();
        assert_eq!(*lower(&written, "spec.compare", &mut findings), Compare::default());
        assert_eq!(findings, Findings::default());
    }

    #[test]
    fn everything_that_can_be_written_is_read() {
        let mut findings = Findings::default();
        let text = "{headers: [Cache-Control], body: false, sample: 10, noise: 0.5, ignorePaths: ['$.a[*].b'], values: true}";
        let written: AnswerComparison = serde_saphyr::from_str(text).unwrap();
        let expected = Compare {
            headers: vec!["cache-control".into()],
            body: false,
            sample: Ppm(100_000),
            twins: Ppm(5_000),
            ignore: vec!["$.a[*].b".parse().unwrap()],
            values: true,
        };
        assert_eq!(*lower(&written, "spec.compare", &mut findings), expected);
        assert_eq!(findings, Findings::default());
    }

    #[test]
    fn mistakes_are_named_with_their_field() {
        let mut findings = Findings::default();
        let text = "{headers: ['a b'], sample: 101, ignorePaths: ['$.ok', 'items[0]', '$']}";
        lower(&serde_saphyr::from_str(text).unwrap(), "spec.compare", &mut findings);
        let told: Vec<String> = findings.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "spec.compare.headers[0]: `a b` is not a header name",
                "spec.compare.ignorePaths[1]: does not begin with `$`; write a place such as `$.items[*].id`",
                "spec.compare.ignorePaths[2]: is the whole body; `body: false` says that; write a place such as `$.items[*].id`",
                "spec.compare.sample: 101 is out of bounds; use 0 to 100"
            ]
        );
    }
}
