//! What proxies can be told at one revision: every resource encoded once, and who needs it. Immutable. It must not know streams.

mod build;
mod compare;
mod follow;
mod lazy;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use mesh_model::address::{Address, Meaning};
use mesh_model::external::{HostEntry, HostMeaning};
use mesh_model::host::Host;
use mesh_model::name::{Name, ServiceName, WorkloadName};
use mesh_model::service::OwnServices;
use mesh_proto::convert::{self, ModelResource};

pub(super) use self::build::encode;
use self::lazy::{Lazy, LazyService};
use super::guards::Guards;
use super::mine::{AllMine, Mine};
use crate::compile::names::Names;
use crate::shared::SharedMap;

/// A resource as it goes to proxies.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// `service/NS/NAME` and so on.
    pub name: Arc<str>,
    /// Hash of the meaning.
    pub version: Arc<str>,
    /// A `mesh.config.v1.Resource`.
    pub bytes: Bytes,
}

/// A service with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    service: LazyService,
    attached: Attached,
}

/// What belongs to a service.
#[derive(Debug, Clone, Default, PartialEq)]
struct Attached {
    routes: Vec<AttachedRoute>,
    policies: Vec<AttachedPolicy>,
}

/// A policy, and the service that it has asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AttachedPolicy {
    resource: Arc<Resource>,
    asked: Option<ServiceName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct AttachedRoute {
    resource: Arc<Resource>,
    namespace: Arc<str>,
    backends: Arc<[ServiceName]>,
    policies: Arc<[AttachedPolicy]>,
}

/// There are many, and most are never dialled.
type Place = Lazy<Address>;
/// There are many, and most have no proxy here.
type Own = Lazy<OwnServices>;

/// Everything at one revision. A copy is cheap. Two are equal that say the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Of the source.
    pub revision: u64,
    /// When the source gave it, Unix milliseconds.
    pub time_ms: u64,
    /// By name; services, endpoints and addresses are not among them.
    resources: Arc<HashMap<Arc<str>, Arc<Resource>>>,
    mesh: Arc<Resource>,
    services: SharedMap<ServiceName, Arc<Entry>>,
    /// What each workload serves. They share a name, so they are not among the others.
    own: SharedMap<WorkloadName, Arc<Own>>,
    /// Who may call each workload; of one object there may be several forms, so they are not among the others either.
    guards: Arc<Guards>,
    /// Services that authorization policies have asked, by the name of the policy's resource.
    asked_by: Arc<HashMap<Arc<str>, ServiceName>>,
    /// Of workloads that serve nothing.
    serves_nothing: Arc<Resource>,
    /// Whom workloads let in, as of `own`.
    authentication: Arc<AllMine>,
    addresses: SharedMap<IpAddr, Arc<Place>>,
    externals: Arc<BTreeMap<Name, Arc<Resource>>>,
    names: Arc<Names>,
}

impl Snapshot {
    /// The resource of that name.
    pub fn resource(&self, name: &str) -> Option<&Arc<Resource>> {
        if let Some(ip) = convert::address_of(name) {
            return self.addresses.get(&ip).map(|place| place.resource(ModelResource::Address));
        }
        let service = |name: &str| {
            let (namespace, name) = name.split_once('/')?;
            self.services.get_by(|other| (other.0.namespace(), other.0.name()).cmp(&(namespace, name)))
        };
        match name.split_once('/') {
            Some(("service", name)) => service(name).map(|entry| entry.service.service()),
            Some(("endpoints", name)) => service(name).map(|entry| entry.service.endpoints()),
            _ => self.resources.get(name),
        }
    }

    /// How many resources there are, addresses not counted.
    pub fn len(&self) -> usize {
        self.resources.len() + 2 * self.services.len()
    }

    /// Never: there are always the settings.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// What that workload serves.
    pub fn own(&self, workload: Option<&WorkloadName>) -> &Arc<Resource> {
        let own = workload.and_then(|workload| self.own.get(workload));
        own.map_or(&self.serves_nothing, |own| own.resource(ModelResource::Own))
    }

    /// Whom that workload lets in unauthenticated, and the objects that say so, by their names.
    pub fn authentication(&self, namespace: &str, workload: Option<&WorkloadName>) -> &Mine {
        self.authentication.of(namespace, workload)
    }

    /// Who may call that workload; without a name that is known, what holds for everybody in its namespace.
    pub fn authorization(&self, workload: Option<&WorkloadName>, namespace: &str) -> &[Arc<Resource>] {
        self.guards.of(workload, namespace)
    }

    /// The settings of the mesh.
    pub fn mesh(&self) -> &Arc<Resource> {
        &self.mesh
    }

    /// Calls `visit` for all that a client in `namespace` needs to call `service`: the service, its endpoints, its routes (the
    /// service's own namespace's, and the client's: GEP-1294), services and endpoints of their backends and mirrors, and the
    /// policies of all of them; and what is asked about requests. `false`: there is no such service.
    #[must_use]
    pub fn closure<'a>(
        &'a self,
        service: &ServiceName,
        namespace: &str,
        mut visit: impl FnMut(&'a Arc<Resource>),
    ) -> bool {
        let Some(entry) = self.services.get(service) else { return false };
        entry.visit(&mut visit);
        self.visit_asked(&entry.attached.policies, &mut visit);
        let seen = |route: &&AttachedRoute| {
            &*route.namespace == service.0.namespace() || &*route.namespace == namespace
        };
        for route in entry.attached.routes.iter().filter(seen) {
            visit(&route.resource);
            route.policies.iter().for_each(|policy| visit(&policy.resource));
            self.visit_asked(&route.policies, &mut visit);
            for backend in route.backends.iter().filter_map(|backend| self.services.get(backend)) {
                backend.visit(&mut visit);
            }
        }
        true
    }

    /// The services that policies have asked, with what is needed to call them.
    fn visit_asked<'a>(&'a self, policies: &[AttachedPolicy], visit: &mut impl FnMut(&'a Arc<Resource>)) {
        let asked = policies.iter().filter_map(|policy| policy.asked.as_ref());
        asked.filter_map(|service| self.services.get(service)).for_each(|entry| entry.visit(visit));
    }

    /// Calls `visit` for who may call that workload, as [`Snapshot::authorization`], and for what is asked about its callers.
    pub fn closure_of_authorization<'a>(
        &'a self,
        workload: Option<&WorkloadName>,
        namespace: &str,
        mut visit: impl FnMut(&'a Arc<Resource>),
    ) {
        for policy in self.authorization(workload, namespace) {
            visit(policy);
            let asked = self.asked_by.get(&policy.name).and_then(|service| self.services.get(service));
            if let Some(entry) = asked {
                entry.visit(&mut visit);
            }
        }
    }
}

impl Snapshot {
    /// Calls `visit` for what an address is and for all that a client in `namespace` needs to talk to it: the closure of the service whose
    /// virtual address it is; or the services and policies, without routes and endpoints, that stand at an endpoint's own address.
    /// `false`: it is nothing that the mesh knows.
    #[must_use]
    pub fn closure_of_address<'a>(
        &'a self,
        ip: IpAddr,
        namespace: &str,
        mut visit: impl FnMut(&'a Arc<Resource>),
    ) -> bool {
        let Some(place) = self.addresses.get(&ip) else { return false };
        visit(place.resource(ModelResource::Address));
        match &place.model().meaning {
            Meaning::Service(service) => self.closure(service, namespace, visit),
            Meaning::Served(served) => {
                for entry in served.services().into_iter().filter_map(|service| self.services.get(service)) {
                    visit(entry.service.service());
                    entry.attached.policies.iter().for_each(|policy| visit(&policy.resource));
                }
                true
            }
        }
    }

    /// What a host stands for to clients in `namespace`, encoded. `None`: nothing that the mesh knows.
    pub fn host(&self, host: &Host, namespace: &str) -> Option<(HostMeaning, Resource)> {
        let known = |service: &ServiceName| self.services.contains_key(service);
        let meaning = self.names.meaning(host, namespace, known)?;
        let model = ModelResource::Host(HostEntry { host: host.clone(), meaning: meaning.clone() });
        let version = model.version();
        Some((meaning, encode(&model, version)))
    }

    /// Calls `visit` for all that a client in `namespace` needs besides the meaning of a host.
    pub fn closure_of_meaning<'a>(
        &'a self,
        meaning: &HostMeaning,
        namespace: &str,
        mut visit: impl FnMut(&'a Arc<Resource>),
    ) {
        match meaning {
            HostMeaning::Service(service) => {
                // It was there when the meaning was found, in this very snapshot.
                let _ = self.closure(service, namespace, visit);
            }
            HostMeaning::External(name) => self.externals.get(name).into_iter().for_each(&mut visit),
            HostMeaning::Endpoints(_) | HostMeaning::Alias(_) => {}
        }
    }
}

impl Entry {
    fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a Arc<Resource>)) {
        visit(self.service.service());
        visit(self.service.endpoints());
        self.attached.policies.iter().for_each(|policy| visit(&policy.resource));
    }
}

#[cfg(test)]
pub(super) mod tests;
