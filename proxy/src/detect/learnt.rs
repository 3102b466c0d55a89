//! Who speaks first, as it was seen before: it says when to dial and how long to wait for the client, and never what the bytes are.
//! So what was learnt wrongly costs time and nothing else. Pure: it must not know clocks; bounded, and forgotten after a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Who speaks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// The client, as in HTTP and TLS.
    Client,
    /// The server, as in MySQL, SMTP and SSH.
    Server,
}

/// What was seen of each destination.
#[derive(Debug)]
pub struct Learnt<K> {
    seen: HashMap<K, (Opener, Instant)>,
    bound: usize,
    life: Duration,
}

/// Whether a destination had to be forgotten for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There was room.
    Enough,
    /// The bound is reached; the one that was seen longest ago made room.
    Made,
}

impl<K: Hash + Eq + Clone> Learnt<K> {
    /// Of at most `bound` destinations, each for `life` after it was last seen.
    pub fn new(bound: usize, life: Duration) -> Self {
        Self { seen: HashMap::new(), bound: bound.max(1), life }
    }

    /// Who is to speak first there, if that is known.
    pub fn opener(&self, destination: &K, now: Instant) -> Option<Opener> {
        let (opener, seen) = self.seen.get(destination)?;
        (now.saturating_duration_since(*seen) < self.life).then_some(*opener)
    }

    /// Notes who spoke first.
    pub fn note(&mut self, destination: &K, opener: Opener, now: Instant) -> Room {
        if let Some(seen) = self.seen.get_mut(destination) {
            *seen = (opener, now);
            return Room::Enough;
        }
        let mut room = Room::Enough;
        if self.seen.len() >= self.bound {
            let life = self.life;
            self.seen.retain(|_, (_, seen)| now.saturating_duration_since(*seen) < life);
        }
        if self.seen.len() >= self.bound {
            let oldest = self.seen.iter().min_by_key(|(_, (_, seen))| *seen).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.seen.remove(&oldest);
            }
            room = Room::Made;
        }
        self.seen.insert(destination.clone(), (opener, now));
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_mins(1);

    #[test]
    fn what_was_seen_last_counts_for_a_while() {
        let (mut learnt, start) = (Learnt::new(8, LIFE), Instant::now());
        assert_eq!(learnt.opener(&1, start), None);
        learnt.note(&1, Opener::Server, start);
        assert_eq!(learnt.opener(&1, start + LIFE / 2), Some(Opener::Server));
        learnt.note(&1, Opener::Client, start + LIFE / 2);
        assert_eq!(learnt.opener(&1, start + LIFE), Some(Opener::Client));
        assert_eq!(learnt.opener(&1, start + LIFE * 2), None);
        assert_eq!(learnt.opener(&2, start), None);
    }

    #[test]
    fn beyond_the_bound_the_oldest_is_forgotten() {
        let (mut learnt, start) = (Learnt::new(2, LIFE), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(learnt.note(&1, Opener::Server, at(1)), Room::Enough);
        assert_eq!(learnt.note(&2, Opener::Server, at(2)), Room::Enough);
        learnt.note(&1, Opener::Server, at(3));
        assert_eq!(learnt.note(&3, Opener::Client, at(4)), Room::Made);
        assert_eq!(learnt.opener(&2, at(5)), None);
        assert_eq!(
            (learnt.opener(&1, at(5)), learnt.opener(&3, at(5))),
            (Some(Opener::Server), Some(Opener::Client))
        );
        // What has expired makes room without anybody's loss.
        assert_eq!(learnt.note(&4, Opener::Client, at(200)), Room::Enough);
    }
}
