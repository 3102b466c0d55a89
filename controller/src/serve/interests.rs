//! Who is concerned by what: from services, workloads and addresses to streams. A change finds those that it concerns without asking any of
//! the others. Pure.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::name::WorkloadName;

use super::touched::{Hosts, Interest, Others, Touched};

/// The number of a stream.
pub(super) type Stream = u64;

/// The interests of all streams.
#[derive(Debug, Default)]
pub(super) struct Interests {
    streams: HashMap<Stream, (Option<WorkloadName>, Interest)>,
    services: HashMap<Arc<str>, BTreeSet<Stream>>,
    workloads: HashMap<WorkloadName, BTreeSet<Stream>>,
    addresses: HashMap<IpAddr, BTreeSet<Stream>>,
    hosts: BTreeSet<Stream>,
}

/// Whom a change concerns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Concerned {
    All,
    These(BTreeSet<Stream>),
}

impl Interests {
    /// A stream is there; nothing is known of it but its own workload.
    pub(super) fn enter(&mut self, stream: Stream, workload: Option<WorkloadName>) {
        if let Some(workload) = &workload {
            self.workloads.entry(workload.clone()).or_default().insert(stream);
        }
        self.streams.insert(stream, (workload, Interest::default()));
    }

    /// What concerns a stream from now on.
    pub(super) fn set(&mut self, stream: Stream, interest: Interest) {
        let Some((_, before)) = self.streams.get_mut(&stream) else { return };
        let before = std::mem::replace(before, interest.clone());
        for gone in before.services.difference(&interest.services) {
            remove(&mut self.services, gone, stream);
        }
        for new in interest.services.difference(&before.services) {
            self.services.entry(Arc::clone(new)).or_default().insert(stream);
        }
        for gone in before.addresses.difference(&interest.addresses) {
            remove(&mut self.addresses, gone, stream);
        }
        for new in interest.addresses.difference(&before.addresses) {
            self.addresses.entry(*new).or_default().insert(stream);
        }
        match interest.hosts {
            Hosts::Asked => self.hosts.insert(stream),
            Hosts::NotAsked => self.hosts.remove(&stream),
        };
    }

    /// It is gone.
    pub(super) fn leave(&mut self, stream: Stream) {
        self.set(stream, Interest::default());
        if let Some((Some(workload), _)) = self.streams.remove(&stream) {
            remove(&mut self.workloads, &workload, stream);
        }
    }

    /// Whom that concerns.
    pub(super) fn of(&self, touched: &Touched) -> Concerned {
        let mut all = match touched.others {
            Others::All => return Concerned::All,
            Others::AskingForHosts => self.hosts.clone(),
            Others::Nobody => BTreeSet::new(),
        };
        all.extend(touched.services.iter().filter_map(|name| self.services.get(name)).flatten());
        all.extend(touched.workloads.iter().filter_map(|name| self.workloads.get(name)).flatten());
        all.extend(touched.addresses.iter().filter_map(|ip| self.addresses.get(ip)).flatten());
        Concerned::These(all)
    }
}

fn remove<K: Hash + Eq>(index: &mut HashMap<K, BTreeSet<Stream>>, key: &K, stream: Stream) {
    let Some(streams) = index.get_mut(key) else { return };
    streams.remove(&stream);
    if streams.is_empty() {
        index.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest(services: &[&str], addresses: &[&str], hosts: Hosts) -> Interest {
        Interest {
            services: services.iter().map(|name| Arc::from(*name)).collect(),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
            hosts,
        }
    }

    fn touched(services: &[&str], others: Others) -> Touched {
        Touched { services: interest(services, &[], Hosts::NotAsked).services, others, ..Touched::default() }
    }

    fn these(streams: &[Stream]) -> Concerned {
        Concerned::These(streams.iter().copied().collect())
    }

    #[test]
    fn a_change_finds_those_that_it_concerns_and_nobody_else() {
        let mut all = Interests::default();
        let web = WorkloadName::new("shop", "web").unwrap();
        all.enter(1, Some(web.clone()));
        all.enter(2, None);
        all.enter(3, None);
        all.set(1, interest(&["service/shop/a", "service/shop/b"], &["10.0.0.1"], Hosts::NotAsked));
        all.set(2, interest(&["service/shop/b"], &[], Hosts::Asked));
        assert_eq!(all.of(&touched(&["service/shop/a"], Others::Nobody)), these(&[1]));
        assert_eq!(all.of(&touched(&["service/shop/b"], Others::Nobody)), these(&[1, 2]));
        assert_eq!(all.of(&touched(&["service/shop/c"], Others::Nobody)), these(&[]));
        assert_eq!(all.of(&touched(&[], Others::AskingForHosts)), these(&[2]));
        assert_eq!(all.of(&touched(&[], Others::All)), Concerned::All);
        let own = Touched { workloads: [web].into(), ..Touched::default() };
        assert_eq!(all.of(&own), these(&[1]));
        let address = Touched { addresses: ["10.0.0.1".parse().unwrap()].into(), ..Touched::default() };
        assert_eq!(all.of(&address), these(&[1]));
    }

    #[test]
    fn nothing_is_left_of_a_stream_that_is_gone_or_wants_less() {
        let mut all = Interests::default();
        all.enter(1, WorkloadName::new("shop", "web").ok());
        all.set(1, interest(&["service/shop/a", "service/shop/b"], &["10.0.0.1"], Hosts::Asked));
        all.set(1, interest(&["service/shop/b"], &[], Hosts::NotAsked));
        assert_eq!(all.of(&touched(&["service/shop/a"], Others::AskingForHosts)), these(&[]));
        all.leave(1);
        assert_eq!((all.services.len(), all.workloads.len(), all.addresses.len()), (0, 0, 0));
        assert_eq!((all.hosts.len(), all.streams.len()), (0, 0));
        all.set(1, interest(&["service/shop/a"], &[], Hosts::Asked));
        assert_eq!((all.services.len(), all.hosts.len()), (0, 0), "a stream that is gone asks for nothing");
    }
}
