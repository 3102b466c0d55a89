//! Good versions are promoted, bad ones taken back, whatever the seed; a process that ends at any step changes nothing.

use super::*;
use crate::state::Reason;

fn of(scenario: Scenario, runs: u32) -> Row {
    row(&Plan::default(), &Service::default(), scenario, runs, 2026)
}

#[test]
fn equal_versions_are_taken_back_in_fewer_than_one_of_a_hundred_runs() {
    let equal = of(Scenario::Equal, 1_000);
    assert!(equal.rolled_back < 10, "{equal:?}");
    assert!(equal.promoted > 950, "{equal:?}");
}

#[test]
fn trouble_that_is_not_the_versions_fault_is_not_held_against_it() {
    for scenario in [Scenario::SharedOutage, Scenario::MissingReports] {
        let row = of(scenario, 200);
        assert!(row.rolled_back <= 2 && row.promoted > 150, "{row:?}");
    }
}

#[test]
fn bad_versions_are_taken_back_and_never_promoted() {
    for scenario in Scenario::ALL.into_iter().filter(|scenario| scenario.is_bad()) {
        let row = of(scenario, 200);
        assert_eq!((row.promoted, row.rolled_back), (0, 200), "{row:?}");
    }
}

/// The state goes through its written form between all decisions.
#[test]
fn a_controller_that_is_killed_at_every_step_comes_to_the_same_end() {
    let (plan, service) = (Plan::default(), Service::default());
    for scenario in Scenario::ALL {
        for seed in 0..20 {
            let straight = run(&plan, &service, scenario, seed, |state| state);
            let restarted = run(&plan, &service, scenario, seed, |state| {
                serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap()
            });
            assert_eq!(straight, restarted, "{scenario:?} {seed}");
        }
    }
}

#[test]
fn a_rollback_is_one_change() {
    let errors = run(&Plan::default(), &Service::default(), Scenario::Errors, 7, |state| state);
    assert_eq!(errors.exposures.last(), Some(&Routing::Stable));
    assert_eq!(errors.state.why.unwrap().reason, Reason::EvidenceAgainst);
    assert!(errors.exposures.len() >= 3);
}
