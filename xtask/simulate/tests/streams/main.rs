//! Configuration streams in virtual time: the controller's and the proxies' own code over a simulated network, with partitions, slow and dead
//! readers, restarts and clocks that jump. Whatever happens, a proxy whose knowledge is old says so, and when it is over all know
//! what is true.
//!
//! `AMIME_SEED=7` runs one seed, `AMIME_SEEDS=200` so many.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stderr, reason = "a seed that fails is worth nothing unless it is told")]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod controller;
mod faults;
mod laggard;
mod network;
mod observer;
mod proxy;
mod truth;
mod world;

use world::{Plan, World};

/// Each run has all kinds of faults, at other moments.
const SEEDS: u64 = 3;

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("AMIME_SEED"), number("AMIME_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (1..=count.unwrap_or(SEEDS)).collect(),
    }
}

#[test]
fn whoever_is_behind_says_so_and_all_converge() {
    for seed in seeds() {
        eprintln!("seed {seed}: AMIME_SEED={seed} runs it alone");
        let saw = World::run(&Plan::of(seed));
        eprintln!("  {saw}");
        assert!(saw.looks > 100 && saw.behind > 0, "seed {seed}: the faults were felt: {saw}");
    }
}

/// The oracle can fail: a proxy that is told by nobody and says nothing is found out.
#[test]
fn a_metric_that_says_nothing_is_found_out() {
    let plan = Plan { deaf_metric: true, ..Plan::of(1) };
    let caught = std::panic::catch_unwind(|| World::run(&plan)).unwrap_err();
    let said = caught.downcast_ref::<String>().unwrap();
    assert!(said.contains("behind for"), "{said}");
}
