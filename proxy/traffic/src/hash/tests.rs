//! Facts about hashes and tables.

use proptest::prelude::*;

use super::maglev::Maglev;
use super::ring::Ring;
use super::{Entry, hash_of, mix};

fn entries(count: u32) -> Vec<Entry> {
    (0..count).map(|index| Entry { index, hash: hash_of([&index.to_le_bytes()[..]]), weight: 1 }).collect()
}

#[test]
fn the_hash_is_xxh64() {
    assert_eq!(hash_of([&b""[..]]), 0xEF46_DB37_51D8_E999);
    assert_eq!(hash_of([&b"a"[..]]), 0xD24E_C4F1_A98C_6E5B);
    assert_eq!(hash_of([&b"abc"[..]]), 0x44BC_2CF5_AD77_0999);
    let long = b"Nobody inspects the spammish repetition";
    assert_eq!(hash_of([&long[..]]), 0xFBCE_A83C_8A37_8BF1);
}

#[test]
fn parts_are_told_apart() {
    assert_ne!(hash_of([&b"ab"[..], b"c"]), hash_of([&b"a"[..], b"bc"]));
    assert_ne!(hash_of([&b"a"[..]]), hash_of([&b"a"[..], b""]));
    assert_eq!(hash_of([]), 0);
}

/// How many of 100,000 keys each endpoint has.
fn shares<W: Iterator<Item = u32>>(count: usize, walk: impl Fn(u64) -> W) -> Vec<f64> {
    let mut got = vec![0.0; count];
    for key in 0..100_000u64 {
        got[walk(mix(key)).next().unwrap() as usize] += 1.0 / 100_000.0;
    }
    got
}

#[test]
fn maglev_is_even() {
    let table = Maglev::new(&entries(10), 65_537);
    assert_eq!(table.len(), 65_537);
    for share in shares(10, |key| table.walk(key)) {
        assert!((share - 0.1).abs() < 0.01, "{share}");
    }
}

#[test]
fn a_ring_is_about_even() {
    let ring = Ring::new(&entries(10), 65_536);
    assert!(ring.len() <= 65_536);
    for share in shares(10, |key| ring.walk(key)) {
        assert!((share - 0.1).abs() < 0.01, "{share}");
    }
}

#[test]
fn weights_count() {
    let mut set = entries(4);
    set[0].weight = 5;
    let (table, ring) = (Maglev::new(&set, 65_537), Ring::new(&set, 65_536));
    for got in [shares(4, |key| table.walk(key)), shares(4, |key| ring.walk(key))] {
        assert!((got[0] - 5.0 / 8.0).abs() < 0.03, "{got:?}");
        assert!((got[1] - 1.0 / 8.0).abs() < 0.02, "{got:?}");
    }
}

/// The share of keys that move although their endpoint is still there.
fn needless<A, B>(gone: u32, before: impl Fn(u64) -> A, after: impl Fn(u64) -> B) -> f64
where
    A: Iterator<Item = u32>,
    B: Iterator<Item = u32>,
{
    let moved = (0..100_000u64).map(mix).filter(|key| {
        let old = before(*key).next().unwrap();
        old != gone && after(*key).next().unwrap() != old
    });
    moved.count() as f64 / 100_000.0
}

#[test]
fn only_keys_of_the_one_that_left_move_on_a_ring() {
    let all = entries(20);
    let fewer: Vec<_> = all.iter().copied().filter(|entry| entry.index != 7).collect();
    let (before, after) = (Ring::new(&all, 16_384), Ring::new(&fewer, 16_384));
    assert!(needless(7, |key| before.walk(key), |key| after.walk(key)) < 1e-9);
}

#[test]
fn few_other_keys_move_in_a_maglev_table() {
    let all = entries(20);
    let fewer: Vec<_> = all.iter().copied().filter(|entry| entry.index != 7).collect();
    let (before, after) = (Maglev::new(&all, 65_537), Maglev::new(&fewer, 65_537));
    let moved = needless(7, |key| before.walk(key), |key| after.walk(key));
    assert!(moved < 0.03, "{moved}");
}

#[test]
fn walking_past_an_endpoint_moves_only_its_keys_and_spreads_them() {
    let set = entries(5);
    let table = Maglev::new(&set, 65_537);
    let mut got = [0u32; 5];
    for key in (0..50_000u64).map(mix).filter(|key| table.walk(*key).next() == Some(0)) {
        got[table.walk(key).find(|at| *at != 0).unwrap() as usize] += 1;
    }
    let mean = f64::from(got.iter().sum::<u32>()) / 4.0;
    assert!(got[1..].iter().all(|one| (f64::from(*one) / mean - 1.0).abs() < 0.15), "{got:?}");
}

#[test]
fn sizes_are_bounded() {
    assert_eq!(Ring::new(&[], 1024).walk(1).count(), 0);
    assert_eq!(Maglev::new(&[], 1024).walk(1).count(), 0);
    assert!(Ring::new(&entries(3), u32::MAX).len() <= 1 << 20);
    assert_eq!(Maglev::new(&entries(1), 1024).len(), 1031);
    // More endpoints than points: each still has one.
    assert_eq!(Ring::new(&entries(100), 10).len(), 100);
}

proptest! {
    #[test]
    fn every_key_has_an_endpoint(weights in proptest::collection::vec(1u32..100, 1..20), key: u64, size in 1u32..3000) {
        let set: Vec<_> = weights.iter().zip(0u32..).map(|(weight, index)| Entry {
            index, hash: hash_of([&index.to_le_bytes()[..]]), weight: *weight,
        }).collect();
        let ring = Ring::new(&set, size);
        prop_assert!(ring.walk(key).all(|at| (at as usize) < set.len()));
        let seen: std::collections::HashSet<u32> = ring.walk(key).collect();
        prop_assert_eq!(seen.len(), set.len());
        prop_assert!(Maglev::new(&set, size).walk(key).all(|at| (at as usize) < set.len()));
    }
}
