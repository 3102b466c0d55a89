//! Who is left alone, for how long, and how it comes back.

use super::*;
use crate::balance::{Ejected, Standing};
use crate::outlier::Outcome;
use mesh_model::traffic::{LatencyOutlier, OutlierDetection, Ppm, SuccessRate};

fn detecting(edit: impl FnOnce(&mut OutlierDetection)) -> Arc<BackendPolicy> {
    policy(|policy| edit(&mut policy.outlier.value))
}

impl Bench {
    /// The endpoint answers so often, so quickly.
    fn answers(&mut self, port: u16, outcome: Outcome, count: u32, millis: u64) {
        for _ in 0..count {
            self.load(port).record(outcome, Duration::from_millis(millis), self.now);
        }
    }

    fn fails(&mut self, port: u16, count: u32) {
        self.answers(port, Outcome::Error, count, 1);
    }

    fn ejected(&mut self) -> Vec<u16> {
        self.balancer.tick(self.now);
        let ejected = self.balancer.slots().iter().filter(|slot| slot.load.is_ejected());
        ejected.map(|slot| slot.endpoint.address.port()).collect()
    }
}

/// After the first look, which only starts the interval.
fn started(endpoints: u16, policy: &Arc<BackendPolicy>) -> Bench {
    let mut bench = Bench::new(&ready(1..=endpoints), policy);
    bench.balancer.tick(bench.now);
    bench
}

#[test]
fn five_errors_in_a_row_are_enough_and_a_success_between_starts_again() {
    let mut bench = started(4, &policy(|_| {}));
    bench.fails(1, 4);
    bench.answers(1, Outcome::Success, 1, 1);
    bench.fails(1, 4);
    assert!(bench.ejected().is_empty());
    bench.fails(1, 1);
    assert_eq!(bench.ejected(), [1]);
    assert!((0..200).all(|_| bench.pick() != 1));
    assert_eq!(bench.balancer.counts().ejected_errors, 1);
    let slot = bench.balancer.slots()[0].clone();
    assert_eq!(bench.balancer.standing(&slot, bench.now), Standing::Ejected);
}

#[test]
fn failed_connects_count_as_errors() {
    let mut bench = started(4, &policy(|_| {}));
    let load = bench.load(1);
    // Only the one that it is ejected for says so.
    let said = (0..6).map(|_| load.connect_failed(bench.now) == Ejected::Yes);
    assert_eq!(said.collect::<Vec<_>>(), [false, false, false, false, true, false]);
    assert_eq!(bench.ejected(), [1]);
}

#[test]
fn it_returns_after_its_time_with_a_small_share_and_on_probation() {
    let mut bench = started(4, &policy(|_| {}));
    bench.fails(1, 5);
    bench.pass(9);
    assert_eq!(bench.ejected(), [1]);
    bench.pass(1);
    assert!(bench.ejected().is_empty());
    about(bench.load(1).warmth(bench.now), 0.1, 1e-9);
    about(bench.shares(50_000)[&1], 0.1 / 3.1, 0.012);
    // One more error is enough, and this time it takes twice as long.
    bench.fails(1, 1);
    assert_eq!(bench.ejected(), [1]);
    bench.pass(19);
    assert_eq!(bench.ejected(), [1]);
    bench.pass(1);
    assert!(bench.ejected().is_empty());
    bench.answers(1, Outcome::Success, 1, 1);
    bench.fails(1, 4);
    assert!(bench.ejected().is_empty(), "a success ends the probation");
    assert_eq!(bench.balancer.counts().returned, 2);
}

#[test]
fn a_long_quiet_time_makes_earlier_ejections_forgotten() {
    let mut bench = started(4, &policy(|_| {}));
    for _ in 0..5 {
        bench.fails(1, 5);
        bench.pass(300);
        assert!(bench.ejected().is_empty());
    }
    bench.fails(1, 5);
    bench.pass(10);
    assert!(bench.ejected().is_empty(), "again as short as the first time");
}

#[test]
fn no_more_than_the_share_and_never_all() {
    for (endpoints, share, most) in
        [(10, 500_000, 5), (10, 100_000, 1), (3, 1_000_000, 2), (1, 1_000_000, 0), (4, 0, 0)]
    {
        let mut bench = started(endpoints, &detecting(|rules| rules.max_ejected = Ppm(share)));
        (1..=endpoints).for_each(|port| bench.fails(port, 5));
        assert_eq!(bench.ejected().len(), most, "{endpoints} at {share}");
        let counts = bench.balancer.counts();
        assert_eq!(counts.ejected() + counts.spared, u64::from(endpoints));
    }
}

#[test]
fn it_can_be_switched_off() {
    let mut bench = started(4, &detecting(|rules| rules.consecutive_errors = None));
    bench.fails(1, 100);
    assert!(bench.ejected().is_empty());
}

#[test]
fn a_low_success_rate_is_ejected_at_the_end_of_the_interval() {
    let rule = SuccessRate { min_requests: 20, min_endpoints: 4, deviations: 1400 };
    let mut bench =
        started(5, &detecting(|rules| (rules.consecutive_errors, rules.success_rate) = (None, Some(rule))));
    for port in 1..=5 {
        bench.answers(port, Outcome::Success, 20, 1);
    }
    bench.fails(4, 10);
    assert!(bench.ejected().is_empty());
    bench.pass(10);
    assert_eq!(bench.ejected(), [4]);
    assert_eq!(bench.balancer.counts().ejected_success_rate, 1);
    bench.pass(10);
    assert!(bench.ejected().is_empty(), "what it did before does not count again");
}

#[test]
fn a_high_latency_is_ejected_at_the_end_of_the_interval() {
    let rule = LatencyOutlier { min_requests: 10, factor: 3000 };
    let mut bench = started(4, &detecting(|rules| rules.latency = Some(rule)));
    for port in 1..=4 {
        bench.answers(port, Outcome::Success, 20, if port == 2 { 50 } else { 10 });
    }
    bench.pass(10);
    assert_eq!(bench.ejected(), [2]);
    assert_eq!(bench.balancer.counts().ejected_latency, 1);
}

#[test]
fn what_left_the_set_ejects_nobody() {
    let mut bench = started(4, &policy(|_| {}));
    let gone = bench.load(4);
    bench.update(&ready(1..=3));
    let said = (0..10).map(|_| gone.record(Outcome::Error, Duration::ZERO, bench.now));
    assert!(said.into_iter().all(|said| said == Ejected::No));
    assert_eq!(bench.balancer.counts().ejected(), 0);
    bench.fails(1, 5);
    assert_eq!(bench.ejected(), [1]);
}

#[test]
fn an_ejection_survives_a_change_of_the_set_and_of_the_policy() {
    let mut bench = started(4, &policy(|_| {}));
    bench.fails(1, 5);
    bench.update(&ready(1..=6));
    assert_eq!(bench.ejected(), [1]);
    bench.balancer.set_policy(&by(Algorithm::RoundRobin));
    assert_eq!(bench.ejected(), [1]);
    assert!((0..200).all(|_| bench.pick() != 1));
    bench.pass(10);
    assert!(bench.ejected().is_empty());
}
