//! From findings to conditions, a line a case.

use std::sync::Arc;

use mesh_identity::testing::TestCa;

use super::*;
use crate::api::Fault;
use crate::sources::{Problem, Reason, Stage};
use crate::status::ObjectReport;
use crate::status::programmed::Holding;

/// No other replica.
fn nobody() -> Peers {
    Peers::new(TestCa::new("mesh.test").identity("amime-system", "mesh-controller"))
}

fn route() -> ObjectKey {
    ObjectKey::new(Kind::HttpRoute, "shop", "web")
}

fn said(conditions: Vec<Condition>, problems: Vec<Report>, part: Part, rules: usize) -> Vec<String> {
    let report =
        ObjectReport { resource: Some("route/http/shop/web".into()), conditions, ..ObjectReport::default() };
    let objects =
        Objects { problems, compiled: [(route(), report)].into_iter().collect(), ..Objects::default() };
    let mut programmed = Programmed::default();
    programmed.add(&Arc::from("route/http/shop/web"), Holding::InForce);
    programmed.add(&Arc::from("route/http/shop/web"), Holding::Behind);
    let said = Sayings::new(&objects, &programmed, &nobody()).of(&route(), part, rules);
    said.iter().map(|s| format!("{}={} {} {}", s.kind, s.answer.as_str(), s.reason, s.message)).collect()
}

const PENDING: &str = "Programmed=False Pending in force on 1 of 2 proxies";

#[test]
fn findings_become_conditions_of_the_gateway_api() {
    use ConditionType::{Accepted, ResolvedRefs};
    let failed = |kind, reason, field: &str| Condition::failed(kind, reason, field, "why");
    let first = Part::Attachment { field: "spec.parentRefs", index: 0 };
    type Case = (&'static str, Vec<Condition>, Part, usize, Vec<&'static str>);
    let table: [Case; 8] = [
        ("all is well", vec![], first, 1, vec!["Accepted=True Accepted ", "ResolvedRefs=True ResolvedRefs "]),
        (
            "this parent is not there",
            vec![failed(Accepted, "NoMatchingParent", "spec.parentRefs[0].name")],
            first,
            1,
            vec![
                "Accepted=False NoMatchingParent spec.parentRefs[0].name: why",
                "ResolvedRefs=True ResolvedRefs ",
            ],
        ),
        (
            "another parent is not there",
            vec![failed(Accepted, "NoMatchingParent", "spec.parentRefs[10].name")],
            first,
            1,
            vec!["Accepted=True Accepted ", "ResolvedRefs=True ResolvedRefs "],
        ),
        (
            "a backend is not there",
            vec![failed(ResolvedRefs, "BackendNotFound", "spec.rules[0].backendRefs[0].name")],
            first,
            1,
            vec![
                "Accepted=True Accepted ",
                "ResolvedRefs=False BackendNotFound spec.rules[0].backendRefs[0].name: why",
            ],
        ),
        (
            "one of two rules cannot be done",
            vec![failed(Accepted, "UnsupportedValue", "spec.rules[1].filters[0].type")],
            first,
            2,
            vec![
                "Accepted=True Accepted ",
                "PartiallyInvalid=True UnsupportedValue spec.rules[1].filters[0].type: why",
                "ResolvedRefs=True ResolvedRefs ",
            ],
        ),
        (
            "no rule can be done",
            vec![failed(Accepted, "UnsupportedValue", "spec.rules[0].filters[0].type")],
            first,
            1,
            vec![
                "Accepted=False UnsupportedValue spec.rules[0].filters[0].type: why",
                "ResolvedRefs=True ResolvedRefs ",
            ],
        ),
        (
            "something is worth telling",
            vec![Condition::noted(Accepted, "HostnamesIgnored", "spec.hostnames", "no effect")],
            first,
            1,
            vec!["Accepted=True Accepted spec.hostnames: no effect", "ResolvedRefs=True ResolvedRefs "],
        ),
        (
            "two at once, of the object as a whole",
            vec![
                failed(Accepted, "TargetNotFound", "spec.targetRefs[0].name"),
                failed(Accepted, "Conflicted", "spec.targetRefs[1]"),
            ],
            Part::Whole,
            0,
            vec![
                "Accepted=False TargetNotFound spec.targetRefs[0].name: why; spec.targetRefs[1]: why",
                "ResolvedRefs=True ResolvedRefs ",
            ],
        ),
    ];
    for (case, conditions, part, rules, expected) in table {
        let expected: Vec<String> = expected.into_iter().chain([PENDING]).map(str::to_owned).collect();
        assert_eq!(said(conditions, vec![], part, rules), expected, "{case}");
    }
}

#[test]
fn a_bad_object_is_not_accepted_and_says_what_is_in_force() {
    let report = |effect| Report {
        file: Arc::from("cluster"),
        problem: Problem {
            object: Some(route()),
            stage: Stage::Accepted,
            reason: Reason::Invalid,
            line: 0,
            fault: Fault::new("spec.rules[0].timeouts.request", "`soon` is no duration"),
        },
        effect,
    };
    let said = |effect| said(vec![], vec![report(effect)], Part::Whole, 1).remove(0);
    let fault = "Accepted=False UnsupportedValue spec.rules[0].timeouts.request: `soon` is no duration";
    assert_eq!(said(Effect::LastGood), format!("{fault}; the last good form stays in force"));
    assert_eq!(said(Effect::NotInForce), format!("{fault}; not in force"));
}

#[test]
fn what_no_proxy_uses_is_in_force_for_the_first_that_will() {
    assert_eq!(in_force((0, 0)).reason, "Unused");
    assert_eq!(in_force((90, 90)).message, "in force on 90 of 90 proxies");
    assert_eq!(in_force((1, 1)).message, "in force on 1 of 1 proxy");
    assert_eq!(
        (in_force((87, 90)).answer, in_force((87, 90)).message),
        (Answer::False, "in force on 87 of 90 proxies".into())
    );
}

#[test]
fn a_long_message_is_cut() {
    let said = Said::new("Accepted", Answer::False, "x", "é".repeat(5_000));
    assert_eq!(said.message.chars().count(), MAX_MESSAGE + 1);
}
