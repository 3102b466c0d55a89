//! The session store of a client, for TLS 1.3 alone. What may be resumed is decided in `sessions`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls_pki_types::ServerName;

use crate::identity::{Epoch, Shared};
use crate::peer::unix_now;
use crate::sessions::{Limits, Sessions};

/// Tickets a configuration keeps; it serves one identity, which is a handful of endpoints.
const CAPACITY: usize = 32;

type Tickets = Sessions<Epoch, ServerName<'static>, Tls13ClientSessionValue>;

pub(crate) struct ClientSessions {
    shared: Arc<Shared>,
    limits: Arc<Limits>,
    tickets: Mutex<Tickets>,
}

impl ClientSessions {
    pub(crate) fn new(shared: Arc<Shared>, limits: Arc<Limits>) -> Self {
        let tickets = Mutex::new(Sessions::new(shared.epoch(), CAPACITY));
        Self { shared, limits, tickets }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Tickets, u64) -> T) -> T {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = unix_now();
        tickets.refresh(self.shared.epoch(), &self.limits, now);
        act(&mut tickets, now)
    }
}

impl ClientSessionStore for ClientSessions {
    fn set_kx_hint(&self, _server_name: ServerName<'static>, _group: NamedGroup) {
        // Both ends prefer the same group, so there is nothing to learn.
    }

    fn kx_hint(&self, _server_name: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _server_name: ServerName<'static>, _value: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server_name: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.with(|tickets, now| tickets.put(server_name, value, now));
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(|tickets, _| tickets.take(|known| known == server_name))
    }
}

impl fmt::Debug for ClientSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tickets are secrets.
        f.write_str("ClientSessions(…)")
    }
}
