//! How long a TLS session may be resumed. A resumed handshake verifies no certificate, so a session must not outlive
//! what was verified: it ends with the trust bundle, with the own certificate, with the first peer certificate that
//! expires, and after ten minutes. The pure part of both session stores; it must not know rustls.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seconds that a session may be resumed at most.
const MAX_AGE: u64 = 600;

/// The earliest end of the peer certificates that were verified since the sessions were last dropped.
#[derive(Debug)]
pub(crate) struct Limits {
    earliest_end: AtomicU64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { earliest_end: AtomicU64::new(u64::MAX) }
    }
}

impl Limits {
    /// A certificate that ends at `not_after` (Unix seconds) was verified.
    pub(crate) fn saw(&self, not_after: u64) {
        self.earliest_end.fetch_min(not_after, Ordering::AcqRel);
    }

    /// Whether one of them has ended; if so, the next certificate starts anew.
    fn ended(&self, now: u64) -> bool {
        let earliest = self.earliest_end.load(Ordering::Acquire);
        now >= earliest
            && self
                .earliest_end
                .compare_exchange(earliest, u64::MAX, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }
}

/// Sessions by key, oldest first, at most `capacity`. `E` says under which bundle and certificate they were made.
#[derive(Debug)]
pub(crate) struct Sessions<E, K, V> {
    epoch: E,
    entries: VecDeque<Entry<K, V>>,
    capacity: usize,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    made: u64,
}

impl<E: PartialEq, K: PartialEq, V> Sessions<E, K, V> {
    pub(crate) fn new(epoch: E, capacity: usize) -> Self {
        Self { epoch, entries: VecDeque::new(), capacity }
    }

    /// Drops what must not be resumed any more. Call it first under the lock, with the epoch of now.
    pub(crate) fn refresh(&mut self, epoch: E, limits: &Limits, now: u64) {
        if epoch != self.epoch || limits.ended(now) {
            self.entries.clear();
            self.epoch = epoch;
        }
        while self.entries.front().is_some_and(|oldest| now.saturating_sub(oldest.made) >= MAX_AGE) {
            self.entries.pop_front();
        }
    }

    /// Keeps a session; the oldest one goes when there is no room.
    pub(crate) fn put(&mut self, key: K, value: V, now: u64) {
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { key, value, made: now });
    }

    /// Takes the newest session with this key: a ticket is used once (RFC 8446, appendix C.4).
    pub(crate) fn take(&mut self, matches: impl Fn(&K) -> bool) -> Option<V> {
        let at = self.entries.iter().rposition(|entry| matches(&entry.key))?;
        self.entries.remove(at).map(|entry| entry.value)
    }

    pub(crate) fn newest(&self, matches: impl Fn(&K) -> bool) -> Option<&V> {
        self.entries.iter().rev().find(|entry| matches(&entry.key)).map(|entry| &entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Sessions<u8, u8, &'static str> {
        let mut sessions = Sessions::new(0, 2);
        sessions.put(1, "one", 100);
        sessions.put(2, "two", 200);
        sessions
    }

    #[test]
    fn a_session_is_taken_once() {
        let mut sessions = full();
        assert_eq!(sessions.take(|key| *key == 1), Some("one"));
        assert_eq!(sessions.take(|key| *key == 1), None);
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut sessions = full();
        sessions.put(3, "three", 300);
        assert_eq!(sessions.newest(|key| *key == 1), None);
        assert_eq!(sessions.newest(|key| *key == 2), Some(&"two"));
    }

    #[test]
    fn a_new_bundle_or_certificate_drops_all() {
        let mut sessions = full();
        sessions.refresh(1, &Limits::default(), 200);
        assert_eq!(sessions.take(|_| true), None);
    }

    #[test]
    fn the_first_peer_certificate_that_ends_drops_all_once() {
        let (mut sessions, limits) = (full(), Limits::default());
        limits.saw(1000);
        limits.saw(250);
        sessions.refresh(0, &limits, 249);
        assert_eq!(sessions.newest(|key| *key == 2), Some(&"two"));
        sessions.refresh(0, &limits, 250);
        assert_eq!(sessions.take(|_| true), None);
        sessions.put(4, "four", 260);
        sessions.refresh(0, &limits, 261);
        assert_eq!(sessions.take(|_| true), Some("four"));
    }

    #[test]
    fn a_session_ends_by_age() {
        let mut sessions = full();
        sessions.refresh(0, &Limits::default(), 100 + MAX_AGE);
        assert_eq!(sessions.newest(|key| *key == 1), None);
        assert_eq!(sessions.newest(|key| *key == 2), Some(&"two"));
    }
}
