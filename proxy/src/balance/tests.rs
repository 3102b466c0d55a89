//! Facts about balancing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_model::endpoint::{Endpoint, EndpointState, Transport};
use proptest::prelude::*;

use super::Balancer;

fn endpoint(port: u16, state: EndpointState) -> Endpoint {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Endpoint {
        address,
        transport: Transport::Plain,
        workload: None,
        zone: String::new(),
        state,
        weight: 1,
        priority: 0,
    }
}

fn ready(ports: &[u16]) -> Vec<Endpoint> {
    ports.iter().map(|port| endpoint(*port, EndpointState::Ready)).collect()
}

fn balancer(endpoints: &[Endpoint], now: Instant) -> Balancer<()> {
    let mut balancer = Balancer::default();
    balancer.update(endpoints, now, |_| ());
    balancer
}

fn picks(balancer: &Balancer<()>, now: Instant, count: usize) -> Vec<u16> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..count)
        .filter_map(|_| balancer.pick(now, &[], |n| random.usize(..n)))
        .map(|slot| slot.endpoint.address.port())
        .collect()
}

#[test]
fn equals_share_the_load() {
    let now = Instant::now();
    for count in [2u16, 3, 10] {
        let ports: Vec<u16> = (1..=count).collect();
        let got = picks(&balancer(&ready(&ports), now), now, 10_000);
        for port in ports {
            let share = got.iter().filter(|p| **p == port).count() as f64 / 10_000.0;
            assert!((share * f64::from(count) - 1.0).abs() < 0.15, "{port} of {count} got {share}");
        }
    }
}

#[test]
fn a_slow_endpoint_gets_less_and_recovers_with_time() {
    let now = Instant::now();
    let balancer = balancer(&ready(&[1, 2]), now);
    for slot in balancer.slots() {
        let latency = if slot.endpoint.address.port() == 1 { 100 } else { 1 };
        slot.load.begin(now).answered(now + Duration::from_millis(latency));
    }
    let soon = now + Duration::from_millis(200);
    assert!(picks(&balancer, soon, 100).iter().all(|port| *port == 2));
    let fast = balancer.slots().iter().find(|s| s.endpoint.address.port() == 2).unwrap();
    let later = now + Duration::from_mins(2);
    fast.load.begin(later).answered(later + Duration::from_millis(1));
    assert!(picks(&balancer, later, 100).contains(&1));
}

#[test]
fn outstanding_requests_count() {
    let now = Instant::now();
    let balancer = balancer(&ready(&[1, 2]), now);
    let first = balancer.slots()[0].clone();
    let held: Vec<_> = (0..3).map(|_| first.load.begin(now)).collect();
    let other = balancer.slots()[1].endpoint.address.port();
    assert!(picks(&balancer, now, 20).iter().all(|port| *port == other));
    drop(held);
    assert_eq!(first.load.outstanding(), 0);
}

#[test]
fn a_failed_connect_is_avoided_for_a_moment() {
    let now = Instant::now();
    let balancer = balancer(&ready(&[1, 2, 3]), now);
    let bad = balancer.slots()[0].clone();
    bad.load.connect_failed(now);
    assert!(!picks(&balancer, now, 100).contains(&1));
    assert!(picks(&balancer, now + Duration::from_secs(2), 100).contains(&1));
}

#[test]
fn when_all_failed_one_is_still_tried() {
    let now = Instant::now();
    let balancer = balancer(&ready(&[1, 2]), now);
    for slot in balancer.slots() {
        slot.load.connect_failed(now);
    }
    assert_eq!(picks(&balancer, now, 5).len(), 5);
}

#[test]
fn draining_endpoints_are_the_last_resort() {
    let now = Instant::now();
    let mut set = ready(&[1]);
    set.push(endpoint(2, EndpointState::Draining));
    assert!(picks(&balancer(&set, now), now, 50).iter().all(|port| *port == 1));
    let only = [endpoint(2, EndpointState::Draining)];
    assert_eq!(picks(&balancer(&only, now), now, 3), [2, 2, 2]);
}

#[test]
fn state_of_surviving_endpoints_is_kept() {
    let now = Instant::now();
    let mut balancer = balancer(&ready(&[1, 2]), now);
    let held = balancer.slots()[0].load.begin(now);
    let mut next = ready(&[1, 3]);
    next[0].state = EndpointState::Draining;
    balancer.update(&next, now, |_| ());
    assert_eq!(balancer.slots()[0].load.outstanding(), 1);
    assert_eq!(balancer.slots()[0].endpoint.state, EndpointState::Draining);
    drop(held);
    assert_eq!(balancer.slots()[0].load.outstanding(), 0);
}

#[test]
fn an_endpoint_that_was_tried_is_not_picked_again() {
    let now = Instant::now();
    let balancer = balancer(&ready(&[1, 2]), now);
    let tried = [SocketAddr::from(([127, 0, 0, 1], 1))];
    for _ in 0..20 {
        assert_eq!(balancer.pick(now, &tried, |n| fastrand::usize(..n)).unwrap().endpoint.address.port(), 2);
    }
}

proptest! {
    #[test]
    fn something_is_picked_whenever_something_is_untried(
        states in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 0..12), seed: u64
    ) {
        let now = Instant::now();
        let set: Vec<_> = states.iter().zip(1u16..).map(|((draining, _, _), port)| {
            endpoint(port, if *draining { EndpointState::Draining } else { EndpointState::Ready })
        }).collect();
        let balancer = balancer(&set, now);
        for ((_, failed, _), slot) in states.iter().zip(balancer.slots()) {
            if *failed { slot.load.connect_failed(now); }
        }
        let tried: Vec<_> = states.iter().zip(&set).filter(|((_, _, tried), _)| *tried).map(|(_, e)| e.address).collect();
        let mut random = fastrand::Rng::with_seed(seed);
        let picked = balancer.pick(now, &tried, |n| random.usize(..n));
        prop_assert_eq!(picked.is_some(), tried.len() < set.len());
        if let Some(slot) = picked { prop_assert!(!tried.contains(&slot.endpoint.address)); }
    }
}
