//! What is done with endpoints that are avoided, draining or fail their probes.

use super::*;
use crate::health::Verdict;

#[test]
fn a_failed_connect_is_avoided_for_a_moment() {
    let mut bench = Bench::new(&ready(1..=3), &policy(|_| {}));
    bench.load(1).connect_failed(bench.now);
    assert!((0..100).all(|_| bench.pick() != 1));
    bench.pass(2);
    assert!((0..1000).any(|_| bench.pick() == 1));
}

#[test]
fn a_connection_ends_the_avoidance() {
    let mut bench = Bench::new(&ready(1..=3), &policy(|_| {}));
    bench.load(1).connect_failed(bench.now);
    assert!((0..100).all(|_| bench.pick() != 1));
    bench.load(1).connected();
    assert!((0..1000).any(|_| bench.pick() == 1));
}

#[test]
fn when_all_failed_one_is_still_tried() {
    let mut bench = Bench::new(&ready(1..=2), &policy(|_| {}));
    bench.load(1).connect_failed(bench.now);
    bench.load(2).connect_failed(bench.now);
    about(bench.shares(1000)[&1], 0.5, 0.1);
}

#[test]
fn draining_endpoints_are_the_last_resort() {
    let mut bench = Bench::new(&[endpoint(1), draining(2)], &policy(|_| {}));
    assert!((0..50).all(|_| bench.pick() == 1));
    assert_eq!(bench.without(&[1]), Ok(2));
    assert_eq!(bench.balancer.counts().last_resort, 1);
    let mut bench = Bench::new(&[draining(2)], &policy(|_| {}));
    assert!((0..3).all(|_| bench.pick() == 2));
}

#[test]
fn what_fails_its_probes_gets_nothing_until_it_passes() {
    let mut bench = Bench::new(&ready(1..=3), &policy(|_| {}));
    bench.load(2).set_verdict(Verdict::Unhealthy);
    assert!((0..100).all(|_| bench.pick() != 2));
    bench.load(2).set_verdict(Verdict::Healthy);
    assert!((0..1000).any(|_| bench.pick() == 2));
    let counts = bench.balancer.counts();
    assert_eq!((counts.unhealthy, counts.recovered), (1, 1));
}

#[test]
fn below_the_threshold_health_is_not_looked_at() {
    let mut bench = Bench::new(&ready(1..=10), &policy(|_| {}));
    for port in 1..=5 {
        bench.load(port).set_verdict(Verdict::Unhealthy);
    }
    // Half is still enough.
    assert!((0..1000).all(|_| bench.pick() > 5));
    assert_eq!(bench.balancer.counts().panicked, 0);
    bench.load(6).set_verdict(Verdict::Unhealthy);
    let shares = bench.shares(100_000);
    assert!((1..=10).all(|port| (shares[&port] * 10.0 - 1.0).abs() < 0.1), "{shares:?}");
    assert_eq!(bench.balancer.counts().panicked, 100_000);
}

#[test]
fn panic_does_not_bring_back_what_cannot_be_connected_to() {
    let mut bench = Bench::new(&ready(1..=4), &policy(|_| {}));
    bench.load(1).set_verdict(Verdict::Unhealthy);
    bench.load(2).connect_failed(bench.now);
    bench.load(3).connect_failed(bench.now);
    let shares = bench.shares(10_000);
    about(shares[&1], 0.5, 0.03);
    about(shares[&4], 0.5, 0.03);
}

#[test]
fn with_a_threshold_of_zero_health_always_counts() {
    let mut bench =
        Bench::new(&ready(1..=10), &balancing(|b| b.panic_threshold = mesh_model::traffic::Ppm(0)));
    for port in 1..=9 {
        bench.load(port).set_verdict(Verdict::Unhealthy);
    }
    assert!((0..100).all(|_| bench.pick() == 10));
}

#[test]
fn a_policy_without_probes_forgets_what_they_said() {
    let mut bench = Bench::new(&ready(1..=2), &policy(|_| {}));
    bench.load(1).set_verdict(Verdict::Unhealthy);
    assert!((0..100).all(|_| bench.pick() == 2));
    bench.balancer.set_policy(&by(Algorithm::Random));
    bench.pass(11);
    assert!((0..100).any(|_| bench.pick() == 1));
}
