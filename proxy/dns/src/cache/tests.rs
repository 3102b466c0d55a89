//! What is kept, for how long, and what has to go.

use super::*;
use crate::wire::{Answer, MAX_TCP, kind};
use proptest::prelude::*;
use std::net::IpAddr;

fn asked(name: &str, id: u16) -> (Vec<u8>, Query) {
    let mut bytes = Query::build(&Name::parse(name).unwrap(), kind::A);
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    let query = Query::parse(&bytes).unwrap();
    (bytes, query)
}

/// A resolver's reply: with addresses, or that there is nothing.
fn reply(name: &str, addresses: u8, ttl: u32) -> (Query, Vec<u8>, Reply) {
    let (bytes, query) = asked(name, 7);
    let addresses: Vec<IpAddr> = (0..addresses).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    let message = wire::answer(&bytes, &query, &Answer { alias: None, addresses: &addresses, ttl }, MAX_TCP);
    let reply = Reply::scan(&message, &query, 7).unwrap();
    (query, message, reply)
}

fn keep(cache: &mut Cache, name: &str, addresses: u8, ttl: u32, now: Instant) {
    let (query, message, reply) = reply(name, addresses, ttl);
    cache.put(&query, &message, reply, now);
}

/// What is given: whether it is fresh, and its least lifetime.
fn given(cache: &mut Cache, name: &str, now: Instant) -> Option<(bool, u32)> {
    let (bytes, query) = asked(name, 99);
    let (fresh, message) = match cache.get(&bytes, &query, now) {
        Kept::Fresh(message) => (true, message),
        Kept::Stale { message, .. } => (false, message),
        Kept::Nothing => return None,
    };
    let reply = Reply::scan(&message, &query, 99).unwrap();
    assert!(reply.has_edns, "the client has it, so it gets it");
    Some((fresh, reply.least_ttl.unwrap()))
}

#[test]
fn lifetimes_are_clamped_and_run_down() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut cache = Cache::new(Limits::default());
    let rows = [("zero", 0, 5), ("usual", 300, 300), ("week", 604_800, 3600), ("endless", u32::MAX, 5)];
    for (name, ttl, expected) in rows {
        keep(&mut cache, name, 1, ttl, start);
        assert_eq!(given(&mut cache, name, start), Some((true, expected)), "{name}");
        assert_eq!(given(&mut cache, name, start + second * 3), Some((true, expected - 3)), "{name}");
        assert_eq!(given(&mut cache, name, start + second * expected), Some((false, 30)), "{name}");
    }
}

#[test]
fn that_there_is_nothing_is_kept_for_a_short_time() {
    let start = Instant::now();
    let mut cache = Cache::new(Limits::default());
    keep(&mut cache, "nothing", 0, 3600, start);
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(matches!(given(&mut cache, "nothing", at(59)), Some((true, _))));
    assert!(matches!(given(&mut cache, "nothing", at(60)), Some((false, _))));
}

#[test]
fn what_is_old_is_given_with_the_word_whether_to_ask_first_and_then_forgotten() {
    let start = Instant::now();
    let mut cache = Cache::new(Limits::default());
    keep(&mut cache, "old", 1, 10, start);
    let (bytes, query) = asked("old", 1);
    let at = |seconds| start + Duration::from_secs(seconds);
    let ask = |cache: &mut Cache, now| match cache.get(&bytes, &query, now) {
        Kept::Stale { ask, .. } => Some(ask),
        _ => None,
    };
    assert_eq!(ask(&mut cache, at(9)), None);
    assert_eq!(ask(&mut cache, at(10)), Some(Ask::First));
    cache.failed(&query, at(11));
    assert_eq!(ask(&mut cache, at(40)), Some(Ask::NotNow));
    assert_eq!(ask(&mut cache, at(41)), Some(Ask::First));
    assert_eq!(ask(&mut cache, at(10 + 86_400)), None);
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
}

#[test]
fn failures_cut_replies_and_answers_to_options_are_not_kept() {
    let now = Instant::now();
    let mut cache = Cache::new(Limits::default());
    let (query, message, good) = reply("x", 1, 60);
    cache.put(&query, &message, Reply { rcode: 2, ..good.clone() }, now);
    cache.put(&query, &message, Reply { truncated: true, ..good.clone() }, now);
    cache.put(&query, &message, Reply { body_end: None, ..good.clone() }, now);
    let mut special = query.clone();
    special.edns.as_mut().unwrap().has_options = true;
    cache.put(&special, &message, good.clone(), now);
    assert!(cache.is_empty());
    cache.put(&query, &message, good, now);
    assert_eq!(cache.len(), 1);
    let (bytes, _) = asked("x", 1);
    assert_eq!(cache.get(&bytes, &special, now), Kept::Nothing);
    let mut signed = query;
    signed.edns.as_mut().unwrap().dnssec_ok = true;
    assert_eq!(cache.get(&bytes, &signed, now), Kept::Nothing, "signatures are asked for");
}

#[test]
fn the_longest_unused_goes_first() {
    let now = Instant::now();
    let mut cache = Cache::new(Limits { entries: 2, ..Limits::default() });
    keep(&mut cache, "a", 1, 60, now);
    keep(&mut cache, "b", 1, 60, now);
    assert!(given(&mut cache, "a", now).is_some());
    keep(&mut cache, "c", 1, 60, now);
    assert_eq!(given(&mut cache, "b", now), None);
    assert!(given(&mut cache, "a", now).is_some() && given(&mut cache, "c", now).is_some());
    assert_eq!((cache.len(), cache.evicted()), (2, 1));
}

proptest! {
    #[test]
    fn bounds_hold_and_bytes_are_counted(
        steps in proptest::collection::vec(("[a-e]{1,2}", 0_u8..200, 0_u32..100, 0_u64..40), 1..120),
    ) {
        let limits = Limits { entries: 8, bytes: 20_000, ..Limits::default() };
        let mut cache = Cache::new(limits);
        let mut now = Instant::now();
        for (name, addresses, ttl, wait) in steps {
            now += Duration::from_secs(wait);
            keep(&mut cache, &name, addresses, ttl, now);
            given(&mut cache, &name, now);
            prop_assert!(cache.len() <= limits.entries);
            prop_assert!(cache.bytes() <= limits.bytes);
            let real: usize = cache.entries.iter().map(|(key, entry)| entry.size(key)).sum();
            prop_assert_eq!(real, cache.bytes());
            prop_assert_eq!(cache.order.len(), cache.len());
        }
    }
}
