//! What a proxy is to have at a snapshot: pure, of its subscription alone. It must not know what the proxy was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use mesh_model::address::Sought;
use mesh_model::external::HostMeaning;
use mesh_model::host::Host;
use mesh_model::name::ServiceName;

use super::Session;
use crate::serve::snapshot::{Resource, Snapshot};

/// What hosts stand for, made for one proxy alone.
pub(super) type Hosts = HashMap<Host, (HostMeaning, Arc<Resource>)>;

/// All that is wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// By name.
    pub(super) resources: BTreeMap<&'a Arc<str>, &'a Arc<Resource>>,
    /// Destinations that there are not.
    pub(super) unknown: BTreeSet<ServiceName>,
    /// Addresses and hosts that mean nothing.
    pub(super) unknown_sought: BTreeSet<Sought>,
}

impl<'a> Wanted<'a> {
    fn add(&mut self, resource: &'a Arc<Resource>) {
        self.resources.insert(&resource.name, resource);
    }
}

impl Session {
    /// What the hosts stand for that the proxy asked about.
    pub(super) fn hosts(&self, snapshot: &Snapshot) -> Hosts {
        let meaning = |sought: &Sought| match sought {
            Sought::Address(_) => None,
            Sought::Host(host) => {
                let (meaning, resource) = snapshot.host(host, &self.proxy.namespace)?;
                Some((host.clone(), (meaning, Arc::new(resource))))
            }
        };
        self.sought.keys().filter_map(meaning).collect()
    }

    /// What the proxy is to have.
    pub(super) fn wanted<'a>(&self, snapshot: &'a Snapshot, hosts: &'a Hosts) -> Wanted<'a> {
        let namespace = self.proxy.namespace.as_str();
        let mut wanted = Wanted::default();
        let mine = snapshot.authentication(namespace, self.workload.as_ref());
        for always in [snapshot.mesh(), snapshot.own(self.workload.as_ref()), &mine.resource] {
            wanted.add(always);
        }
        snapshot.closure_of_authorization(self.workload.as_ref(), namespace, |resource| wanted.add(resource));
        for service in &self.destinations {
            if !snapshot.closure(service, namespace, |resource| wanted.add(resource)) {
                wanted.unknown.insert(service.clone());
            }
        }
        for sought in self.sought.keys() {
            let known = match sought {
                Sought::Address(ip) => {
                    snapshot.closure_of_address(*ip, namespace, |resource| wanted.add(resource))
                }
                Sought::Host(host) => match hosts.get(host) {
                    Some((meaning, resource)) => {
                        wanted.add(resource);
                        snapshot.closure_of_meaning(meaning, namespace, |resource| wanted.add(resource));
                        true
                    }
                    None => false,
                },
            };
            if !known {
                wanted.unknown_sought.insert(sought.clone());
            }
        }
        wanted
    }
}
