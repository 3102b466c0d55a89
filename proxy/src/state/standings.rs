//! How the endpoints stand that workers leave alone: each worker writes down now and then what it found out, and a dump reads it. It
//! must not know why one is left alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_model::name::ServiceName;
use mesh_traffic::balance::Standing;

/// An endpoint that one worker does not use as any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Of which service.
    pub service: ServiceName,
    /// On which port of it.
    pub port: u16,
    /// The endpoint.
    pub address: SocketAddr,
    /// How it stands there.
    pub standing: Standing,
}

/// What all workers wrote down last. Clones are handles of the same.
#[derive(Debug, Clone, Default)]
pub struct Standings {
    workers: Arc<Mutex<Vec<Vec<Noted>>>>,
}

/// The page of one worker.
#[derive(Debug)]
pub struct Page {
    standings: Standings,
    number: usize,
}

impl Standings {
    /// A page for one more worker.
    pub fn page(&self) -> Page {
        let mut workers = self.lock();
        workers.push(Vec::new());
        Page { standings: self.clone(), number: workers.len() - 1 }
    }

    /// For how many workers an endpoint stands how. Those that wrote nothing down use it, or would.
    pub fn of(&self, service: &ServiceName, port: u16, address: SocketAddr) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for noted in self.lock().iter() {
            let found = noted
                .iter()
                .find(|one| one.address == address && one.port == port && one.service == *service);
            *counts.entry(name(found.map_or(Standing::Usable, |one| one.standing))).or_default() += 1;
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<Noted>>> {
        // A page is replaced as a whole, so there is no half of one.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    /// Replaces what was written down before.
    pub fn write(&self, noted: Vec<Noted>) {
        if let Some(page) = self.standings.lock().get_mut(self.number) {
            *page = noted;
        }
    }
}

fn name(standing: Standing) -> &'static str {
    match standing {
        Standing::Usable => "usable",
        Standing::Avoided => "avoided",
        Standing::Ejected => "ejected",
        Standing::Unhealthy => "unhealthy",
        Standing::Draining => "draining",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_counted_by_what_they_wrote_down_last() {
        let standings = Standings::default();
        let (one, two) = (standings.page(), standings.page());
        let (service, address) = (ServiceName::new("shop", "cart").unwrap(), "127.0.0.1:1".parse().unwrap());
        let noted = |standing| vec![Noted { service: service.clone(), port: 80, address, standing }];
        assert_eq!(standings.of(&service, 80, address), BTreeMap::from([("usable", 2)]));
        one.write(noted(Standing::Ejected));
        assert_eq!(standings.of(&service, 80, address), BTreeMap::from([("ejected", 1), ("usable", 1)]));
        two.write(noted(Standing::Unhealthy));
        one.write(Vec::new());
        assert_eq!(standings.of(&service, 80, address), BTreeMap::from([("unhealthy", 1), ("usable", 1)]));
        assert_eq!(standings.of(&service, 81, address), BTreeMap::from([("usable", 2)]));
    }
}
