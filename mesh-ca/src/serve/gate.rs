//! Who is let in how often, and whose a key is. A thin shell over `limits`: it has the clock and the locks. It must not know what is asked.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use mesh_model::spiffe::SpiffeId;
use tokio::time::Instant;

use crate::limits::{ALL, IDENTITY, Limits, PLACE, TOKEN, TooSoon};
use crate::refusal::Refusal;

/// Most keys whose owner is remembered; the oldest is forgotten.
const KEYS: usize = 32_768;

#[derive(Debug)]
pub(super) struct Gate {
    began: Instant,
    all: Mutex<Limits<()>>,
    places: Mutex<Limits<IpAddr>>,
    identities: Mutex<Limits<(SpiffeId, IpAddr)>>,
    tokens: Mutex<Limits<(SpiffeId, IpAddr)>>,
    keys: Mutex<Keys>,
}

/// Keys by hash, and the identity that each was certified for.
#[derive(Debug, Default)]
struct Keys {
    owners: HashMap<[u8; 32], SpiffeId>,
    order: VecDeque<[u8; 32]>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            all: Mutex::new(Limits::new(ALL)),
            places: Mutex::new(Limits::new(PLACE)),
            identities: Mutex::new(Limits::new(IDENTITY)),
            tokens: Mutex::new(Limits::new(TOKEN)),
            keys: Mutex::new(Keys::default()),
        }
    }

    /// A call from an address, before anything of it is read.
    pub(super) fn call(&self, place: IpAddr) -> Result<(), Refusal> {
        let now = self.now();
        lock(&self.places).admit(place, now).map_err(|soon| refusal(place.to_string(), soon))?;
        lock(&self.all).admit((), now).map_err(|soon| refusal("the whole mesh".to_owned(), soon))
    }

    /// A certificate for an identity.
    pub(super) fn identity(&self, id: &SpiffeId, place: IpAddr) -> Result<(), Refusal> {
        let admitted = lock(&self.identities).admit((id.clone(), place), self.now());
        admitted.map_err(|soon| refusal(format!("`{id}` at {place}"), soon))
    }

    /// A token for an application of an identity.
    pub(super) fn token(&self, id: &SpiffeId, place: IpAddr) -> Result<(), Refusal> {
        let admitted = lock(&self.tokens).admit((id.clone(), place), self.now());
        admitted.map_err(|soon| refusal(format!("tokens of `{id}` at {place}"), soon))
    }

    /// A key is one identity's: with two, who shows it would be either.
    pub(super) fn key(&self, key: &[u8], id: &SpiffeId) -> Result<(), Refusal> {
        let digest = digest::digest(&digest::SHA256, key);
        let Ok(hash) = <[u8; 32]>::try_from(digest.as_ref()) else { return Ok(()) };
        let mut keys = lock(&self.keys);
        match keys.owners.get(&hash) {
            Some(owner) if owner != id => return Err(Refusal::ReusedKey),
            Some(_) => return Ok(()),
            None => {}
        }
        if keys.order.len() >= KEYS
            && let Some(oldest) = keys.order.pop_front()
        {
            keys.owners.remove(&oldest);
        }
        keys.order.push_back(hash);
        keys.owners.insert(hash, id.clone());
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn refusal(who: String, TooSoon { retry, is_news }: TooSoon) -> Refusal {
    Refusal::TooSoon { who, retry, is_news }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
