//! Addresses and hosts that the workload asked about, and what the controller has told of them. Pure; it must not know services
//! beyond their names, nor where resources came from.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh_model::address::{Address, Meaning, Sought};
use mesh_model::external::{ExternalService, HostEntry, HostMeaning};
use mesh_model::host::Host;
use mesh_model::name::{Name, ServiceName};

use super::snapshot::{KnownAddress, KnownHost, Snapshot};
use super::store::Versioned;

/// What is sought, and what was found.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    sought: BTreeMap<Sought, Seek>,
    pub(super) found: HashMap<IpAddr, Versioned<Address>>,
    pub(super) hosts: HashMap<Host, Versioned<HostEntry>>,
    pub(super) externals: HashMap<Name, Versioned<ExternalService>>,
}

#[derive(Debug, Default)]
struct Seek {
    answer: Answer,
    used: Arc<AtomicBool>,
}

/// What the controller has said. That it is known is seen from what is held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Not sent to the controller yet.
    #[default]
    Wanted,
    Asked,
    Unknown,
}

impl Addresses {
    pub(super) fn want(&mut self, sought: &Sought) {
        self.sought.entry(sought.clone()).or_default();
    }

    pub(super) fn asked(&mut self) {
        for seek in self.sought.values_mut().filter(|seek| seek.answer == Answer::Wanted) {
            seek.answer = Answer::Asked;
        }
    }

    pub(super) fn not_asked(&self) -> impl Iterator<Item = &Sought> {
        self.sought.iter().filter(|(_, seek)| seek.answer == Answer::Wanted).map(|(sought, _)| sought)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Sought> {
        self.sought.keys()
    }

    pub(super) fn count(&self) -> usize {
        self.sought.len()
    }

    pub(super) fn is_wanted(&self, sought: &Sought) -> bool {
        self.sought.contains_key(sought)
    }

    pub(super) fn is_known(&self, sought: &Sought) -> bool {
        match sought {
            Sought::Address(ip) => self.found.contains_key(ip),
            Sought::Host(host) => self.hosts.contains_key(host),
        }
    }

    pub(super) fn forget(&mut self, sought: &Sought) {
        self.sought.remove(sought);
    }

    pub(super) fn take_used(&self) -> Vec<(Sought, bool)> {
        let mark = |seek: &Seek| seek.used.swap(false, Ordering::Relaxed);
        self.sought.iter().map(|(sought, seek)| (sought.clone(), mark(seek))).collect()
    }

    /// The controller has told what it is.
    pub(super) fn put(&mut self, version: String, address: Address) {
        if let Some(seek) = self.sought.get_mut(&Sought::Address(address.ip)) {
            seek.answer = Answer::Asked;
        }
        match self.found.get_mut(&address.ip) {
            Some(held) => held.put(version, address),
            None => {
                self.found.insert(address.ip, Versioned::new(version, address));
            }
        }
    }

    /// The controller has told what a host stands for.
    pub(super) fn put_host(&mut self, version: String, entry: HostEntry) {
        if let Some(seek) = self.sought.get_mut(&Sought::Host(entry.host.clone())) {
            seek.answer = Answer::Asked;
        }
        match self.hosts.get_mut(&entry.host) {
            Some(held) => held.put(version, entry),
            None => {
                self.hosts.insert(entry.host.clone(), Versioned::new(version, entry));
            }
        }
    }

    /// The controller has told of hosts outside the mesh.
    pub(super) fn put_external(&mut self, version: String, external: ExternalService) {
        match self.externals.get_mut(&external.name) {
            Some(held) => held.put(version, external),
            None => {
                self.externals.insert(external.name.clone(), Versioned::new(version, external));
            }
        }
    }

    /// The controller has said that it does not know these.
    pub(super) fn unknown(&mut self, unknown: &[String]) {
        for text in unknown {
            let Ok(sought) = Sought::parse(text) else { continue };
            if let Some(seek) = self.sought.get_mut(&sought) {
                seek.answer = Answer::Unknown;
            }
        }
    }

    /// The services that sought addresses and hosts stand for.
    pub(super) fn services(&self) -> Vec<ServiceName> {
        let service = |address: &Versioned<Address>| match &address.value.meaning {
            Meaning::Service(service) => Some(service.clone()),
            Meaning::Served(_) => None,
        };
        let sought = self.found.iter().filter(|(ip, _)| self.sought.contains_key(&Sought::Address(**ip)));
        let hosts =
            self.hosts.iter().filter(|(host, _)| self.sought.contains_key(&Sought::Host((*host).clone())));
        let of_hosts = hosts.filter_map(|(_, entry)| match &entry.value.meaning {
            HostMeaning::Service(service) => Some(service.clone()),
            HostMeaning::Endpoints(_) | HostMeaning::Alias(_) | HostMeaning::External(_) => None,
        });
        sought.filter_map(|(_, address)| service(address)).chain(of_hosts).collect()
    }

    /// Swaps what is known into the next snapshot, touching only what changed.
    pub(super) fn publish(&self, former: &Snapshot, next: &mut Snapshot) {
        let mut known = HashMap::with_capacity(former.addresses.len());
        let mut unknown = HashSet::new();
        self.publish_hosts(former, next);
        for (sought, seek) in &self.sought {
            let held = match sought {
                Sought::Address(ip) => self.found.get(ip).map(|held| (*ip, &held.value)),
                Sought::Host(host) if self.hosts.contains_key(host) => continue,
                Sought::Host(_) => None,
            };
            match held {
                Some((ip, address)) => {
                    let same = former.addresses.get(&ip).filter(|former| {
                        Arc::ptr_eq(&former.address, address) && Arc::ptr_eq(&former.used, &seek.used)
                    });
                    let entry = same.map_or_else(
                        || {
                            Arc::new(KnownAddress {
                                address: Arc::clone(address),
                                used: Arc::clone(&seek.used),
                            })
                        },
                        Arc::clone,
                    );
                    known.insert(ip, entry);
                }
                None if seek.answer == Answer::Unknown => {
                    unknown.insert(sought.clone());
                }
                None => {}
            }
        }
        let same = known.len() == former.addresses.len()
            && known
                .iter()
                .all(|(ip, entry)| former.addresses.get(ip).is_some_and(|former| Arc::ptr_eq(former, entry)));
        if !same {
            next.addresses = Arc::new(known);
        }
        if *former.unknown_sought != unknown {
            next.unknown_sought = Arc::new(unknown);
        }
    }

    /// The same for hosts. One of an ExternalService is known once that is here.
    fn publish_hosts(&self, former: &Snapshot, next: &mut Snapshot) {
        let mut known = HashMap::with_capacity(former.hosts.len());
        for (sought, seek) in &self.sought {
            let Sought::Host(host) = sought else { continue };
            let Some(entry) = self.hosts.get(host) else { continue };
            let external = match &entry.value.meaning {
                HostMeaning::External(name) => match self.externals.get(name) {
                    Some(held) => Some(Arc::clone(&held.value)),
                    None => continue,
                },
                HostMeaning::Service(_) | HostMeaning::Endpoints(_) | HostMeaning::Alias(_) => None,
            };
            let made = KnownHost { entry: Arc::clone(&entry.value), external, used: Arc::clone(&seek.used) };
            let same = former.hosts.get(host).filter(|former| former.is_same(&made));
            known.insert(host.clone(), same.map_or_else(|| Arc::new(made), Arc::clone));
        }
        let same = known.len() == former.hosts.len()
            && known
                .iter()
                .all(|(host, entry)| former.hosts.get(host).is_some_and(|former| Arc::ptr_eq(former, entry)));
        if !same {
            next.hosts = Arc::new(known);
        }
    }
}
