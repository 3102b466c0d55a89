//! The bound follows what the workload can do, comes back from a slow time, and is never exceeded whatever comes.

use proptest::prelude::*;

use super::*;

const POLICY: AdaptiveConcurrency = AdaptiveConcurrency { min: 2, max: 200, tolerance: 1500, queue: 3 };

/// Runs windows in which `load` requests are always under way and each takes what `latency` says of that number.
fn run(limit: &mut Concurrency, now: &mut Instant, windows: u32, load: u32, latency: impl Fn(u32) -> f64) {
    for _ in 0..windows {
        let admitted = (0..load).filter(|_| limit.admit() == Admission::Now).count();
        while limit.waiting() > 0 {
            limit.gave_up();
        }
        let taken = Duration::from_secs_f64(latency(limit.in_flight()));
        *now += Duration::from_millis(110);
        (0..admitted).for_each(|_| limit.ended(Ended::Answered(taken), *now));
    }
}

#[test]
fn the_bound_grows_while_latency_stays() {
    let mut now = Instant::now();
    let mut limit = Concurrency::new(POLICY, now);
    run(&mut limit, &mut now, 100, 500, |_| 0.010);
    assert_eq!(limit.limit(), 200);
}

#[test]
fn the_bound_finds_what_the_workload_can_do() {
    let mut now = Instant::now();
    let mut limit = Concurrency::new(POLICY, now);
    // 40 at once are done in 10 ms each; beyond that they wait for each other.
    run(&mut limit, &mut now, 300, 500, |at_once| 0.010 * f64::from(at_once.max(40)) / 40.0);
    assert!((40..110).contains(&limit.limit()), "{}", limit.limit());
}

#[test]
fn the_bound_shrinks_to_its_floor_when_the_workload_becomes_slow_and_comes_back() {
    let mut now = Instant::now();
    let mut limit = Concurrency::new(POLICY, now);
    run(&mut limit, &mut now, 50, 500, |_| 0.010);
    let mut least = u32::MAX;
    for _ in 0..40 {
        run(&mut limit, &mut now, 1, 500, |_| 1.0);
        least = least.min(limit.limit());
    }
    assert!(least <= POLICY.min * 2, "{least}");
    run(&mut limit, &mut now, 200, 500, |_| 0.010);
    assert_eq!(limit.limit(), POLICY.max);
}

#[test]
fn a_workload_that_is_slower_for_good_is_not_held_down_for_ever() {
    let mut now = Instant::now();
    let mut limit = Concurrency::new(POLICY, now);
    run(&mut limit, &mut now, 50, 500, |_| 0.010);
    run(&mut limit, &mut now, 400, 500, |_| 1.0);
    assert_eq!(limit.limit(), POLICY.max);
}

#[test]
fn a_quiet_time_does_not_raise_the_bound() {
    let mut now = Instant::now();
    let mut limit = Concurrency::new(POLICY, now);
    let before = limit.limit();
    run(&mut limit, &mut now, 100, 1, |_| 0.010);
    assert_eq!(limit.limit(), before);
}

#[test]
fn beyond_bound_and_queue_requests_are_shed() {
    let now = Instant::now();
    let mut limit = Concurrency::new(AdaptiveConcurrency { max: 2, ..POLICY }, now);
    let all: Vec<_> = (0..7).map(|_| limit.admit()).collect();
    use Admission::{Now, Shed, Wait};
    assert_eq!(all, [Now, Now, Wait, Wait, Wait, Shed, Shed]);
    assert!(!limit.turn(), "nothing has ended");
    limit.ended(Ended::Broken, now);
    assert!(limit.turn() && !limit.turn());
    assert_eq!((limit.in_flight(), limit.waiting()), (2, 2));
    limit.gave_up();
    assert_eq!(limit.admit(), Wait);
    assert_eq!(limit.admit(), Wait);
    assert_eq!(limit.admit(), Shed);
}

#[test]
fn who_comes_later_does_not_overtake_the_queue() {
    let now = Instant::now();
    let mut limit = Concurrency::new(AdaptiveConcurrency { max: 2, ..POLICY }, now);
    for _ in 0..3 {
        limit.admit();
    }
    limit.ended(Ended::Broken, now);
    assert_eq!(limit.admit(), Admission::Wait);
}

proptest! {
    #[test]
    fn bounds_hold_whatever_comes(steps in proptest::collection::vec((0_u8..5, 0_u64..3000), 0..500)) {
        let mut now = Instant::now();
        let mut limit = Concurrency::new(POLICY, now);
        for (what, ms) in steps {
            now += Duration::from_millis(ms / 10);
            match what {
                0 | 1 => drop(limit.admit()),
                2 if limit.in_flight() > 0 => limit.ended(Ended::Answered(Duration::from_millis(ms)), now),
                3 if limit.waiting() > 0 => limit.gave_up(),
                _ => drop(limit.turn()),
            }
            prop_assert!((POLICY.min..=POLICY.max).contains(&limit.limit()));
            prop_assert!(limit.waiting() <= POLICY.queue);
            prop_assert!(limit.in_flight() <= POLICY.max);
        }
    }
}
