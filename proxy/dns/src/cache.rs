//! Replies of resolvers that are kept: fresh ones for as long as they live, old ones for when the resolvers fail (RFC 8767). Bounded
//! in number and in bytes; the longest unused goes first. It must not know how a reply is got.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::wire::{self, Name, Query, Reply};

#[cfg(test)]
mod tests;

/// How long replies are kept, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The least lifetime: 5 s. A lifetime of 0 would make each connection of an application a query.
    pub least: Duration,
    /// The greatest lifetime: 1 h.
    pub greatest: Duration,
    /// How long it is remembered, at most, that there is nothing: 60 s.
    pub negative: Duration,
    /// How long after its end a reply may still be given when the resolvers fail: a day.
    pub stale: Duration,
    /// How long the resolvers are not asked again for a name for which they failed: 30 s (RFC 8767 section 5).
    pub retry: Duration,
    /// Replies.
    pub entries: usize,
    /// Bytes of replies and names.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(5),
            greatest: Duration::from_hours(1),
            negative: Duration::from_mins(1),
            stale: Duration::from_hours(24),
            retry: Duration::from_secs(30),
            entries: 4096,
            bytes: 4 << 20,
        }
    }
}

/// Lifetime that is given with an old reply, in seconds (RFC 8767 section 4).
const STALE_TTL: u32 = 30;

/// What one entry costs besides its bytes.
const OVERHEAD: usize = 160;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    name: Name,
    kind: u16,
    class: u16,
    /// What else of a query changes its answer.
    dnssec_ok: bool,
    checking_disabled: bool,
}

impl Key {
    fn of(query: &Query) -> Self {
        Self {
            name: query.name.clone(),
            kind: query.kind,
            class: query.class,
            dnssec_ok: query.edns.is_some_and(|edns| edns.dnssec_ok),
            checking_disabled: query.checking_disabled(),
        }
    }
}

#[derive(Debug)]
struct Entry {
    /// Without EDNS.
    message: Box<[u8]>,
    reply: Reply,
    stored: Instant,
    fresh: Instant,
    stale: Instant,
    retry: Option<Instant>,
    turn: u64,
}

impl Entry {
    fn size(&self, key: &Key) -> usize {
        OVERHEAD + key.name.wire().len() * 2 + self.message.len() + self.reply.ttls.len() * 2
    }
}

/// What there is for a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// An answer that is still good.
    Fresh(Vec<u8>),
    /// One that has outlived its time.
    Stale {
        /// The answer.
        message: Vec<u8>,
        /// Whether the resolvers are to be asked first.
        ask: Ask,
    },
    /// Nothing.
    Nothing,
}

/// Whether it is time to ask the resolvers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Yes.
    First,
    /// They have failed just now.
    NotNow,
}

/// The replies that are kept.
#[derive(Debug)]
pub struct Cache {
    limits: Limits,
    entries: HashMap<Key, Entry>,
    order: BTreeMap<u64, Key>,
    turn: u64,
    bytes: usize,
    evicted: u64,
}

impl Cache {
    /// Empty.
    pub fn new(limits: Limits) -> Self {
        Self { limits, entries: HashMap::new(), order: BTreeMap::new(), turn: 0, bytes: 0, evicted: 0 }
    }

    /// The answer to `query`, whose bytes are `asked`, if there is one.
    pub fn get(&mut self, asked: &[u8], query: &Query, now: Instant) -> Kept {
        let key = Key::of(query);
        let Some(entry) = self.entries.get_mut(&key).filter(|_| is_cacheable(query)) else {
            return Kept::Nothing;
        };
        if now >= entry.stale {
            self.remove(&key);
            return Kept::Nothing;
        }
        self.turn += 1;
        self.order.remove(&entry.turn);
        entry.turn = self.turn;
        self.order.insert(self.turn, key);
        let mut message = wire::with_edns(&entry.message, query);
        let limits = self.limits;
        if now < entry.fresh {
            let age = seconds(now.saturating_duration_since(entry.stored));
            wire::patch(&mut message, &entry.reply, asked, query, |ttl| {
                clamp(ttl, &limits).saturating_sub(age).max(1)
            });
            return Kept::Fresh(message);
        }
        wire::patch(&mut message, &entry.reply, asked, query, |_| STALE_TTL);
        let ask = if entry.retry.is_some_and(|retry| now < retry) { Ask::NotNow } else { Ask::First };
        Kept::Stale { message, ask }
    }

    /// Keeps a reply, if it may be kept.
    pub fn put(&mut self, query: &Query, message: &[u8], reply: Reply, now: Instant) {
        let Some(body) = reply.body_end.and_then(|end| message.get(..end)) else { return };
        if !is_cacheable(query) || !reply.is_answer() || reply.truncated {
            return;
        }
        let lifetime = if reply.is_negative() {
            // A reply that does not say how long is not kept (RFC 2308 section 5).
            let Some(ttl) = reply.negative_ttl else { return };
            Duration::from_secs(ttl.into()).clamp(self.limits.least, self.limits.negative)
        } else {
            let Some(ttl) = reply.least_ttl else { return };
            Duration::from_secs(clamp(ttl, &self.limits).into())
        };
        let mut body: Box<[u8]> = body.into();
        if reply.has_edns {
            let additional = wire::u16_at(&body, 10).unwrap_or_default();
            wire::set(&mut body, 10, additional.saturating_sub(1));
        }
        let key = Key::of(query);
        self.remove(&key);
        self.turn += 1;
        let fresh = now + lifetime;
        let entry = Entry {
            message: body,
            reply,
            stored: now,
            fresh,
            stale: fresh + self.limits.stale,
            retry: None,
            turn: self.turn,
        };
        let size = entry.size(&key);
        if size > self.limits.bytes / 8 || self.limits.entries == 0 {
            return;
        }
        while self.entries.len() >= self.limits.entries || self.bytes + size > self.limits.bytes {
            let Some(oldest) = self.order.first_key_value().map(|(_, key)| key.clone()) else { break };
            self.remove(&oldest);
            self.evicted += 1;
        }
        self.bytes += size;
        self.order.insert(self.turn, key.clone());
        self.entries.insert(key, entry);
    }

    /// The resolvers have failed for `query`: they are given time.
    pub fn failed(&mut self, query: &Query, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&Key::of(query)) {
            entry.retry = Some(now + self.limits.retry);
        }
    }

    /// A lifetime as it is given to clients.
    pub fn ttl(&self, ttl: u32) -> u32 {
        clamp(ttl, &self.limits)
    }

    /// How many replies there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many had to go before their time.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes = self.bytes.saturating_sub(entry.size(key));
            self.order.remove(&entry.turn);
        }
    }
}

/// Whether what is answered depends on nothing but what the key has. Without recursion a resolver tells what it happens to know.
fn is_cacheable(query: &Query) -> bool {
    query.recursion_desired() && !query.edns.is_some_and(|edns| edns.has_options)
}

fn clamp(ttl: u32, limits: &Limits) -> u32 {
    ttl.clamp(seconds(limits.least), seconds(limits.greatest).max(seconds(limits.least)))
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
