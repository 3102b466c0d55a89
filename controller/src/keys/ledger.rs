//! Which URLs are due, and which keys are good: time is an argument. It must not know how anything is fetched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Wanted;
use crate::index::keys::{Fetched, FetchedKeys};

/// Most URLs.
pub const MAX_URLS: usize = 256;

/// When keys are fetched, and for how long they are good.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// After a fetch that succeeded.
    pub refresh: Duration,
    /// After one that failed; twice as long after each further one, up to `refresh`.
    pub retry: Duration,
    /// Keys are good for so long after they were fetched.
    pub life: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { refresh: Duration::from_mins(5), retry: Duration::from_secs(5), life: Duration::from_hours(1) }
    }
}

/// What is known of each URL.
#[derive(Debug)]
pub struct Ledger {
    times: Times,
    entries: BTreeMap<Arc<str>, Entry>,
    /// URLs for which there is no room.
    beyond: Wanted,
}

#[derive(Debug)]
struct Entry {
    good: Option<(Arc<str>, Instant)>,
    trouble: Option<Arc<str>>,
    failures: u32,
    due: Instant,
    running: bool,
}

impl Entry {
    fn is_good(&self, now: Instant, life: Duration) -> Option<&Arc<str>> {
        self.good.as_ref().filter(|(_, since)| now < *since + life).map(|(jwks, _)| jwks)
    }
}

impl Ledger {
    /// Nothing is known yet.
    pub fn new(times: Times) -> Self {
        Self { times, entries: BTreeMap::new(), beyond: Wanted::new() }
    }

    /// These are wanted from now on, and no others.
    pub fn want(&mut self, wanted: &Wanted, now: Instant) {
        self.entries.retain(|uri, _| wanted.contains(uri));
        self.beyond.clear();
        for uri in wanted {
            if self.entries.contains_key(uri) {
                continue;
            }
            if self.entries.len() >= MAX_URLS {
                self.beyond.insert(Arc::clone(uri));
                continue;
            }
            let entry = Entry { good: None, trouble: None, failures: 0, due: now, running: false };
            self.entries.insert(Arc::clone(uri), entry);
        }
    }

    /// Up to so many that are due; they are under way from now on.
    pub fn begin(&mut self, now: Instant, room: usize) -> Vec<Arc<str>> {
        let due = self.entries.iter_mut().filter(|(_, entry)| !entry.running && entry.due <= now);
        let begun = due.take(room).map(|(uri, entry)| {
            entry.running = true;
            Arc::clone(uri)
        });
        begun.collect()
    }

    /// How a fetch ended: with keys as proxies get them, or why not.
    pub fn ended(&mut self, uri: &str, result: Result<String, String>, now: Instant) {
        let Some(entry) = self.entries.get_mut(uri) else { return };
        entry.running = false;
        match result {
            Ok(jwks) => {
                entry.good = Some((jwks.into(), now));
                (entry.trouble, entry.failures) = (None, 0);
                entry.due = now + self.times.refresh;
            }
            Err(why) => {
                let factor = 1_u32.checked_shl(entry.failures).unwrap_or(u32::MAX);
                entry.failures = (entry.failures + 1).min(16);
                entry.trouble = Some(why.into());
                entry.due = now + self.times.retry.saturating_mul(factor).min(self.times.refresh);
            }
        }
    }

    /// Nobody waits for what is under way any more.
    pub fn broke_off(&mut self, now: Instant) {
        let running = self.entries.iter().filter(|(_, entry)| entry.running);
        let running: Vec<_> = running.map(|(uri, _)| Arc::clone(uri)).collect();
        for uri in running {
            self.ended(&uri, Err("the fetch was broken off by a fault of the controller".to_owned()), now);
        }
    }

    /// What is known now.
    pub fn known(&self, now: Instant) -> FetchedKeys {
        let known = self.entries.iter().filter(|(_, entry)| entry.good.is_some() || entry.trouble.is_some());
        let known = known.map(|(uri, entry)| {
            let jwks = entry.is_good(now, self.times.life).cloned();
            (Arc::clone(uri), Fetched { jwks, trouble: entry.trouble.clone() })
        });
        let full = || Some(format!("objects name more than {MAX_URLS} URLs of keys").into());
        let beyond = self.beyond.iter().map(|uri| (Arc::clone(uri), Fetched { jwks: None, trouble: full() }));
        known.chain(beyond).collect()
    }

    /// When something is to be done next: a fetch, or keys that end.
    pub fn wake(&self, now: Instant) -> Option<Instant> {
        let due = self.entries.values().filter(|entry| !entry.running).map(|entry| entry.due);
        let ends = self.entries.values().filter_map(|entry| Some(entry.good.as_ref()?.1 + self.times.life));
        due.chain(ends.filter(|end| *end > now)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        refresh: Duration::from_mins(5),
        retry: Duration::from_secs(5),
        life: Duration::from_hours(1),
    };

    fn wanted(uris: &[&str]) -> Wanted {
        uris.iter().map(|uri| Arc::from(*uri)).collect()
    }

    fn at<'a>(known: &'a FetchedKeys, uri: &str) -> (Option<&'a str>, Option<&'a str>) {
        let fetched = known.get(uri);
        (fetched.and_then(|one| one.jwks.as_deref()), fetched.and_then(|one| one.trouble.as_deref()))
    }

    // T23, T47
    #[test]
    fn the_last_good_keys_count_for_their_life_and_then_there_are_none() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut ledger = Ledger::new(TIMES);
        ledger.want(&wanted(&["a"]), start);
        assert_eq!(at(&ledger.known(start), "a"), (None, None), "not asked yet");
        assert_eq!(ledger.begin(start, 4).len(), 1);
        assert!(ledger.begin(start, 4).is_empty(), "it is under way");
        ledger.ended("a", Ok("one".to_owned()), start);
        assert_eq!(ledger.wake(start), Some(after(300)));
        assert_eq!(ledger.begin(after(300), 4).len(), 1);
        ledger.ended("a", Err("down".to_owned()), after(300));
        assert_eq!(at(&ledger.known(after(3599)), "a"), (Some("one"), Some("down")));
        assert_eq!(at(&ledger.known(after(3600)), "a"), (None, Some("down")));
        ledger.ended("a", Ok("two".to_owned()), after(4000));
        assert_eq!(at(&ledger.known(after(4000)), "a"), (Some("two"), None));
    }

    #[test]
    fn failures_are_tried_again_less_and_less_often() {
        let start = Instant::now();
        let mut ledger = Ledger::new(TIMES);
        ledger.want(&wanted(&["a"]), start);
        let mut now = start;
        let mut waits = vec![];
        for _ in 0..40 {
            assert_eq!(ledger.begin(now, 1).len(), 1);
            ledger.ended("a", Err("down".to_owned()), now);
            let next = ledger.wake(now).unwrap();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits[..7], [5, 10, 20, 40, 80, 160, 300]);
        assert!(waits[7..].iter().all(|wait| *wait == 300), "{waits:?}");
    }

    #[test]
    fn what_nobody_wants_any_more_is_forgotten_and_there_is_a_bound() {
        let start = Instant::now();
        let mut ledger = Ledger::new(TIMES);
        ledger.want(&wanted(&["a"]), start);
        ledger.begin(start, 1);
        ledger.want(&wanted(&["b"]), start);
        ledger.ended("a", Ok("late".to_owned()), start);
        assert_eq!(at(&ledger.known(start), "a"), (None, None));
        assert_eq!(ledger.begin(start, 1), [Arc::from("b")]);
        let many: Vec<String> = (0..=MAX_URLS).map(|n| format!("{n:04}")).collect();
        ledger.want(&many.iter().map(|uri| Arc::from(uri.as_str())).collect(), start);
        assert_eq!(ledger.begin(start, 1000).len(), MAX_URLS);
        let known = ledger.known(start);
        assert_eq!(at(&known, &many[MAX_URLS]), (None, Some("objects name more than 256 URLs of keys")));
    }
}
