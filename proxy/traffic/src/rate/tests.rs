//! Never more than burst and rate let through; keys have buckets of their own, and their number is bounded.

use proptest::prelude::*;

use super::*;

fn limit(requests: u32, seconds: u64, burst: u32) -> RateLimit {
    RateLimit {
        name: "all".into(),
        requests,
        per: Duration::from_secs(seconds),
        burst,
        keys: vec![],
        headers: vec![],
    }
}

fn limiter(requests: u32, seconds: u64, burst: u32, most: usize, now: Instant) -> Limiter {
    Limiter::new(Rate::of(&limit(requests, seconds, burst)), most, now)
}

fn allowed(limiter: &mut Limiter, key: u64, now: Instant) -> usize {
    (0..10_000).take_while(|_| limiter.ask(key, now).outcome == Outcome::Allowed).count()
}

#[test]
fn a_burst_goes_through_at_once_and_then_the_rate_holds() {
    let now = Instant::now();
    let mut limiter = limiter(10, 1, 20, 8, now);
    assert_eq!(allowed(&mut limiter, 1, now), 20);
    assert_eq!(limiter.ask(1, now).outcome, Outcome::Refused(Duration::from_millis(100)));
    assert_eq!(allowed(&mut limiter, 1, now + Duration::from_millis(300)), 3);
    assert_eq!(
        allowed(&mut limiter, 1, now + Duration::from_mins(1)),
        20,
        "no more than a burst is saved up"
    );
}

#[test]
fn each_key_has_its_own_bucket() {
    let now = Instant::now();
    let mut limiter = limiter(1, 1, 3, 8, now);
    assert_eq!(allowed(&mut limiter, 1, now), 3);
    assert_eq!(allowed(&mut limiter, 2, now), 3);
    assert_eq!(limiter.len(), 2);
}

#[test]
fn no_requests_means_none_ever() {
    let now = Instant::now();
    let mut limiter = limiter(0, 1, 0, 8, now);
    assert_eq!(allowed(&mut limiter, 1, now), 0);
    assert_eq!(allowed(&mut limiter, 1, now + Duration::from_secs(100)), 0);
}

#[test]
fn beyond_the_bound_new_keys_share_one_bucket_until_another_is_full_again() {
    let now = Instant::now();
    let mut limiter = limiter(1, 1, 2, 4, now);
    for key in 0..4 {
        assert_eq!(limiter.ask(key, now).bucket, Bucket::Own);
    }
    assert_eq!(limiter.ask(4, now).bucket, Bucket::Overflow);
    assert_eq!(limiter.ask(5, now).outcome, Outcome::Allowed);
    assert!(matches!(limiter.ask(6, now).outcome, Outcome::Refused(_)), "the shared bucket is empty");
    assert_eq!(limiter.len(), 4);
    let later = now + Duration::from_secs(1);
    assert_eq!(limiter.ask(6, later).bucket, Bucket::Own, "full buckets make room");
    assert_eq!(limiter.len(), 4);
}

#[test]
fn remaining_and_reset_are_told() {
    let now = Instant::now();
    let mut limiter = limiter(60, 60, 60, 4, now);
    let first = limiter.ask(1, now);
    assert_eq!((first.remaining, first.reset), (59, Duration::from_secs(1)));
    let second = limiter.ask(1, now);
    assert_eq!((second.remaining, second.reset), (58, Duration::from_secs(2)));
}

#[test]
fn headers_are_those_of_the_draft() {
    let limits = [limit(100, 60, 100), RateLimit { name: "per \"user\"\n".into(), ..limit(5, 1, 5) }];
    assert_eq!(policy_header(&limits), r#""all";q=100;w=60, "per \"user\"";q=5;w=1"#);
    let now = Instant::now();
    let mut limiter = limiter(60, 60, 60, 4, now);
    let verdict = limiter.ask(1, now);
    assert_eq!(rate_header([(&limits[0], verdict)]), r#""all";r=59;t=1"#);
    assert_eq!(retry_after(Duration::ZERO), "1");
    assert_eq!(retry_after(Duration::from_millis(1001)), "2");
}

proptest! {
    /// In any run, at most burst + rate * time requests go through, and who waits as told goes through.
    #[test]
    fn never_more_than_burst_and_rate(
        requests in 1_u32..100,
        burst in 1_u32..50,
        gaps in proptest::collection::vec(0_u64..500, 1..300),
    ) {
        let start = Instant::now();
        let mut limiter = limiter(requests, 1, burst, 4, start);
        let (mut now, mut passed) = (start, 0_u128);
        for gap in gaps {
            now += Duration::from_millis(gap);
            match limiter.ask(9, now).outcome {
                Outcome::Allowed => passed += 1,
                Outcome::Refused(after) => {
                    prop_assert!(after > Duration::ZERO);
                    now += after;
                    prop_assert_eq!(limiter.ask(9, now).outcome, Outcome::Allowed);
                    passed += 1;
                }
            }
            let interval = u128::from(1_000_000_000 / u64::from(requests));
            prop_assert!(passed <= u128::from(burst) + (now - start).as_nanos() / interval);
        }
    }
}
