//! What host names stand for beside Services: hosts of ExternalServices, members of headless Services, ExternalName Services. It must not
//! know who asks.
//!
//! A name is looked for in this order: the Service that it can be the name of, an ExternalName Service, an endpoint of a Service by its
//! hostname, an ExternalService by exact name, an ExternalService by wildcard.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::authority::{CLUSTER_DOMAIN, service_of};
use mesh_model::external::{ExternalService, HostMeaning};
use mesh_model::host::{Host, HostMap};
use mesh_model::name::{Name, ServiceName};

use super::Reports;
use super::routes::{Services, created};
use crate::api::lower::external;
use crate::index::Index;
use crate::shared::SharedMap;
use crate::status::{Condition, ConditionType};

/// Names that are no Service's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// ExternalServices by host.
    hosts: Arc<HostMap<Name>>,
    /// Hosts that ExternalName Services stand for.
    aliases: Arc<HashMap<ServiceName, Host>>,
    /// Addresses of endpoints by Service and hostname.
    members: SharedMap<ServiceName, Arc<Members>>,
}

/// Addresses of the endpoints of one Service by hostname.
type Members = BTreeMap<String, Vec<IpAddr>>;

impl Names {
    /// Brings the hostnames of a Service's endpoints to what they are now; says whether they are different.
    pub(super) fn follow(&mut self, index: &Index, services: &Services, service: &ServiceName) -> bool {
        let members = members(index, services, service);
        let known = self.members.get(service);
        if known.map_or(members.is_empty(), |known| **known == members) {
            return false;
        }
        if members.is_empty() {
            self.members.remove(service);
        } else {
            self.members.insert(service.clone(), Arc::new(members));
        }
        true
    }

    /// What a host stands for, as a client in `namespace` writes it. `known` says whether there is a Service.
    pub fn meaning(
        &self,
        host: &Host,
        namespace: &str,
        known: impl Fn(&ServiceName) -> bool,
    ) -> Option<HostMeaning> {
        let candidates = service_of(host.as_str(), namespace, CLUSTER_DOMAIN);
        if let Some(service) = candidates.service() {
            if let Some(alias) = self.aliases.get(service) {
                return Some(HostMeaning::Alias(alias.clone()));
            }
            if known(service) {
                return Some(HostMeaning::Service(service.clone()));
            }
        }
        if let Some(addresses) = self.member(host, namespace) {
            return Some(HostMeaning::Endpoints(addresses.clone()));
        }
        self.hosts.get(host).map(|name| HostMeaning::External(name.clone()))
    }

    /// `HOSTNAME.SERVICE…`, where the rest is as of a Service's name.
    fn member(&self, host: &Host, namespace: &str) -> Option<&Vec<IpAddr>> {
        let (hostname, rest) = host.as_str().split_once('.')?;
        let service = service_of(rest, namespace, CLUSTER_DOMAIN);
        self.members.get(service.service()?)?.get(hostname)
    }
}

/// Compiles every ExternalService, and the names that Services and their endpoints have.
pub fn compile(
    index: &Index,
    services: &mut Services,
    reports: &mut Reports,
) -> (BTreeMap<Name, Arc<ExternalService>>, Names) {
    let (mut hosts, mut aliases) = (HostMap::default(), HashMap::new());
    let externals = externals(index, &mut hosts, reports);
    find_aliases(index, services, &mut aliases, reports);
    let all: BTreeSet<&ServiceName> = index.slices.services().chain(services.keys()).collect();
    let members =
        all.into_iter().map(|service| (service.clone(), Arc::new(members(index, services, service))));
    let members = members.filter(|(_, members)| !members.is_empty()).collect();
    (externals, Names { hosts: Arc::new(hosts), aliases: Arc::new(aliases), members })
}

fn externals(
    index: &Index,
    hosts: &mut HostMap<Name>,
    reports: &mut Reports,
) -> BTreeMap<Name, Arc<ExternalService>> {
    let mut sorted: Vec<_> = index.externals.iter().collect();
    sorted.sort_by_key(|(key, entry)| (created(&entry.object.metadata), (*key).clone()));
    let mut externals = BTreeMap::new();
    for (key, entry) in sorted {
        let Some(name) = key.model_name() else { continue };
        let (external, findings) = external::lower(name.clone(), &entry.object, &entry.origin);
        reports.object(key, &entry.origin, Some(external.resource_name()));
        debug_assert!(findings.faults.is_empty(), "what is not good is not in the index: {findings:?}");
        for (at, host) in external.hosts.iter().enumerate() {
            if let Err(older) = hosts.insert(host, name.clone()) {
                let message = format!(
                    "{host} is a host of ExternalService {older}, which is older, and stays with it; remove it from one of the two"
                );
                reports.say(
                    key,
                    Condition::failed(
                        ConditionType::Accepted,
                        "HostInUse",
                        format!("spec.hosts[{at}]"),
                        message,
                    ),
                );
            }
        }
        externals.insert(name, Arc::new(external));
    }
    externals
}

/// ExternalName Services are other names and nothing else: they are taken out of the destinations.
fn find_aliases(
    index: &Index,
    services: &mut Services,
    aliases: &mut HashMap<ServiceName, Host>,
    reports: &mut Reports,
) {
    for (key, entry) in index.services.store.iter() {
        let Some(name) = key.model_name().map(ServiceName) else { continue };
        let Some(spec) =
            entry.object.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("ExternalName"))
        else {
            continue;
        };
        let text = spec.external_name.as_deref().unwrap_or_default();
        let condition = match Host::parse(text) {
            Some(host) => {
                let message = format!("is another name for {host}; routes and policies cannot refer to it");
                services.remove(&name);
                aliases.insert(name, host);
                Condition::noted(ConditionType::Accepted, "Alias", "spec.type", message)
            }
            None => {
                let message =
                    format!("`{text}` is not a host name, which a Service of type ExternalName needs");
                Condition::failed(ConditionType::Accepted, "InvalidName", "spec.externalName", message)
            }
        };
        reports.say(key, condition);
    }
}

/// Hostnames of the EndpointSlices of a Service; and, if it is headless, of Workloads behind it, whose own names are their hostnames.
fn members(index: &Index, services: &Services, name: &ServiceName) -> Members {
    let mut members: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    for (_, entry) in index.slices.of_service(name) {
        for endpoint in &entry.object.endpoints {
            let Some(hostname) = &endpoint.hostname else { continue };
            members.entry(hostname.to_ascii_lowercase()).or_default().extend(endpoint.addresses());
        }
    }
    let headless = services.get(name).filter(|(service, _)| service.addresses.is_empty());
    for endpoint in
        headless.into_iter().flat_map(|(_, endpoints)| &endpoints.ports).flat_map(|port| &port.endpoints)
    {
        // A pod's hostname is in its slice, if it has one.
        if let Some(workload) = &endpoint.workload
            && index.workloads.find(workload).is_some()
        {
            members.entry(workload.0.name().to_owned()).or_default().insert(endpoint.address.ip());
        }
    }
    members.into_iter().map(|(hostname, ips)| (hostname, ips.into_iter().collect())).collect()
}

#[cfg(test)]
mod tests;
