//! What each IP address is: virtual addresses of Services, and addresses at which endpoints, pods and Workloads are. A captured connection
//! has nothing else to go by. It must not know routes or who asks.

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::address::{Address, Meaning, Member, Served, ServedPort};
use mesh_model::endpoint::{Endpoint, Endpoints, Transport};
use mesh_model::name::{ServiceName, WorkloadName};

use super::services::Services;
use super::{Reports, Trust, endpoints};
use crate::api::{Kind, ObjectKey};
use crate::index::Index;
use crate::shared::SharedMap;
use crate::status::{Condition, ConditionType};

/// Ports of one address that a proxy is told of.
pub(crate) const MAX_SERVED: usize = 4_096;

/// What every address means.
pub type Addresses = SharedMap<IpAddr, Arc<Address>>;

/// Every address that means something, and who is at each. A virtual address counts before an endpoint's.
pub fn compile(
    index: &Index,
    trust: Trust<'_>,
    services: &Services,
    reports: &mut Reports,
) -> (Addresses, Residents) {
    let residents = Residents::new(index, services);
    let mut addresses: BTreeMap<IpAddr, Arc<Address>> = residents
        .at
        .iter()
        .map(|(ip, residents)| (*ip, Arc::new(address(index, trust, services, *ip, residents))))
        .collect();
    let mut virtual_of: BTreeMap<IpAddr, &ServiceName> = BTreeMap::new();
    for (name, (service, _)) in services {
        for ip in service.addresses.iter().map(IpAddr::to_canonical) {
            match virtual_of.entry(ip) {
                btree_map::Entry::Vacant(free) => {
                    free.insert(name);
                    let meaning = Meaning::Service(name.clone());
                    addresses.insert(ip, Arc::new(Address { ip, meaning }));
                }
                btree_map::Entry::Occupied(taken) if *taken.get() == name => {}
                btree_map::Entry::Occupied(taken) => reports.say(
                    &ObjectKey::new(Kind::Service, name.0.namespace(), name.0.name()),
                    Condition::failed(
                        ConditionType::Accepted,
                        "AddressInUse",
                        "spec.clusterIPs",
                        format!(
                            "{ip} is an address of Service {} already, and connections to it go there; give this Service another one",
                            taken.get()
                        ),
                    ),
                ),
            }
        }
    }
    (addresses.into_iter().collect(), residents)
}

/// Brings `addresses` to what some of them are now; says which are different.
pub(super) fn follow(
    addresses: &mut Addresses,
    residents: &Residents,
    index: &Index,
    trust: Trust<'_>,
    services: &Services,
    ips: BTreeSet<IpAddr>,
) -> BTreeSet<IpAddr> {
    let follow = |ip: &IpAddr| {
        let known = addresses.get(ip);
        // A virtual address depends on Services alone.
        if known.is_some_and(|known| matches!(known.meaning, Meaning::Service(_))) {
            return false;
        }
        let here = residents.at.get(ip).map(Vec::as_slice).unwrap_or_default();
        if here.is_empty() {
            return addresses.remove(ip).is_some();
        }
        let now = address(index, trust, services, *ip, here);
        if known.is_some_and(|known| **known == now) {
            return false;
        }
        addresses.insert(*ip, Arc::new(now));
        true
    };
    let mut ips = ips;
    let mut follow = follow;
    ips.retain(|ip| follow(ip));
    ips
}

/// Who is at each address.
#[derive(Debug, Default)]
pub struct Residents {
    at: HashMap<IpAddr, Vec<Resident>>,
}

/// Somebody at an address. In the order in which they count: Services before what pods and Workloads say themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resident {
    /// An endpoint of this Service.
    Service(ServiceName),
    Workload(WorkloadName),
    Pod(WorkloadName),
}

impl Residents {
    fn new(index: &Index, services: &Services) -> Self {
        let mut all = Self::default();
        for (name, (_, endpoints)) in services {
            for ip in ips(endpoints) {
                all.enter(ip, Resident::Service(name.clone()));
            }
        }
        for (key, entry) in index.workloads.store.iter() {
            let Some(name) = key.model_name().map(WorkloadName) else { continue };
            all.enter(entry.object.spec.address.to_canonical(), Resident::Workload(name));
        }
        for (key, entry) in index.pods.store.iter() {
            let Some(name) = key.model_name().map(WorkloadName) else { continue };
            for ip in entry.object.addresses() {
                all.enter(ip.to_canonical(), Resident::Pod(name.clone()));
            }
        }
        all
    }

    /// Somebody is at an address.
    pub(super) fn enter(&mut self, ip: IpAddr, resident: Resident) {
        let here = self.at.entry(ip).or_default();
        if let Err(place) = here.binary_search(&resident) {
            here.reserve_exact(1);
            here.insert(place, resident);
        }
    }

    /// Somebody is not at an address, if he was.
    pub(super) fn leave(&mut self, ip: IpAddr, resident: &Resident) {
        let Some(here) = self.at.get_mut(&ip) else { return };
        here.retain(|known| known != resident);
        if here.is_empty() {
            self.at.remove(&ip);
        }
    }
}

/// Addresses of endpoints, in the form in which they are looked for.
pub(super) fn ips(endpoints: &Endpoints) -> impl Iterator<Item = IpAddr> {
    let all = endpoints.ports.iter().flat_map(|port| &port.endpoints);
    all.map(|endpoint| endpoint.address.ip().to_canonical())
}

/// What is at an address, as it is put together.
#[derive(Default)]
struct Gathered {
    ports: BTreeMap<u16, ServedPort>,
    /// Workloads that have this address, each as it takes ports that nothing names.
    members: BTreeMap<WorkloadName, Option<Others>>,
}

/// How a workload takes ports that no Service and no Workload names.
struct Others {
    member: Member,
    /// Those where a policy says something else of mutual TLS.
    unlike: Vec<(u16, Transport)>,
}

impl Gathered {
    fn admit(&mut self, workload: &WorkloadName, index: &Index, trust: Trust<'_>) {
        if !self.members.contains_key(workload) {
            self.members.insert(workload.clone(), member(index, trust, workload));
        }
    }

    fn finish(mut self, ip: IpAddr) -> Served {
        // Several processes may share the address of one machine: then a port that nothing names could be anybody's.
        let mut members = std::mem::take(&mut self.members).into_values();
        let others = members.next().flatten().filter(|_| members.next().is_none());
        let others = others.map(|Others { member, unlike }| {
            for (port, transport) in unlike {
                self.put(port, &member.at(SocketAddr::new(ip, port), transport), None);
            }
            member
        });
        // There is one of these for each pod: no place of it is to spare.
        let mut ports = Vec::with_capacity(self.ports.len().min(MAX_SERVED));
        ports.extend(self.ports.into_values().take(MAX_SERVED));
        Served { ports, others }
    }

    fn put(&mut self, port: u16, endpoint: &Endpoint, service: Option<(&ServiceName, u16)>) {
        let service = service.map(|(service, port)| (service.clone(), port));
        match self.ports.entry(port) {
            btree_map::Entry::Vacant(free) => {
                free.insert(ServedPort { port, endpoint: endpoint.clone(), service });
            }
            btree_map::Entry::Occupied(mut there) => {
                let there = there.get_mut();
                if there.service.is_none() {
                    there.service = service;
                }
            }
        }
    }
}

/// What an address means with these at it.
fn address(
    index: &Index,
    trust: Trust<'_>,
    services: &Services,
    ip: IpAddr,
    residents: &[Resident],
) -> Address {
    let mut gathered = Gathered::default();
    for resident in residents {
        match resident {
            // By name, so that of several services at one port the first counts, whatever order the objects came in.
            Resident::Service(name) => {
                let ports =
                    services.get(name).map(|(_, endpoints)| endpoints.ports.as_slice()).unwrap_or_default();
                for port in ports {
                    for endpoint in at(&port.endpoints, ip) {
                        gathered.put(dialled(index, endpoint), endpoint, Some((name, port.service_port)));
                        if let Some(workload) = &endpoint.workload {
                            gathered.admit(workload, index, trust);
                        }
                    }
                }
            }
            Resident::Workload(name) => {
                let Some(entry) = index.workloads.find(name) else { continue };
                for port in &entry.object.spec.ports {
                    let endpoint = endpoints::from_workload(trust, name, &entry.object, port);
                    gathered.put(port.port, &endpoint, None);
                }
                gathered.admit(name, index, trust);
            }
            Resident::Pod(name) => gathered.admit(name, index, trust),
        }
    }
    Address { ip, meaning: Meaning::Served(gathered.finish(ip)) }
}

/// Those of sorted endpoints that are at an address, however it is written.
fn at(endpoints: &[Endpoint], ip: IpAddr) -> impl Iterator<Item = &Endpoint> {
    let mapped = match ip {
        IpAddr::V4(ip) => Some(IpAddr::V6(ip.to_ipv6_mapped())),
        IpAddr::V6(_) => None,
    };
    std::iter::once(ip).chain(mapped).flat_map(move |ip| {
        let first = endpoints.partition_point(|endpoint| endpoint.address < SocketAddr::new(ip, 0));
        let rest = endpoints.get(first..).unwrap_or_default();
        rest.iter().take_while(move |endpoint| endpoint.address.ip() == ip)
    })
}

/// The port that an application dials to reach this endpoint: its sidecar may have another one for it.
fn dialled(index: &Index, endpoint: &Endpoint) -> u16 {
    let port = endpoint.address.port();
    let workload = endpoint.workload.as_ref().and_then(|workload| index.workloads.find(workload));
    let own = workload.and_then(|workload| {
        workload.object.spec.ports.iter().find(|own| own.mesh_port.unwrap_or(own.port) == port)
    });
    own.map_or(port, |own| own.port)
}

/// How a workload takes ports that nothing names: `None` if its sidecar has a port of its own for each that it takes.
fn member(index: &Index, trust: Trust<'_>, name: &WorkloadName) -> Option<Others> {
    if let Some(pod) = index.pods.find(name) {
        let at = |port| endpoints::pod_transport(trust, name, &pod.object, port);
        return Some(others(trust, name, String::new(), at));
    }
    let workload = &index.workloads.find(name)?.object;
    if workload.spec.ports.iter().any(|port| port.mesh_port.is_some()) {
        return None;
    }
    let zone = workload.spec.zone.clone().unwrap_or_default();
    Some(others(trust, name, zone, |port| endpoints::transport(trust, name, workload, port)))
}

/// `at` is how it is spoken to at a port; `None`: at those that no policy names.
fn others(
    trust: Trust<'_>,
    name: &WorkloadName,
    zone: String,
    at: impl Fn(Option<u16>) -> Transport,
) -> Others {
    let transport = at(None);
    let named = trust.authentication.of_workload(name).ports.keys();
    let unlike =
        named.map(|port| (*port, at(Some(*port)))).filter(|(_, other)| *other != transport).collect();
    Others { member: Member { workload: Some(name.clone()), transport, zone }, unlike }
}

#[cfg(test)]
mod tests;
