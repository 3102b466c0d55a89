//! How the versions of a Canary are told apart, and whose requests are the cohort's. It must not know endpoints.

use std::collections::BTreeMap;

use mesh_model::route::{Pattern, TextMatch, ValueMatch};

use super::super::Findings;
use crate::api::canary::{Canary, CanaryCohort, CanaryEndpoints};

/// The characters of a header's name (RFC 9110, token).
fn is_token(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(good)
}

/// Says what is wrong with how the versions are named.
pub(super) fn check(canary: &Canary, findings: &mut Findings) {
    let spec = &canary.spec;
    let names = [(spec.stable.as_ref(), "spec.stable"), (spec.canary.as_ref(), "spec.canary")];
    let target = spec.target.as_ref();
    if target.is_none() && (spec.stable.is_none() || spec.canary.is_none()) {
        findings
            .fault("spec", "needs `stable` and `canary`, two Services, or `target`, one Service with both");
    }
    if target.is_some() && (spec.stable.is_some() || spec.canary.is_some()) {
        findings.fault("spec.target", "is one Service with both versions; leave `stable` and `canary` out");
    }
    let service = target.map(|target| (Some(&target.service), "spec.target.service"));
    for (name, field) in names.into_iter().chain(service) {
        if let Some(name) = name.filter(|name| mesh_model::name::Name::new("default", name).is_err()) {
            findings.fault(field, format!("`{name}` is no name of a Service"));
        }
    }
    if spec.stable.is_some() && spec.stable == spec.canary {
        findings
            .fault("spec.canary", "is the stable Service itself; give the new version a Service of its own");
    }
    let Some(target) = target else { return };
    let sides = [(target.stable.as_ref(), "stable"), (Some(&target.canary), "canary")];
    for (side, name) in sides {
        if side.is_some_and(|side| side.deployment.is_none() && side.labels.is_empty()) {
            findings.fault(
                format!("spec.target.{name}"),
                "says neither a Deployment nor labels, so it would be every endpoint",
            );
        }
    }
    if target.stable.as_ref() == Some(&target.canary) {
        findings.fault("spec.target.canary", "are the endpoints of the stable version");
    }
}

/// Whether these are the endpoints of a workload with these labels that belongs to `owner`.
pub fn selects(endpoints: &CanaryEndpoints, owner: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
    let has = |(name, value): (&String, &String)| labels.and_then(|labels| labels.get(name)) == Some(value);
    endpoints.deployment.as_deref().is_none_or(|wanted| wanted == owner) && endpoints.labels.iter().all(has)
}

/// The requests of the cohort.
pub fn cohort(canary: &Canary, findings: &mut Findings) -> Vec<ValueMatch> {
    let all = canary.spec.cohort.iter().enumerate();
    all.filter_map(|(at, one)| member(one, &format!("spec.cohort[{at}]"), findings)).collect()
}

fn member(one: &CanaryCohort, field: &str, findings: &mut Findings) -> Option<ValueMatch> {
    let name = match (&one.header, &one.cookie) {
        (Some(name), None) | (None, Some(name)) if is_token(name) => name,
        (Some(name), None) | (None, Some(name)) => {
            findings.fault(field, format!("`{name}` is no name of a header or cookie"));
            return None;
        }
        (Some(_), Some(_)) | (None, None) => {
            findings.fault(field, "needs either `header` or `cookie`");
            return None;
        }
    };
    let (value, pattern) = match (&one.value, &one.pattern) {
        (Some(value), None) => (Some(value), Pattern::literal(value)),
        (None, Some(pattern)) => (None, pattern.clone()),
        (Some(_), Some(_)) | (None, None) => {
            findings.fault(field, "needs either `value` or `pattern`");
            return None;
        }
    };
    let mut read = |source: &str| match Pattern::new(source) {
        Ok(pattern) => Some(TextMatch::Regex(pattern)),
        Err(why) => {
            findings.fault(format!("{field}.pattern"), format!("is no usable expression: {why}"));
            None
        }
    };
    match (&one.header, value) {
        (Some(_), Some(value)) => {
            Some(ValueMatch { name: name.to_ascii_lowercase(), value: TextMatch::Exact(value.clone()) })
        }
        (Some(_), None) => Some(ValueMatch { name: name.to_ascii_lowercase(), value: read(&pattern)? }),
        // One among the others of the header (RFC 6265, section 4.2.1).
        (None, _) => {
            read(&pattern)?;
            let among = format!("(?:.*;)?[ \\t]*{}=(?:{pattern})[ \\t]*(?:;.*)?", Pattern::literal(name));
            Some(ValueMatch { name: "cookie".to_owned(), value: read(&among)? })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(name: &str, value: Option<&str>, pattern: Option<&str>) -> CanaryCohort {
        CanaryCohort {
            cookie: Some(name.into()),
            value: value.map(Into::into),
            pattern: pattern.map(Into::into),
            header: None,
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_and_by_its_whole_value() {
        let mut findings = Findings::default();
        let fits = |one: &CanaryCohort, header: &str, findings: &mut Findings| {
            member(one, "spec.cohort[0]", findings).unwrap().value.fits(header.as_bytes())
        };
        let exact = cookie("group", Some("be.ta"), None);
        for (header, is_member) in [
            ("group=be.ta", true),
            ("a=1; group=be.ta; b=2", true),
            ("a=1;group=be.ta", true),
            ("group=beXta", false),
            ("group=be.ta2", false),
            ("mygroup=be.ta", false),
            ("a=group=be.ta", false),
            ("", false),
        ] {
            assert_eq!(fits(&exact, header, &mut findings), is_member, "{header}");
        }
        let either = cookie("group", None, Some("a|b"));
        assert!(fits(&either, "x=1; group=b", &mut findings) && !fits(&either, "group=ab", &mut findings));
        assert_eq!(findings.faults, []);
    }

    #[test]
    fn what_cannot_be_a_cohort_is_told() {
        let said = |one: &CanaryCohort| {
            let mut findings = Findings::default();
            assert_eq!(member(one, "spec.cohort[0]", &mut findings), None);
            findings.faults.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(said(&CanaryCohort::default()), ["spec.cohort[0]: needs either `header` or `cookie`"]);
        assert_eq!(
            said(&cookie("a b", Some("1"), None)),
            ["spec.cohort[0]: `a b` is no name of a header or cookie"]
        );
        assert_eq!(said(&cookie("a", None, None)), ["spec.cohort[0]: needs either `value` or `pattern`"]);
        assert_eq!(said(&cookie("a", None, Some("("))).len(), 1);
    }
}
