//! Merging and quantiles.

use proptest::prelude::*;

use super::*;

/// The bucket of a value, by definition.
fn index(micros: f64) -> u16 {
    let mut i: u16 = 0;
    while (f64::from(i + 1) / PER_OCTAVE).exp2() < micros {
        i += 1;
    }
    i
}

fn of(values: &[f64]) -> Histogram {
    let mut histogram = Histogram::default();
    for value in values {
        histogram.add(index(*value), 1);
    }
    histogram
}

#[test]
fn without_values_every_quantile_is_zero() {
    assert!(Histogram::default().quantile(0.5).abs() < f64::EPSILON);
}

#[test]
fn what_the_wire_cannot_mean_is_taken_for_what_it_can() {
    let wire = Wire { indices: vec![5, 3, 9_999, 3], counts: vec![1, 2, 3] };
    let histogram = Histogram::from_wire(&wire);
    assert_eq!(histogram.buckets, [(3, 2), (5, 1), (MAX_INDEX, 3)]);
}

#[test]
fn counts_stay_at_their_end_instead_of_wrapping() {
    let mut histogram = Histogram::default();
    histogram.add(1, u32::MAX);
    histogram.add(1, 5);
    assert_eq!(histogram.total(), u64::from(u32::MAX));
}

proptest! {
    #[test]
    fn quantiles_are_right_to_nine_percent(mut values in prop::collection::vec(2.0_f64..1e7, 1..200), q in 0.01_f64..1.0) {
        let histogram = of(&values);
        values.sort_by(f64::total_cmp);
        let below = values.iter().enumerate().filter(|(n, _)| (*n as f64 + 1.0) < q * values.len() as f64).count();
        let exact = values[below];
        let told = histogram.quantile(q);
        prop_assert!(told >= exact / 1.0906 && told <= exact * 1.0906, "{told} for {exact}");
    }

    #[test]
    fn merging_is_as_if_counted_together(a in prop::collection::vec(2.0_f64..1e7, 0..50), b in prop::collection::vec(2.0_f64..1e7, 0..50)) {
        let mut merged = of(&a);
        merged.merge(&of(&b));
        let together: Vec<f64> = a.iter().chain(&b).copied().collect();
        prop_assert_eq!(merged, of(&together));
    }
}
