//! The tests keep their promise: exactly where everything can be counted, by many runs where it cannot.

use proptest::prelude::*;

use super::*;

fn counts(bad: u64, all: u64) -> Counts {
    Counts { bad, all }
}

/// Binomial coefficients by Pascal's triangle.
fn choose(all: u64, some: u64) -> f64 {
    (0..some).fold(1.0, |product, at| product * (all - at) as f64 / (at + 1) as f64)
}

/// The chance of each number of bad requests of the new version, given all of them, when its odds are `odds` times as high: counted.
fn chances(canary: u64, stable: u64, bad: u64, odds: f64) -> Vec<(u64, f64)> {
    let low = bad.saturating_sub(stable);
    let ways: Vec<(u64, f64)> = (low..=bad.min(canary))
        .map(|k| (k, choose(canary, k) * choose(stable, bad - k) * odds.powi(i32::try_from(k).unwrap())))
        .collect();
    let all: f64 = ways.iter().map(|(_, ways)| ways).sum();
    ways.into_iter().map(|(k, ways)| (k, ways / all)).collect()
}

#[test]
fn logarithms_of_factorials_are_those_of_the_products() {
    let mut product = 0.0_f64;
    for n in 1..200_u64 {
        product += (n as f64).ln();
        assert!((ln_factorial(n) - product).abs() < 1e-9, "{n}");
    }
}

#[test]
fn an_equal_share_says_nothing_and_a_larger_one_much() {
    let fair = Evidence::default().beside(counts(90, 900), counts(10, 100));
    assert!(fair.log_mean() < 0.0, "{}", fair.log_mean());
    let worse = Evidence::default().beside(counts(2, 900), counts(10, 100));
    assert!(worse.suffices(1e-4), "{}", worse.log_mean());
    let better = Evidence::default().beside(counts(90, 900), counts(0, 100));
    assert!(better.log_mean() < fair.log_mean());
}

#[test]
fn an_outage_of_both_says_nothing_whatever_its_height() {
    let mut evidence = Evidence::default();
    for rate in [0, 10, 400, 900, 3] {
        evidence = evidence.beside(counts(rate * 9, 9_000), counts(rate, 1_000));
    }
    assert!(evidence.log_mean() < 0.0);
}

#[test]
fn nothing_is_said_where_nothing_can_be() {
    let empty = Evidence::default();
    for (stable, canary) in [((0, 0), (5, 5)), ((5, 5), (0, 0)), ((0, 100), (0, 100))] {
        assert_eq!(empty.beside(counts(stable.0, stable.1), counts(canary.0, canary.1)), empty);
    }
    assert!(empty.log_mean().abs() < 1e-9);
}

#[test]
fn counts_of_any_size_are_read_in_no_time() {
    let many = 4_000_000_000;
    let evidence = Evidence::default().beside(counts(many / 2, many), counts(many / 2 + 300_000_000, many));
    assert!(evidence.suffices(1e-9));
    let all = Evidence::default().beside(counts(many, many), counts(many, many));
    assert!(all.log_mean() <= 1e-6, "{}", all.log_mean());
    assert!(Evidence::default().alone(0.5, counts(u64::MAX, u64::MAX)).suffices(1e-9));
}

#[test]
fn a_limit_of_nothing_is_broken_by_few() {
    assert!(Evidence::default().alone(0.0, counts(3, 1_000)).suffices(1e-4));
    assert!(!Evidence::default().alone(0.0, counts(0, 1_000_000)).suffices(0.5));
}

/// Over 4,000 releases with 40 looks each, fewer equal versions are accused than were allowed.
#[test]
fn equal_versions_are_accused_as_rarely_as_was_allowed() {
    let mut chance = fastrand::Rng::with_seed(9);
    let mut accused = [0; 2];
    for _ in 0..4_000 {
        let (mut beside, mut alone) = (Evidence::default(), Evidence::default());
        let mut hit = [false; 2];
        for _ in 0..40 {
            let rate = if chance.f64() < 0.2 { 0.2 } else { 0.02 };
            let mut draw =
                |all: u64, rate: f64| counts((0..all).filter(|_| chance.f64() < rate).count() as u64, all);
            beside = beside.beside(draw(120, rate), draw(30, rate));
            alone = alone.alone(0.02, draw(40, 0.02));
            hit[0] |= beside.suffices(0.05);
            hit[1] |= alone.suffices(0.05);
        }
        accused[0] += u32::from(hit[0]);
        accused[1] += u32::from(hit[1]);
    }
    assert!(accused.iter().all(|times| *times <= 200), "more than 5 %: {accused:?}");
    assert!(accused.iter().all(|times| *times > 0), "a test that never accuses: {accused:?}");
}

proptest! {
    /// The mean of every factor, counted over all outcomes, is at most 1 whenever the odds are not higher, and 1 when they are equal.
    #[test]
    fn factors_have_the_mean_of_a_fair_bet(canary in 1_u64..25, stable in 1_u64..25, bad in 1_u64..30, odds in 0.05_f64..1.0) {
        prop_assume!(bad <= canary + stable);
        let mean = |odds: f64, of: usize| -> f64 {
            chances(canary, stable, bad, odds)
                .into_iter()
                .map(|(k, chance)| {
                    let evidence = Evidence::default().beside(counts(bad - k, stable), counts(k, canary));
                    chance * (evidence.wealth[of] as f64 / SCALE).exp()
                })
                .sum()
        };
        for of in 0..GRID.len() {
            // Rounding down takes a thousandth at most.
            let equal = mean(1.0, of);
            prop_assert!(equal <= 1.0 + 1e-9 && equal > 0.99, "{equal}");
            prop_assert!(mean(odds, of) <= 1.0 + 1e-9);
        }
    }

    /// More bad requests are never less evidence.
    #[test]
    fn evidence_grows_with_what_is_bad(canary in 1_u64..10_000, stable in 1_u64..10_000, k in 0_u64..500, more in 1_u64..50) {
        prop_assume!(k + more <= canary && k + more <= stable);
        let of = |bad| Evidence::default().beside(counts(k + more - bad, stable), counts(bad, canary)).log_mean();
        prop_assert!(of(k + more) >= of(k));
        let alone = |bad| Evidence::default().alone(0.01, counts(bad, canary)).log_mean();
        prop_assert!(alone(k + more) >= alone(k));
    }
}
