//! Who is concerned by what: from services, workloads and addresses to streams. A change finds those that it concerns without asking any of
//! the others. Pure.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::name::WorkloadName;

use super::touched::{About, Hosts, Interest, Others, Touched};

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

    /// Says of each stream that a change concerns what of it does, one after the other.
    pub(super) fn concerned(&self, touched: &Touched, mut say: impl FnMut(Stream, About<'_>)) {
        let hosts = match touched.others {
            Others::All => return self.streams.keys().for_each(|stream| say(*stream, About::Anything)),
            Others::AskingForHosts => Some(&self.hosts),
            Others::Nobody => None,
        };
        for (name, streams) in touched.endpoints.iter().filter_map(|name| self.services.get_key_value(name)) {
            for stream in streams {
                say(*stream, About::Endpoints(name));
            }
        }
        let services = touched.services.iter().filter_map(|name| self.services.get(name));
        let workloads = touched.workloads.iter().filter_map(|name| self.workloads.get(name));
        let addresses = touched.addresses.iter().filter_map(|ip| self.addresses.get(ip));
        let others = services.chain(workloads).chain(addresses).chain(hosts);
        others.flatten().for_each(|stream| say(*stream, About::Anything));
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

    /// Streams that are to look at more than endpoints, and those that are to look at endpoints of some service.
    fn of(all: &Interests, touched: &Touched) -> (Vec<Stream>, Vec<Stream>) {
        let mut concerned = [BTreeSet::new(), BTreeSet::new()];
        all.concerned(touched, |stream, about| {
            concerned[usize::from(about != About::Anything)].insert(stream);
        });
        let [anything, endpoints] = concerned.map(|streams| streams.into_iter().collect());
        (anything, endpoints)
    }

    fn these(streams: &[Stream]) -> (Vec<Stream>, Vec<Stream>) {
        (streams.to_vec(), Vec::new())
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
        assert_eq!(of(&all, &touched(&["service/shop/a"], Others::Nobody)), these(&[1]));
        assert_eq!(of(&all, &touched(&["service/shop/b"], Others::Nobody)), these(&[1, 2]));
        assert_eq!(of(&all, &touched(&["service/shop/c"], Others::Nobody)), these(&[]));
        assert_eq!(of(&all, &touched(&[], Others::AskingForHosts)), these(&[2]));
        assert_eq!(of(&all, &touched(&[], Others::All)), these(&[1, 2, 3]));
        let moved = touched(&["service/shop/b"], Others::AskingForHosts);
        let moved = Touched { endpoints: moved.services, services: BTreeSet::new(), ..moved };
        assert_eq!(of(&all, &moved), (vec![2], vec![1, 2]));
        let own = Touched { workloads: [web].into(), ..Touched::default() };
        assert_eq!(of(&all, &own), these(&[1]));
        let address = Touched { addresses: ["10.0.0.1".parse().unwrap()].into(), ..Touched::default() };
        assert_eq!(of(&all, &address), these(&[1]));
    }

    #[test]
    fn nothing_is_left_of_a_stream_that_is_gone_or_wants_less() {
        let mut all = Interests::default();
        all.enter(1, WorkloadName::new("shop", "web").ok());
        all.set(1, interest(&["service/shop/a", "service/shop/b"], &["10.0.0.1"], Hosts::Asked));
        all.set(1, interest(&["service/shop/b"], &[], Hosts::NotAsked));
        assert_eq!(of(&all, &touched(&["service/shop/a"], Others::AskingForHosts)), these(&[]));
        all.leave(1);
        assert_eq!((all.services.len(), all.workloads.len(), all.addresses.len()), (0, 0, 0));
        assert_eq!((all.hosts.len(), all.streams.len()), (0, 0));
        all.set(1, interest(&["service/shop/a"], &[], Hosts::Asked));
        assert_eq!((all.services.len(), all.hosts.len()), (0, 0), "a stream that is gone asks for nothing");
    }
}
