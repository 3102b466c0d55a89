//! Picks by key.

use super::*;
use crate::hash::{hash_of, mix};
use mesh_model::traffic::HashKey;

fn ring(bounded_load: Option<u32>) -> Algorithm {
    Algorithm::RingHash { key: HashKey::SourceAddress, ring_size: 16_384, bounded_load }
}

fn maglev(bounded_load: Option<u32>) -> Algorithm {
    Algorithm::Maglev { key: HashKey::SourceAddress, table_size: 65_537, bounded_load }
}

const KEYS: u64 = 20_000;

impl Bench {
    fn by_key(&mut self, key: u64) -> u16 {
        self.ask(|ask| ask.hash = Some(hash_of([&key.to_le_bytes()[..]]))).unwrap()
    }

    fn all_keys(&mut self) -> Vec<u16> {
        (0..KEYS).map(|key| self.by_key(key)).collect()
    }
}

#[test]
fn a_key_stays_at_its_endpoint_and_keys_are_spread() {
    for algorithm in [ring(None), maglev(None)] {
        let mut bench = Bench::new(&ready(1..=10), &by(algorithm));
        let first = bench.all_keys();
        assert_eq!(first, bench.all_keys());
        for port in 1..=10 {
            let share = first.iter().filter(|got| **got == port).count() as f64 / KEYS as f64;
            about(share, 0.1, 0.02);
        }
    }
}

#[test]
fn every_worker_sends_a_key_to_the_same_endpoint() {
    let policy = by(maglev(None));
    let pick = |seed: u64| {
        let mut balancer = Balancer::new(&policy, "", seed);
        balancer.update(&ready(1..=10), &policy, Instant::now(), |_| ());
        let ask = Ask { hash: Some(7), ..Ask::new(Instant::now(), &[]) };
        balancer.pick(&ask, |n| n - 1).unwrap().endpoint.address
    };
    assert!((0..10).all(|seed| pick(seed) == pick(99)));
}

#[test]
fn a_request_without_key_gets_a_random_endpoint() {
    for algorithm in [ring(None), maglev(Some(1250))] {
        let mut bench = Bench::new(&ready(1..=4), &by(algorithm));
        about(bench.shares(100_000)[&1], 0.25, 0.01);
    }
}

#[test]
fn when_one_leaves_little_more_than_its_keys_move() {
    for (algorithm, most) in [(ring(None), 0.0), (maglev(None), 0.03)] {
        let mut bench = Bench::new(&ready(1..=20), &by(algorithm));
        let before = bench.all_keys();
        bench.update(&ready(1..=19));
        let after = bench.all_keys();
        let moved =
            before.iter().zip(&after).filter(|(before, after)| **before != 20 && before != after).count();
        assert!(moved as f64 / KEYS as f64 <= most, "{moved}");
    }
}

#[test]
fn what_is_ejected_for_a_time_gives_up_its_own_keys_only_and_gets_them_back() {
    for algorithm in [ring(None), maglev(None)] {
        let mut bench = Bench::new(&ready(1..=10), &by(algorithm));
        let before = bench.all_keys();
        bench.load(3).set_verdict(crate::health::Verdict::Unhealthy);
        for (before, during) in before.iter().zip(bench.all_keys()) {
            assert!(during != 3 && (*before == 3 || *before == during));
        }
        bench.load(3).set_verdict(crate::health::Verdict::Healthy);
        assert_eq!(before, bench.all_keys());
    }
}

#[test]
fn a_key_whose_endpoint_was_tried_goes_to_one_other() {
    for algorithm in [ring(None), maglev(None)] {
        let mut bench = Bench::new(&ready(1..=10), &by(algorithm));
        let first = bench.by_key(1);
        let tried = [address(first)];
        let now = bench.now;
        let mut pick = || {
            let ask = Ask { hash: Some(hash_of([&1u64.to_le_bytes()[..]])), ..Ask::new(now, &tried) };
            bench.balancer.pick(&ask, |n| n - 1).unwrap().endpoint.address.port()
        };
        let second = pick();
        assert!(second != first && (0..10).all(|_| pick() == second));
    }
}

#[test]
fn bounded_load_is_never_above_the_bound() {
    for algorithm in [ring(Some(1250)), maglev(Some(1250))] {
        let mut bench = Bench::new(&ready(1..=8), &by(algorithm));
        let mut held = Vec::new();
        // A tenth of all keys is one hot key.
        for at in 0..800u64 {
            let port = bench.by_key(if at % 2 == 0 { 1 } else { mix(at) });
            held.push(bench.load(port).begin(bench.now));
            let bound = (1.25 * held.len() as f64 / 8.0).ceil();
            assert!(f64::from(bench.load(port).outstanding()) <= bound, "{at}");
        }
        let hot = bench.by_key(1);
        drop(held);
        // The hot key is back where it belongs once it is quiet.
        assert!((0..10).all(|_| bench.by_key(1) != 0));
        let home = bench.by_key(1);
        assert!((0..10).all(|_| bench.by_key(1) == home), "{hot}");
    }
}

#[test]
fn bounds_on_load_follow_weights() {
    let mut set = ready(1..=4);
    set[0].weight = 5;
    let mut bench = Bench::new(&set, &by(ring(Some(1100))));
    let held: Vec<_> = (0..800u64)
        .map(|at| {
            let port = bench.by_key(at);
            bench.load(port).begin(bench.now)
        })
        .collect();
    for (port, share) in [(1, 5.0 / 8.0), (2, 1.0 / 8.0)] {
        let part = f64::from(bench.load(port).outstanding()) / 800.0;
        assert!(part <= share * 1.1 + 0.01, "{part}");
    }
    drop(held);
}

#[test]
fn a_key_stays_in_its_priority_while_load_spills() {
    let priority = |port: u16| Endpoint { priority: u32::from(port > 4), ..endpoint(port) };
    let set: Vec<_> = (1..=8).map(priority).collect();
    let mut bench = Bench::new(&set, &by(maglev(None)));
    assert!(bench.all_keys().iter().all(|port| *port <= 4));
    bench.load(1).set_verdict(crate::health::Verdict::Unhealthy);
    bench.load(2).set_verdict(crate::health::Verdict::Unhealthy);
    let spilt = bench.all_keys();
    assert_eq!(spilt, bench.all_keys());
    about(spilt.iter().filter(|port| **port > 4).count() as f64 / KEYS as f64, 0.3, 0.02);
}

#[test]
fn a_policy_change_of_the_algorithm_keeps_no_old_table() {
    let mut bench = Bench::new(&ready(1..=10), &by(ring(None)));
    let ring_keys = bench.all_keys();
    bench.balancer.set_policy(&by(maglev(None)));
    assert_ne!(ring_keys, bench.all_keys());
    bench.balancer.set_policy(&by(ring(None)));
    assert_eq!(ring_keys, bench.all_keys());
}
