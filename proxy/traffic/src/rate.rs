//! So many requests in so much time, with a bucket for each key and a bound on the buckets. It must not know who asks: keys come as
//! hashes.
//!
//! A bucket is one number, the time at which it would be full again (generic cell rate algorithm, ITU-T I.371): asking is a comparison
//! and an addition. A bucket that is full is like none at all, so forgetting it loses nothing: that is what makes room for new keys.
//! Where none of those that are looked at is full, new keys share one bucket (the overflow) until there is room.

mod headers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mesh_model::traffic::RateLimit;

pub use self::headers::{policy_header, quota_header, rate_header, retry_after, standing_header};

/// Buckets of one limit.
pub const KEYS: usize = 10_000;

/// Buckets that are looked at to make room for one.
const LOOKS: usize = 8;

/// A limit as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds from one request to the next.
    interval: u64,
    /// Nanoseconds that a full bucket is ahead.
    depth: u64,
}

impl Rate {
    /// Of a policy. No request at all in any time is a bucket that is never full.
    pub fn of(limit: &RateLimit) -> Self {
        let per = u64::try_from(limit.per.as_nanos()).unwrap_or(u64::MAX);
        let interval = per / u64::from(limit.requests.max(1));
        let depth = match limit.requests {
            0 => 0,
            _ => interval.saturating_mul(u64::from(limit.burst.max(1))),
        };
        Self { interval: interval.max(1), depth }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may go on.
    pub outcome: Outcome,
    /// Requests that would go on at once now.
    pub remaining: u32,
    /// Until the bucket is full again.
    pub reset: Duration,
    /// Which bucket it was.
    pub bucket: Bucket,
}

/// Whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It may.
    Allowed,
    /// It may not, and again only after so long.
    Refused(Duration),
}

/// Which bucket was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// That of the key.
    Own,
    /// The one for keys that have no room.
    Overflow,
}

/// The buckets of one limit.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    start: Instant,
    most: usize,
    index: HashMap<u64, usize>,
    buckets: Vec<(u64, u64)>,
    overflow: u64,
    hand: usize,
}

impl Limiter {
    /// With at most `most` buckets beside the overflow.
    pub fn new(rate: Rate, most: usize, now: Instant) -> Self {
        Self { rate, start: now, most, index: HashMap::new(), buckets: Vec::new(), overflow: 0, hand: 0 }
    }

    /// Asks for one request of `key`, and counts it if it may go on.
    pub fn ask(&mut self, key: u64, now: Instant) -> Verdict {
        let at = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let rate = self.rate;
        match self.bucket(key, at) {
            Some(full_at) => ask(rate, full_at, at, Bucket::Own),
            None => ask(rate, &mut self.overflow, at, Bucket::Overflow),
        }
    }

    /// Buckets there are.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether no key has asked yet.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    fn bucket(&mut self, key: u64, at: u64) -> Option<&mut u64> {
        let place = match self.index.get(&key) {
            Some(place) => *place,
            None => self.make_room(key, at)?,
        };
        self.buckets.get_mut(place).map(|(_, full_at)| full_at)
    }

    /// A place for a new key: a new one, or that of a bucket that is full.
    fn make_room(&mut self, key: u64, at: u64) -> Option<usize> {
        if self.buckets.len() < self.most {
            self.buckets.push((key, 0));
            self.index.insert(key, self.buckets.len() - 1);
            return Some(self.buckets.len() - 1);
        }
        for _ in 0..LOOKS.min(self.most) {
            self.hand = (self.hand + 1) % self.most;
            let Some(bucket) = self.buckets.get_mut(self.hand).filter(|(_, full_at)| *full_at <= at) else {
                continue;
            };
            self.index.remove(&bucket.0);
            *bucket = (key, 0);
            self.index.insert(key, self.hand);
            return Some(self.hand);
        }
        None
    }
}

fn ask(rate: Rate, full_at: &mut u64, at: u64, bucket: Bucket) -> Verdict {
    let next = (*full_at).max(at).saturating_add(rate.interval);
    let allowed = next - at <= rate.depth;
    if allowed {
        *full_at = next;
    }
    let ahead = (*full_at).saturating_sub(at);
    let remaining = rate.depth.saturating_sub(ahead) / rate.interval;
    let outcome = if allowed {
        Outcome::Allowed
    } else {
        Outcome::Refused(Duration::from_nanos((next - at).saturating_sub(rate.depth)))
    };
    Verdict {
        outcome,
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        reset: Duration::from_nanos(ahead),
        bucket,
    }
}
