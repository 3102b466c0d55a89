//! How often anybody may ask. Pure: time is an argument. It must not know what is asked for.
//!
//! A place is an address; an identity is limited at each place by itself, because the hundred pods of one service account that start
//! together are no abuse, and because a thief of one token has one place.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Requests a second, and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

/// One identity at one place.
pub(crate) const IDENTITY: Rate = Rate { per_second: 1, burst: 10 };
/// Tokens for the applications of one identity at one place: a sidecar keeps those that are still good for a while.
pub(crate) const TOKEN: Rate = Rate { per_second: 20, burst: 100 };
/// One address, whoever it says that it is: before anything is read.
pub(crate) const PLACE: Rate = Rate { per_second: 100, burst: 200 };
/// All together: what one processor signs and checks with ease.
pub(crate) const ALL: Rate = Rate { per_second: 500, burst: 1000 };
/// Most that are remembered of each kind.
const CAPACITY: usize = 16_384;

const MILLIS: u64 = 1000;

/// Token buckets by key. Those that are full again are forgotten; when there is no place for another one, it is refused: a flood of
/// new names must not make room for itself.
#[derive(Debug)]
pub(crate) struct Limits<K> {
    rate: Rate,
    capacity: usize,
    buckets: HashMap<K, Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Thousandths of a request that may come now.
    left: u64,
    /// When that was so, milliseconds.
    at: u64,
    told: u64,
}

/// Too soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSoon {
    /// When it is worth while to ask again.
    pub(crate) retry: Duration,
    /// Whether this is worth a line: once a second for each key.
    pub(crate) is_news: bool,
}

impl<K: Eq + Hash> Limits<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, capacity: CAPACITY, buckets: HashMap::new() }
    }

    /// One more request of `key` at `now` (milliseconds of a clock that only goes forward).
    pub(crate) fn admit(&mut self, key: K, now: u64) -> Result<(), TooSoon> {
        let rate = self.rate;
        if self.buckets.len() >= self.capacity && !self.buckets.contains_key(&key) {
            self.buckets.retain(|_, bucket| bucket.filled(rate, now) < rate.full());
            if self.buckets.len() >= self.capacity {
                return Err(TooSoon { retry: Duration::from_secs(1), is_news: false });
            }
        }
        let fresh = Bucket { left: rate.full(), at: now, told: 0 };
        let bucket = self.buckets.entry(key).or_insert(fresh);
        bucket.left = bucket.filled(rate, now);
        bucket.at = now;
        if bucket.left >= MILLIS {
            bucket.left -= MILLIS;
            return Ok(());
        }
        let wait = (MILLIS - bucket.left).div_ceil(u64::from(rate.per_second).max(1));
        let is_news = bucket.told == 0 || now >= bucket.told + MILLIS;
        if is_news {
            bucket.told = now.max(1);
        }
        Err(TooSoon { retry: Duration::from_millis(wait), is_news })
    }
}

impl Rate {
    fn full(self) -> u64 {
        u64::from(self.burst) * MILLIS
    }
}

impl Bucket {
    fn filled(&self, rate: Rate, now: u64) -> u64 {
        // A request a second is a thousandth of one each millisecond.
        let gained = now.saturating_sub(self.at).saturating_mul(u64::from(rate.per_second));
        self.left.saturating_add(gained).min(rate.full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_and_then_one_a_second() {
        let mut limits = Limits::new(IDENTITY);
        assert!((0..10).all(|_| limits.admit("cart", 0).is_ok()));
        let refused = limits.admit("cart", 0).unwrap_err();
        assert_eq!((refused.retry, refused.is_news), (Duration::from_secs(1), true));
        assert!(limits.admit("web", 0).is_ok(), "another one is not concerned");
        assert!(!limits.admit("cart", 500).unwrap_err().is_news, "one line a second");
        assert_eq!(limits.admit("cart", 500).unwrap_err().retry, Duration::from_millis(500));
        assert!(limits.admit("cart", 1_000).is_ok());
        let admitted = (1_001..61_000).filter(|now| limits.admit("cart", *now).is_ok()).count();
        assert_eq!(admitted, 59);
    }

    #[test]
    fn a_flood_of_names_is_refused_and_leaves_those_alone_who_are_known() {
        let mut limits = Limits { capacity: 2, ..Limits::new(IDENTITY) };
        limits.admit(1, 0).unwrap();
        limits.admit(2, 0).unwrap();
        assert!(limits.admit(3, 0).is_err());
        assert!(limits.admit(1, 0).is_ok());
        assert!(limits.admit(3, 10_000).is_ok(), "those that are full again are forgotten");
        assert!(limits.buckets.len() <= 2);
    }
}
