//! Facts about parts of the load.

use super::{Health, level_shares, zone_shares};

/// Usable and all endpoints of each priority; the part of the load in percent.
type Row<'a> = (&'a [(usize, usize)], &'a [(f64, Health)]);

fn shares(levels: &[(usize, usize)]) -> Vec<(f64, Health)> {
    let percent = |(share, health): (f64, Health)| ((share * 100.0).round(), health);
    level_shares(levels, 0.5).into_iter().map(percent).collect()
}

#[test]
fn a_priority_keeps_its_load_while_enough_of_it_is_usable() {
    let (well, panic) = (Health::Regarded, Health::Panic);
    let table: [Row<'_>; 9] = [
        (&[(10, 10), (10, 10)], &[(100.0, well), (0.0, well)]),
        (&[(8, 10), (10, 10)], &[(100.0, well), (0.0, well)]),
        (&[(5, 10), (10, 10)], &[(70.0, well), (30.0, well)]),
        (&[(1, 10), (10, 10)], &[(14.0, well), (86.0, well)]),
        (&[(0, 10), (10, 10)], &[(0.0, well), (100.0, well)]),
        (&[(5, 10), (1, 10), (10, 10)], &[(70.0, well), (14.0, well), (16.0, well)]),
        // Together not healthy enough: each more than its health, those below half in panic.
        (&[(3, 10), (2, 10)], &[(60.0, panic), (40.0, panic)]),
        (&[(6, 10)], &[(100.0, well)]),
        (&[(0, 2), (0, 2)], &[(100.0, panic), (0.0, panic)]),
    ];
    for (levels, want) in table {
        assert_eq!(shares(levels), want, "{levels:?}");
    }
}

#[test]
fn a_zone_keeps_what_it_can_take() {
    let table: [(usize, &[f64], &[f64]); 7] = [
        (0, &[2.0, 2.0, 2.0], &[1.0, 0.0, 0.0]),
        (0, &[4.0, 1.0, 1.0], &[1.0, 0.0, 0.0]),
        // A fifth where a third would be its share: three fifths stay.
        (0, &[1.0, 2.0, 2.0], &[0.6, 0.2, 0.2]),
        (1, &[5.0, 1.0], &[2.0 / 3.0, 1.0 / 3.0]),
        // The one that is short itself gets nothing.
        (0, &[1.0, 1.0, 4.0], &[0.5, 0.0, 0.5]),
        (0, &[0.0, 3.0, 1.0], &[0.0, 1.0, 0.0]),
        (0, &[3.0], &[1.0]),
    ];
    for (own, capacities, want) in table {
        let got = zone_shares(own, capacities);
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-9), "{capacities:?}: {got:?}");
    }
}

#[test]
fn with_callers_in_every_zone_each_endpoint_gets_the_same() {
    let capacities = [1.0, 2.0, 3.0, 6.0];
    let mut load = [0.0; 4];
    for own in 0..4 {
        for (load, share) in load.iter_mut().zip(zone_shares(own, &capacities)) {
            *load += share / 4.0;
        }
    }
    for (load, capacity) in load.iter().zip(capacities) {
        assert!((load / (capacity / 12.0) - 1.0).abs() < 1e-9, "{load:?}");
    }
}
