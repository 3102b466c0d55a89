//! What each IP address is: virtual addresses of Services, and addresses at which endpoints, pods and Workloads are. A captured connection
//! has nothing else to go by. It must not know routes or who asks.

use std::collections::{BTreeMap, btree_map};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::address::{Address, Meaning, Member, Served, ServedPort};
use mesh_model::endpoint::{Endpoint, Endpoints, Transport};
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::service::Service;

use super::{Reports, Trust, endpoints};
use crate::api::{Kind, ObjectKey};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// Ports of one address that a proxy is told of.
pub(crate) const MAX_SERVED: usize = 4_096;

/// Every address that means something. A virtual address counts before an endpoint's.
pub fn compile(
    index: &Index,
    trust: Trust<'_>,
    services: &BTreeMap<ServiceName, (Service, Endpoints)>,
    reports: &mut Reports,
) -> BTreeMap<IpAddr, Arc<Address>> {
    let served = served(index, trust, services);
    let mut addresses: BTreeMap<IpAddr, Arc<Address>> = served
        .into_iter()
        .map(|(ip, served)| (ip, Arc::new(Address { ip, meaning: Meaning::Served(served.finish(ip)) })))
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
    addresses
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
        Served { ports: self.ports.into_values().take(MAX_SERVED).collect(), others }
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

fn served(
    index: &Index,
    trust: Trust<'_>,
    services: &BTreeMap<ServiceName, (Service, Endpoints)>,
) -> BTreeMap<IpAddr, Gathered> {
    let mut found: BTreeMap<IpAddr, Gathered> = BTreeMap::new();
    // Sorted by name, so that of several services at one port the first by name counts, whatever order the objects came in.
    for (name, (_, endpoints)) in services {
        for ports in &endpoints.ports {
            for endpoint in &ports.endpoints {
                let ip = endpoint.address.ip().to_canonical();
                let gathered = found.entry(ip).or_default();
                let port = dialled(index, endpoint);
                gathered.put(port, endpoint, Some((name, ports.service_port)));
                if let Some(workload) = &endpoint.workload {
                    gathered
                        .members
                        .entry(workload.clone())
                        .or_insert_with(|| member(index, trust, workload));
                }
            }
        }
    }
    for (key, entry) in index.workloads.store.iter() {
        let Some(name) = key.model_name().map(WorkloadName) else { continue };
        let workload = &entry.object;
        let gathered = found.entry(workload.spec.address.to_canonical()).or_default();
        for port in &workload.spec.ports {
            let endpoint = endpoints::from_workload(trust, &name, workload, port);
            gathered.put(port.port, &endpoint, None);
        }
        gathered.members.entry(name.clone()).or_insert_with(|| member(index, trust, &name));
    }
    for (key, entry) in index.pods.store.iter() {
        let Some(name) = key.model_name().map(WorkloadName) else { continue };
        for ip in entry.object.addresses() {
            let gathered = found.entry(ip.to_canonical()).or_default();
            gathered.members.entry(name.clone()).or_insert_with(|| member(index, trust, &name));
        }
    }
    found
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
