//! Shares of a split, counted exactly over the whole ring of random numbers.

use proptest::prelude::*;

use super::*;
use crate::sample::backend;

/// How often each of the backends is picked by `steps` random numbers that stand at the middle of equal slices.
fn count(weights: &[u32], steps: u64) -> Vec<u64> {
    let backends: Vec<Backend> =
        weights.iter().enumerate().map(|(at, w)| backend(&format!("b{at}"), *w)).collect();
    let mut counts = vec![0; weights.len()];
    for step in 0..steps {
        let random = (u128::from(step) * 2 + 1) * (1 << 63) / u128::from(steps);
        let picked = pick(&backends, u64::try_from(random).unwrap()).expect("a weight is above 0");
        counts[backends.iter().position(|one| std::ptr::eq(one, picked)).unwrap()] += 1;
    }
    counts
}

#[test]
fn shares_are_exact_over_the_ring() {
    assert_eq!(count(&[90, 10], 1_000), [900, 100]);
    assert_eq!(count(&[1, 1, 1], 3_000), [1_000, 1_000, 1_000]);
    assert_eq!(count(&[0, 7, 0, 3, 0], 10), [0, 7, 0, 3, 0]);
    assert_eq!(count(&[1_000_000, 1_000_000], 2), [1, 1]);
    assert_eq!(count(&[1], 5), [5]);
}

#[test]
fn nothing_to_pick_without_backends_or_weights() {
    assert_eq!(pick(&[], 1), None);
    for random in [0, 1, u64::MAX] {
        assert_eq!(pick(&[backend("a", 0), backend("b", 0)], random), None);
    }
}

#[test]
fn the_ends_of_the_ring_belong_to_the_first_and_the_last_with_a_weight() {
    let backends = [backend("a", 0), backend("b", 1), backend("c", 1_000_000), backend("d", 0)];
    assert_eq!(pick(&backends, 0), Some(&backends[1]));
    assert_eq!(pick(&backends, u64::MAX), Some(&backends[2]));
}

#[test]
fn an_invalid_backend_keeps_its_share() {
    let target =
        super::super::BackendTarget::Invalid { reference: "x".to_owned(), reason: "missing".to_owned() };
    let backends = [backend("a", 1), Backend { target, weight: 1, filters: Vec::new(), takes: Vec::new() }];
    assert_eq!(pick(&backends, u64::MAX), Some(&backends[1]));
}

proptest! {
    #[test]
    fn every_backend_gets_its_share_within_one(weights in prop::collection::vec(0_u32..=1_000_000, 1..8), steps in 1_u64..2_000) {
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        prop_assume!(total > 0);
        for (weight, counted) in weights.iter().zip(count(&weights, steps)) {
            let share = u128::from(*weight) * u128::from(steps) / u128::from(total);
            prop_assert!(u128::from(counted).abs_diff(share) <= 2, "weight {weight} of {total} got {counted} of {steps}");
            prop_assert!(*weight > 0 || counted == 0);
        }
    }

    #[test]
    fn a_backend_of_weight_zero_is_never_picked(weights in prop::collection::vec(0_u32..3, 0..8), random in any::<u64>()) {
        let backends: Vec<Backend> = weights.iter().map(|w| backend("b", *w)).collect();
        match pick(&backends, random) {
            Some(picked) => prop_assert!(picked.weight > 0),
            None => prop_assert!(weights.iter().all(|w| *w == 0)),
        }
    }
}
