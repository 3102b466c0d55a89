//! Who gets which share of the load: weights, turns, slow start, zones, priorities.

use mesh_model::endpoint::Endpoint;
use mesh_model::traffic::{Algorithm, Locality, Ppm, SlowStart};

use super::*;

fn weighted() -> Vec<Endpoint> {
    let mut set = ready(1..=4);
    for (endpoint, weight) in set.iter_mut().zip([1, 2, 3, 4]) {
        endpoint.weight = weight;
    }
    set
}

fn all() -> [Algorithm; 4] {
    [Algorithm::PeakEwma, least_request(), Algorithm::RoundRobin, Algorithm::Random]
}

#[test]
fn equals_share_the_load() {
    for algorithm in all() {
        for count in [1u16, 2, 3, 10] {
            let mut bench = Bench::new(&ready(1..=count), &by(algorithm.clone()));
            let shares = bench.shares(100_000);
            for port in 1..=count {
                about(shares[&port] * f64::from(count), 1.0, 0.05);
            }
        }
    }
}

#[test]
fn weights_are_shares() {
    for algorithm in all() {
        let mut bench = Bench::new(&weighted(), &by(algorithm));
        let shares = bench.shares(100_000);
        for port in 1..=4 {
            about(shares[&port], f64::from(port) / 10.0, 0.01);
        }
    }
}

#[test]
fn weights_are_shares_of_what_is_under_way_too() {
    for algorithm in [Algorithm::PeakEwma, least_request()] {
        let mut bench = Bench::new(&weighted(), &by(algorithm));
        let mut held = std::collections::VecDeque::new();
        for _ in 0..2000 {
            let port = bench.pick();
            held.push_back(bench.load(port).begin(bench.now));
            if held.len() > 200 {
                held.pop_front();
            }
        }
        for port in 1..=4u16 {
            about(f64::from(bench.load(port).outstanding()) / 200.0, f64::from(port) / 10.0, 0.03);
        }
    }
}

#[test]
fn round_robin_is_smooth() {
    let mut bench = Bench::new(&weighted(), &by(Algorithm::RoundRobin));
    for _ in 0..100 {
        let mut got = [0u16; 5];
        (0..10).for_each(|_| got[usize::from(bench.pick())] += 1);
        for port in 1..=4u16 {
            assert!(got[usize::from(port)].abs_diff(port) <= 1, "{got:?}");
        }
    }
}

#[test]
fn workers_do_not_go_round_in_step() {
    let policy = by(Algorithm::RoundRobin);
    let first = |seed| {
        let mut balancer = Balancer::new(&policy, "", seed);
        balancer.update(&ready(1..=20), &policy, Instant::now(), |_| ());
        balancer.pick(&Ask::new(Instant::now(), &[]), |_| 0).unwrap().endpoint.address.port()
    };
    let firsts: std::collections::HashSet<u16> = (0..20).map(first).collect();
    assert!(firsts.len() > 5, "{firsts:?}");
}

#[test]
fn a_new_endpoint_gets_its_share_bit_by_bit() {
    for algorithm in all() {
        let slow = balancing(|balancing| {
            balancing.algorithm = algorithm.clone();
            balancing.slow_start = Some(SlowStart { window: Duration::from_secs(100), floor: Ppm(100_000) });
        });
        let mut bench = Bench::new(&ready(1..=9), &slow);
        bench.update(&ready(1..=10));
        // Its share for its warmth: w / (9 + w).
        for (seconds, warmth) in [(0, 0.1), (50, 0.5), (30, 0.8), (21, 1.0)] {
            bench.pass(seconds);
            let share = bench.shares(50_000).get(&10).copied().unwrap_or_default();
            about(share / (warmth / (9.0 + warmth)), 1.0, 0.25);
        }
    }
}

#[test]
fn a_set_that_is_new_as_a_whole_starts_at_once() {
    let mut bench = Bench::new(&ready(1..=2), &policy(|_| {}));
    about(bench.shares(10_000)[&1], 0.5, 0.02);
    about(bench.load(1).warmth(bench.now), 1.0, 1e-9);
}

#[test]
fn without_slow_start_a_new_endpoint_gets_its_share_at_once() {
    let mut bench = Bench::new(&ready(1..=3), &balancing(|balancing| balancing.slow_start = None));
    bench.update(&ready(1..=4));
    about(bench.shares(50_000)[&4], 0.25, 0.02);
}

#[test]
fn the_window_of_slow_start_begins_again_when_an_endpoint_returns() {
    let mut bench = Bench::new(&ready(1..=4), &policy(|_| {}));
    bench.pick();
    bench.load(1).connect_failed(bench.now);
    assert!(!bench.shares(1000).contains_key(&1));
    bench.pass(2);
    bench.pick();
    about(bench.load(1).warmth(bench.now), 0.1, 1e-9);
    bench.pass(5);
    about(bench.load(1).warmth(bench.now), 0.5, 1e-9);
}

fn zoned(counts: &[(&str, u16)]) -> Vec<Endpoint> {
    let mut set = Vec::new();
    for (zone, ports) in
        counts.iter().zip(0u16..).map(|((zone, count), at)| (zone, at * 100 + 1..=at * 100 + count))
    {
        set.extend(ports.map(|port| Endpoint { zone: (*zone).to_owned(), ..endpoint(port) }));
    }
    set
}

/// The share of each block of 100 ports.
fn zones(bench: &mut Bench) -> [f64; 3] {
    let mut shares = [0.0; 3];
    for (port, share) in bench.shares(100_000) {
        shares[usize::from(port / 100)] += share;
    }
    shares
}

#[test]
fn the_own_zone_is_preferred_and_what_it_cannot_take_spills_over() {
    for algorithm in all() {
        let mut bench = Bench::in_zone("a", &zoned(&[("a", 2), ("b", 2), ("c", 2)]), &by(algorithm));
        about(zones(&mut bench)[0], 1.0, 1e-9);
        bench.load(1).connect_failed(bench.now);
        // A fifth of what is usable where a third would be the zone's share.
        let [a, b, c] = zones(&mut bench);
        about(a, 0.6, 0.01);
        about(b, 0.2, 0.01);
        about(c, 0.2, 0.01);
        assert!(bench.balancer.counts().other_zone > 0);
        bench.load(2).connect_failed(bench.now);
        about(zones(&mut bench)[0], 0.0, 1e-9);
    }
}

#[test]
fn zones_do_not_count_when_switched_off_or_unknown() {
    let set = zoned(&[("a", 1), ("b", 1), ("c", 2)]);
    let off = balancing(|balancing| balancing.locality = Locality::Off);
    for mut bench in [
        Bench::in_zone("a", &set, &off),
        Bench::in_zone("", &set, &policy(|_| {})),
        Bench::in_zone("z", &set, &policy(|_| {})),
    ] {
        about(zones(&mut bench)[2], 0.5, 0.01);
    }
}

#[test]
fn a_retry_leaves_the_zone_when_it_has_to() {
    let mut bench = Bench::in_zone("a", &zoned(&[("a", 1), ("b", 1)]), &policy(|_| {}));
    assert_eq!(bench.pick(), 1);
    assert_eq!(bench.without(&[1]), Ok(101));
}

fn prioritized() -> Vec<Endpoint> {
    let priority = |port: u16| Endpoint { priority: u32::from(port / 100), ..endpoint(port) };
    [1, 2, 3, 4, 101, 102, 103, 104].map(priority).to_vec()
}

#[test]
fn the_next_priority_takes_what_the_first_cannot() {
    for algorithm in all() {
        let mut bench = Bench::new(&prioritized(), &by(algorithm));
        about(zones(&mut bench)[1], 0.0, 1e-9);
        bench.load(1).connect_failed(bench.now);
        about(zones(&mut bench)[1], 0.0, 1e-9);
        bench.load(2).connect_failed(bench.now);
        about(zones(&mut bench)[1], 0.3, 0.01);
        assert!(bench.balancer.counts().lower_priority > 0);
        bench.load(3).connect_failed(bench.now);
        about(zones(&mut bench)[1], 0.65, 0.01);
        bench.load(4).connect_failed(bench.now);
        about(zones(&mut bench)[1], 1.0, 1e-9);
    }
}

#[test]
fn a_retry_goes_to_the_next_priority_when_the_first_was_tried() {
    let mut bench = Bench::new(&prioritized(), &policy(|_| {}));
    assert_eq!(bench.without(&[1, 2, 4]), Ok(3));
    assert!(bench.without(&[1, 2, 3, 4]).unwrap() > 100);
}

#[test]
fn full_endpoints_of_the_first_priority_spill_to_the_next() {
    let mut bench = Bench::new(&prioritized(), &balancing(|b| b.max_requests_per_endpoint = Some(1)));
    let _held: Vec<_> = (1..=4).map(|port| bench.load(port).begin(bench.now)).collect();
    assert!((0..20).all(|_| bench.pick() > 100));
}
