//! What holds for every set, policy and state.

use mesh_model::traffic::{HashKey, Locality, Ppm};
use proptest::prelude::*;

use super::*;
use crate::balance::Standing;
use crate::health::Verdict;
use crate::outlier::Outcome;

#[derive(Debug, Clone)]
struct One {
    endpoint: Endpoint,
    trouble: Trouble,
    tried: bool,
    busy: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    Connect,
    Errors,
    Probes,
}

fn one() -> impl Strategy<Value = One> {
    let about = (0u8..8, 1u32..5, 0u32..3, 0usize..3);
    let trouble = prop_oneof![
        3 => Just(Trouble::None),
        1 => Just(Trouble::Connect),
        1 => Just(Trouble::Errors),
        1 => Just(Trouble::Probes),
    ];
    (about, trouble, any::<bool>(), 0u32..4).prop_map(
        |((draining, weight, priority, zone), trouble, tried, busy)| One {
            endpoint: Endpoint {
                weight,
                priority,
                zone: ["", "a", "b"][zone].to_owned(),
                state: if draining == 0 { EndpointState::Draining } else { EndpointState::Ready },
                ..endpoint(0)
            },
            trouble,
            tried,
            busy,
        },
    )
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    let key = HashKey::SourceAddress;
    prop_oneof![
        Just(Algorithm::PeakEwma),
        (2u32..5).prop_map(|choices| Algorithm::LeastRequest { choices }),
        Just(Algorithm::RoundRobin),
        Just(Algorithm::Random),
        Just(Algorithm::RingHash { key: key.clone(), ring_size: 64, bounded_load: Some(1250) }),
        Just(Algorithm::Maglev { key, table_size: 251, bounded_load: None }),
    ]
}

proptest! {
    #[test]
    fn what_may_be_picked_is_picked_and_nothing_else(
        mut set in proptest::collection::vec(one(), 0..12),
        algorithm in algorithm(),
        zones: bool,
        bound in proptest::option::of(1u32..4),
        panic in prop_oneof![Just(0u32), Just(500_000), Just(1_000_000)],
        hash in proptest::option::of(any::<u64>()),
        seed: u64,
    ) {
        for (one, port) in set.iter_mut().zip(1u16..) {
            one.endpoint.address = address(port);
        }
        let policy = balancing(|balancing| {
            balancing.algorithm = algorithm;
            balancing.locality = if zones { Locality::PreferZone } else { Locality::Off };
            balancing.max_requests_per_endpoint = bound;
            balancing.panic_threshold = Ppm(panic);
        });
        let endpoints: Vec<_> = set.iter().map(|one| one.endpoint.clone()).collect();
        let mut bench = Bench::in_zone("a", &endpoints, &policy);
        bench.random = fastrand::Rng::with_seed(seed);
        bench.balancer.tick(bench.now);
        let mut held = Vec::new();
        for (one, port) in set.iter().zip(1u16..) {
            let load = bench.load(port);
            match one.trouble {
                Trouble::None => {}
                Trouble::Connect => {
                    load.connect_failed(bench.now);
                }
                Trouble::Errors => {
                    for _ in 0..5 {
                        load.record(Outcome::Error, Duration::ZERO, bench.now);
                    }
                }
                Trouble::Probes => load.set_verdict(Verdict::Unhealthy),
            }
            held.extend((0..one.busy).map(|_| load.begin(bench.now)));
        }
        let tried: Vec<u16> = set.iter().zip(1u16..).filter(|(one, _)| one.tried).map(|(_, port)| port).collect();
        let addresses: Vec<_> = tried.iter().map(|port| address(*port)).collect();
        let full = |one: &One| bound.is_some_and(|bound| one.busy >= bound);
        let slots: Vec<_> = bench.balancer.slots().to_vec();
        let standing: Vec<_> = slots.iter().map(|slot| bench.balancer.standing(slot, bench.now)).collect();
        let usable_left = set.iter().zip(&standing).any(|(one, standing)| *standing == Standing::Usable && !one.tried && !full(one));
        let usable_busy = set.iter().zip(&standing).any(|(one, standing)| *standing == Standing::Usable && !one.tried && full(one));
        let untried = set.iter().any(|one| !one.tried);
        for _ in 0..20 {
            let before = bench.balancer.counts();
            let random = &mut bench.random;
            let ask = Ask { hash, ..Ask::new(bench.now, &addresses) };
            let picked = bench.balancer.pick(&ask, |n| random.usize(..n)).map(|slot| slot.endpoint.address.port());
            let after = bench.balancer.counts().since(&before);
            match picked {
                Ok(port) => {
                    let at = usize::from(port) - 1;
                    prop_assert!(!set[at].tried && !full(&set[at]));
                    if standing[at] != Standing::Usable {
                        prop_assert!(after.panicked + after.last_resort > 0 || !usable_left, "{:?}", standing[at]);
                        prop_assert!(standing[at] != Standing::Draining || !usable_left);
                    }
                }
                Err(NoPick::AllTried) => prop_assert!(!untried && !set.is_empty()),
                Err(NoPick::Empty) => prop_assert!(set.is_empty()),
                Err(NoPick::AllAtBound) => {
                    prop_assert!(!usable_left);
                    prop_assert!(usable_busy || set.iter().any(|one| !one.tried && full(one)));
                }
            }
        }
    }
}
