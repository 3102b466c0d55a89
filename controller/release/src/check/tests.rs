//! What one look says.

use super::*;
use crate::observation::Side;

fn figures(requests: u64, failures: u64) -> Figures {
    Figures { requests, failures, latency: Latency([(100, requests)].into()), ..Figures::default() }
}

fn seen(stable: Option<Figures>, canary: Option<Figures>) -> Observation {
    let side = |figures| Side { ready: 1, figures };
    Observation { stable: side(stable), canary: side(canary) }
}

fn plan() -> Plan {
    Plan::default()
}

fn looked(tests: &[Test], stable: Figures, canary: Figures) -> Look {
    look(&plan(), tests, &seen(Some(stable), Some(canary))).unwrap()
}

fn tests_with_boundary() -> Vec<Test> {
    fresh(&plan().analysis, &[], Some(&figures(1_000, 0)))
}

#[test]
fn nothing_reported_is_not_nothing_wrong() {
    assert!(look(&plan(), &[], &seen(Some(figures(10, 0)), None)).is_none());
    assert!(look(&plan(), &[], &seen(None, Some(figures(10, 0)))).is_none());
}

#[test]
fn good_figures_pass_and_bad_ones_do_not() {
    let tests = tests_with_boundary();
    assert_eq!(looked(&tests, figures(9_000, 9), figures(1_000, 1)).verdict(), Verdict::Pass);
    let bad = looked(&tests, figures(9_000, 9), figures(1_000, 100));
    assert_eq!(bad.verdict(), Verdict::Bad);
    assert!(bad.texts(Verdict::Bad).contains("100 of 1000 requests"), "{}", bad.texts(Verdict::Bad));
}

#[test]
fn one_bad_request_among_few_fails_no_check() {
    let tests = tests_with_boundary();
    let look = looked(&tests, figures(900, 0), figures(10, 1));
    assert_eq!(look.verdict(), Verdict::Wait, "{look:?}");
    let some = looked(&tests, figures(900, 5), figures(60, 4));
    assert_eq!(some.verdict(), Verdict::Fail, "{some:?}");
}

#[test]
fn what_the_stable_version_breaks_too_is_waited_for() {
    let look = looked(&tests_with_boundary(), figures(9_000, 900), figures(1_000, 100));
    assert_eq!(look.verdict(), Verdict::Wait);
    assert!(look.texts(Verdict::Wait).contains("the stable version breaks it too"));
}

#[test]
fn latency_is_not_judged_before_there_is_something_to_compare_with() {
    let none = fresh(&plan().analysis, &[], None);
    let look = looked(&none, figures(150, 0), figures(100, 0));
    assert_eq!(look.verdict(), Verdict::Wait);
    let next = looked(&look.tests, figures(150, 0), figures(100, 0));
    assert!(
        next.tests[2].boundary.is_some() && next.tests[2].canary == [0, 0],
        "what made the limit is not judged by it"
    );
}

#[test]
fn a_longer_tail_is_found_and_a_margin_is_left() {
    let with_tail = |requests: u64, slow: u64, bucket: u16| Figures {
        requests,
        latency: Latency([(100, requests - slow), (bucket, slow)].into()),
        ..Figures::default()
    };
    let mut tests = fresh(&plan().analysis, &[], Some(&with_tail(10_000, 90, 110)));
    assert_eq!(tests[2].boundary, Some(100));
    // Within the margin of three buckets.
    let near = looked(&tests, with_tail(9_000, 81, 110), with_tail(1_000, 100, 103));
    assert_eq!(near.verdict(), Verdict::Pass);
    for _ in 0..3 {
        tests = looked(&tests, with_tail(9_000, 81, 110), with_tail(1_000, 60, 104)).tests;
    }
    let far = looked(&tests, with_tail(9_000, 81, 110), with_tail(1_000, 60, 104));
    assert_eq!(far.verdict(), Verdict::Bad);
    assert!(far.texts(Verdict::Bad).contains("p99 beside the stable version's"), "{far:?}");
}

#[test]
fn an_interval_in_which_everything_was_slow_makes_nobody_blind() {
    let with_tail = |requests: u64, slow: u64, bucket: u16| Figures {
        requests,
        latency: Latency([(100, requests - slow), (bucket, slow)].into()),
        ..Figures::default()
    };
    let mut tests = fresh(&plan().analysis, &[], Some(&with_tail(500, 50, 170)));
    assert_eq!(tests[2].boundary, Some(170));
    let mut looks = 0;
    loop {
        let look = looked(&tests, with_tail(900, 8, 110), with_tail(500, 30, 120));
        (tests, looks) = (look.tests.clone(), looks + 1);
        if look.verdict() == Verdict::Bad {
            break;
        }
        assert!(looks < 10, "{look:?}");
    }
    assert_eq!(tests[2].boundary, Some(100));
}

#[test]
fn chances_are_those_of_the_binomial_distribution() {
    assert!((chance_of_at_least(1, 10, 0.1) - (1.0 - 0.9_f64.powi(10))).abs() < 1e-12);
    assert!((chance_of_at_least(10, 10, 0.5) - 0.5_f64.powi(10)).abs() < 1e-9);
    assert!((chance_of_at_least(0, 10, 0.5) - 1.0).abs() < 1e-12);
    assert!(chance_of_at_least(900, 1_000_000, 0.0001) < 1e-6);
}

#[test]
fn percentages_have_the_digits_that_tell() {
    assert_eq!(
        [0.0, 0.002, 0.0123, 0.1, 0.25, 1.0].map(percent),
        ["0 %", "0.2 %", "1.23 %", "10 %", "25 %", "100 %"]
    );
}
