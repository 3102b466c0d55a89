//! How much one caller may ask of this controller: streams of a workload and how often it opens them ([`Streams`]), Hellos of one identity that
//! are read at a time ([`Openings`]), and what one stream may say ([`Hearing`]). Decisions are pure, time is an argument: the simulation of
//! very many proxies asks the same ones. It must not know what is asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_model::spiffe::SpiffeId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Streams of one workload at a time: one, and those of its former processes that nobody has missed yet.
pub const STREAMS_OF_A_WORKLOAD: usize = 8;
/// Streams that a workload opens in a row; after that one at a time, each so much later.
pub const OPENED_IN_A_ROW: u32 = 30;
/// As above.
pub const OPENED_EACH: Duration = Duration::from_secs(2);
/// Hellos of one identity that are read at a time. The largest is some megabytes, so this bounds what an identity can make us hold.
pub const OPENINGS_OF_AN_IDENTITY: usize = 8;
/// Messages that a stream may say in a row; after that one at a time, each so much later: they wait where they come from.
pub const SAID_IN_A_ROW: u32 = 1_000;
/// As above.
pub const SAID_EACH: Duration = Duration::from_millis(10);
/// Acks in a row that confirm nothing; after that one each second, or the stream ends.
pub const IDLE_ACKS: u32 = 1_000;
/// Workloads without a stream whose openings are remembered.
const REMEMBERED: usize = 20_000;

/// So many in a row, and then one at a time.
#[derive(Debug, Clone)]
struct Bucket {
    /// When all that was taken has come back: a bucket is full at and after that time.
    full_at: Duration,
    each: Duration,
    burst: u32,
}

impl Bucket {
    const fn new(burst: u32, each: Duration) -> Self {
        Self { full_at: Duration::ZERO, each, burst }
    }

    /// Takes one, or says how long until there is one.
    fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + self.each;
        let most = now + self.each * self.burst;
        let wait = full_at.saturating_sub(most);
        if wait.is_zero() {
            self.full_at = full_at;
            return Ok(());
        }
        Err(wait)
    }

    fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}

/// Why there is no place for one more stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// All places are taken.
    #[error("this controller serves as many proxies as it may; try another one")]
    All,
    /// The workload has its share.
    #[error(
        "the workload has {STREAMS_OF_A_WORKLOAD} streams, more are not served; is it running more than once?"
    )]
    Workload,
    /// The workload opens one stream after the other.
    #[error("the workload opens streams too often; connect again in {} ms", .0.as_millis())]
    Often(Duration),
}

/// Who a workload is, by namespace and name.
pub type Key = (Arc<str>, Arc<str>);

/// All streams, by workload.
#[derive(Debug)]
pub struct Streams {
    limit: usize,
    open: usize,
    workloads: HashMap<Key, OfWorkload>,
}

#[derive(Debug)]
struct OfWorkload {
    streams: usize,
    opened: Bucket,
}

impl Streams {
    /// For at most so many.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: 0, workloads: HashMap::new() }
    }

    /// One more, if there is room.
    pub fn enter(&mut self, workload: &Key, now: Duration) -> Result<(), Full> {
        if self.open >= self.limit {
            return Err(Full::All);
        }
        if self.workloads.len() >= self.limit.saturating_add(REMEMBERED) {
            self.workloads.retain(|_, of| of.streams > 0 || !of.opened.is_full(now));
        }
        let fresh = || OfWorkload { streams: 0, opened: Bucket::new(OPENED_IN_A_ROW, OPENED_EACH) };
        let of = self.workloads.entry(workload.clone()).or_insert_with(fresh);
        if of.streams >= STREAMS_OF_A_WORKLOAD {
            return Err(Full::Workload);
        }
        of.opened.take(now).map_err(Full::Often)?;
        of.streams += 1;
        self.open += 1;
        Ok(())
    }

    /// One less.
    pub fn leave(&mut self, workload: &Key, now: Duration) {
        let Some(of) = self.workloads.get_mut(workload) else { return };
        of.streams = of.streams.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
        // Whoever opened little is forgotten; of the others some are kept in mind.
        if of.streams == 0 && (of.opened.is_full(now) || self.workloads.len() > self.open + REMEMBERED) {
            self.workloads.remove(workload);
        }
    }

    /// Workloads that are kept in mind.
    pub fn remembered(&self) -> usize {
        self.workloads.len()
    }
}

/// Whose turn it is to say Hello. Clones are handles of the same.
#[derive(Debug, Clone, Default)]
pub struct Openings(Arc<Mutex<HashMap<SpiffeId, Arc<Semaphore>>>>);

/// A turn; gives it back when dropped.
#[derive(Debug)]
pub struct Turn {
    openings: Openings,
    identity: SpiffeId,
    permit: Option<OwnedSemaphorePermit>,
}

impl Openings {
    /// Waits for a turn of that identity, in order.
    pub async fn turn(&self, identity: &SpiffeId) -> Turn {
        let turns = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Semaphore::new(OPENINGS_OF_AN_IDENTITY));
            Arc::clone(all.entry(identity.clone()).or_insert_with(fresh))
        };
        // Made before the wait, so that whoever stops waiting is forgotten too.
        let mut turn = Turn { openings: self.clone(), identity: identity.clone(), permit: None };
        // Nobody closes it.
        turn.permit = turns.acquire_owned().await.ok();
        turn
    }

    /// Identities of which somebody says Hello.
    pub fn identities(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.permit = None;
        let mut all = self.openings.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map holds it: nobody has a turn, and nobody waits.
        if all.get(&self.identity).is_some_and(|turns| Arc::strong_count(turns) == 1) {
            all.remove(&self.identity);
        }
    }
}

/// What one stream may say.
#[derive(Debug)]
pub struct Hearing {
    said: Bucket,
    idle: Bucket,
}

impl Default for Hearing {
    fn default() -> Self {
        Self {
            said: Bucket::new(SAID_IN_A_ROW, SAID_EACH),
            idle: Bucket::new(IDLE_ACKS, Duration::from_secs(1)),
        }
    }
}

impl Hearing {
    /// A message was heard. `Err`: the next one is not, for so long.
    pub fn heard(&mut self, now: Duration) -> Result<(), Duration> {
        self.said.take(now)
    }

    /// An ack confirmed nothing. `false`: it was one too many.
    pub fn idle_ack(&mut self, now: Duration) -> bool {
        self.idle.take(now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use mesh_model::spiffe::TrustDomain;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> Key {
        ("shop".into(), name.into())
    }

    #[test]
    fn a_bucket_gives_a_burst_and_then_one_at_a_time() {
        let mut bucket = Bucket::new(3, SECOND);
        let now = 10 * SECOND;
        assert!((0..3).all(|_| bucket.take(now).is_ok()));
        assert_eq!(bucket.take(now), Err(SECOND));
        assert_eq!(bucket.take(now + SECOND / 4), Err(SECOND * 3 / 4));
        assert_eq!(bucket.take(now + SECOND), Ok(()));
        assert!(!bucket.is_full(now + SECOND) && bucket.is_full(now + 4 * SECOND));
    }

    #[test]
    fn a_workload_has_its_share_and_the_others_have_theirs() {
        let mut streams = Streams::new(10);
        assert!((0..STREAMS_OF_A_WORKLOAD).all(|_| streams.enter(&key("a"), SECOND).is_ok()));
        assert_eq!(streams.enter(&key("a"), SECOND), Err(Full::Workload));
        assert!(streams.enter(&key("b"), SECOND).is_ok() && streams.enter(&key("c"), SECOND).is_ok());
        assert_eq!(streams.enter(&key("d"), SECOND), Err(Full::All));
        streams.leave(&key("a"), SECOND);
        assert_eq!(streams.enter(&key("a"), SECOND), Ok(()));
    }

    #[test]
    fn whoever_comes_again_and_again_waits_longer_and_is_forgotten_later() {
        let (mut streams, a) = (Streams::new(10), key("a"));
        for _ in 0..OPENED_IN_A_ROW {
            streams.enter(&a, SECOND).unwrap();
            streams.leave(&a, SECOND);
        }
        assert_eq!(streams.enter(&a, SECOND), Err(Full::Often(OPENED_EACH)));
        streams.enter(&a, SECOND + OPENED_EACH).unwrap();
        streams.leave(&a, SECOND + OPENED_EACH);
        assert_eq!(streams.remembered(), 1);
        let much_later = SECOND + OPENED_EACH * (OPENED_IN_A_ROW + 5);
        streams.enter(&a, much_later).unwrap();
        streams.leave(&a, much_later + OPENED_EACH);
        assert_eq!(streams.remembered(), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut streams = Streams::new(1);
        for number in 0..REMEMBERED + 100 {
            let one = key(&number.to_string());
            streams.enter(&one, SECOND).unwrap();
            streams.leave(&one, SECOND);
        }
        assert!(streams.remembered() <= REMEMBERED + 1, "{}", streams.remembered());
    }

    #[test]
    fn a_stream_that_confirms_nothing_is_heard_so_often() {
        let mut hearing = Hearing::default();
        assert!((0..IDLE_ACKS).all(|_| hearing.idle_ack(SECOND)));
        assert!(!hearing.idle_ack(SECOND) && hearing.idle_ack(2 * SECOND));
        assert!((0..SAID_IN_A_ROW).all(|_| hearing.heard(SECOND).is_ok()));
        assert_eq!(hearing.heard(SECOND), Err(SAID_EACH));
    }

    #[tokio::test]
    async fn one_identity_waits_for_itself_alone_and_is_forgotten_when_nobody_waits() {
        let id = |account| SpiffeId::new(TrustDomain::new("mesh.test").unwrap(), "shop", account).unwrap();
        let openings = Openings::default();
        let mut turns = Vec::new();
        for _ in 0..OPENINGS_OF_AN_IDENTITY {
            turns.push(openings.turn(&id("a")).await);
        }
        {
            let same = id("a");
            let mut ninth = std::pin::pin!(openings.turn(&same));
            let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(ninth.as_mut().poll(&mut nobody).is_pending());
            drop(openings.turn(&id("b")).await);
            turns.pop();
            assert!(ninth.as_mut().poll(&mut nobody).is_ready());
        }
        drop(turns);
        assert_eq!(openings.identities(), 0);
    }
}
