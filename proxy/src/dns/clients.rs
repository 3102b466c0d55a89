//! Who is answered: this machine, and whom the configuration names. A resolver that answers everybody is a tool for attacks on
//! others. It must not know what is asked.

use std::net::IpAddr;
use std::sync::Mutex;

use super::lock;
use crate::config::Network;
use crate::net;

/// Addresses whose standing is remembered.
const REMEMBERED: usize = 256;

/// Whom to answer.
#[derive(Debug)]
pub(super) struct Clients {
    networks: Vec<Network>,
    /// Addresses that were asked for, and whether each is this machine's.
    known: Mutex<Vec<(IpAddr, bool)>>,
}

impl Clients {
    pub(super) fn new(networks: Vec<Network>) -> Self {
        Self { networks, known: Mutex::default() }
    }

    /// Whether `client` is answered that came to a socket at `listen`.
    pub(super) fn admit(&self, listen: IpAddr, client: IpAddr) -> bool {
        // What reaches a loopback address comes from this machine, or from the network namespace that the socket is in.
        listen.is_loopback()
            || client.is_loopback()
            || self.networks.iter().any(|network| network.contains(client))
            || self.is_own(client)
    }

    fn is_own(&self, client: IpAddr) -> bool {
        let mut known = lock(&self.known);
        if let Some((_, own)) = known.iter().find(|(address, _)| *address == client) {
            return *own;
        }
        let own = net::is_own(client);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.push((client, own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_those_named_are_answered() {
        let clients = Clients::new(vec![Network::parse("10.1.0.0/16").unwrap()]);
        let rows = [
            ("127.0.0.1", "192.0.2.1", true),
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "10.1.2.3", true),
            ("::", "::ffff:10.1.2.3", true),
            ("0.0.0.0", "10.2.0.1", false),
            ("0.0.0.0", "192.0.2.1", false),
            ("::", "2001:db8::1", false),
        ];
        for (listen, client, expected) in rows {
            let admitted = clients.admit(listen.parse().unwrap(), client.parse().unwrap());
            assert_eq!(admitted, expected, "{client} at {listen}");
        }
    }

    #[test]
    fn what_is_remembered_of_clients_is_bounded() {
        let clients = Clients::new(vec![]);
        for number in 0..=u16::MAX / 64 {
            let [high, low] = number.to_be_bytes();
            assert!(!clients.admit([0, 0, 0, 0].into(), [198, 18, high, low].into()));
        }
        assert!(lock(&clients.known).len() <= REMEMBERED);
    }
}
