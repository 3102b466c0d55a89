//! Connections that this worker has opened and not closed, by their local address: one of them that arrives at our own listener is a
//! loop. Each worker knows its own only, so that nothing is shared: a loop through several workers ends when it comes back to the one
//! that it was at. It must not know where they lead.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;

thread_local! {
    static OPEN: RefCell<HashMap<SocketAddr, Toward>> = RefCell::default();
}

/// What a connection of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Toward {
    /// To an endpoint or a host, on behalf of the application. It may be our own inbound port, when the workload calls itself.
    #[default]
    Others,
    /// To the application.
    App,
}

/// A connection that we opened; forgotten when dropped.
#[derive(Debug)]
pub(super) struct Dialled(Box<SocketAddr>);

impl Dialled {
    pub(super) fn new(local: SocketAddr, toward: Toward) -> Self {
        OPEN.with_borrow_mut(|open| open.insert(local, toward));
        Self(Box::new(local))
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        // The thread may be ending.
        let _ = OPEN.try_with(|open| open.borrow_mut().remove(&*self.0));
    }
}

/// What the peer of an accepted connection is for, if it is one of ours.
pub(super) fn ours(peer: SocketAddr) -> Option<Toward> {
    OPEN.with_borrow(|open| open.get(&peer).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_opened_is_ours_until_it_is_closed() {
        let local = "127.0.0.1:4711".parse().unwrap();
        let open = Dialled::new(local, Toward::App);
        assert_eq!(ours(local), Some(Toward::App));
        drop(open);
        assert_eq!(ours(local), None);
    }
}
