//! The session store of a server. What may be resumed is decided in `sessions`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::StoresServerSessions;

use crate::identity::{Epoch, Shared};
use crate::peer::unix_now;
use crate::sessions::{Limits, Sessions};

/// Sessions a server keeps; each is a little larger than the client's chain.
const CAPACITY: usize = 256;

pub(crate) struct ServerSessions {
    shared: Arc<Shared>,
    limits: Arc<Limits>,
    sessions: Mutex<Sessions<Epoch, Vec<u8>, Vec<u8>>>,
}

impl ServerSessions {
    pub(crate) fn new(shared: Arc<Shared>, limits: Arc<Limits>) -> Self {
        let sessions = Mutex::new(Sessions::new(shared.epoch(), CAPACITY));
        Self { shared, limits, sessions }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Sessions<Epoch, Vec<u8>, Vec<u8>>, u64) -> T) -> T {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = unix_now();
        sessions.refresh(self.shared.epoch(), &self.limits, now);
        act(&mut sessions, now)
    }
}

impl StoresServerSessions for ServerSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.with(|sessions, now| sessions.put(key, value, now));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.with(|sessions, _| sessions.newest(|known| known == key).cloned())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.with(|sessions, _| sessions.take(|known| known == key))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for ServerSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Sessions are secrets.
        f.write_str("ServerSessions(…)")
    }
}
