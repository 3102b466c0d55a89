//! What proxies can be told at one revision: every resource encoded once, and who needs it. Immutable. It must not know streams.

mod compare;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mesh_model::address::{Address, Meaning};
use mesh_model::external::{ExternalService, HostEntry, HostMeaning};
use mesh_model::host::Host;
use mesh_model::name::{Name, ServiceName, WorkloadName};
use mesh_model::policy::AuthorizationPolicy;
use mesh_model::route::{BackendTarget, ParentRef, Route, RouteId};
use mesh_model::service::OwnServices;
use mesh_model::stream::StreamRoute;
use mesh_model::traffic::PolicyTarget;
use mesh_proto::convert::{self, ModelResource};
use prost::Message;

use super::guards::Guards;
use super::mine::{AllMine, Mine};
use super::touched::Touched;
use crate::compile::Compiled;
use crate::compile::authorization::Authorization;
use crate::compile::names::Names;

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
#[derive(Debug)]
struct Entry {
    service: Arc<Resource>,
    endpoints: Arc<Resource>,
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

/// An address, encoded when the first proxy asks for it: there are many, and most are never dialled.
#[derive(Debug)]
struct Place {
    address: Arc<Address>,
    resource: OnceLock<Arc<Resource>>,
}

/// Everything at one revision.
#[derive(Debug)]
pub struct Snapshot {
    /// Of the source.
    pub revision: u64,
    /// When the source gave it, Unix milliseconds.
    pub time_ms: u64,
    resources: HashMap<Arc<str>, Arc<Resource>>,
    mesh: Arc<Resource>,
    services: BTreeMap<ServiceName, Entry>,
    /// What each workload serves. They share a name, so they are not among the others.
    own: BTreeMap<WorkloadName, Arc<Resource>>,
    /// Who may call each workload; of one object there may be several forms, so they are not among the others either.
    guards: Guards,
    /// Services that authorization policies have asked, by the name of the policy's resource.
    asked_by: HashMap<Arc<str>, ServiceName>,
    /// Of workloads that serve nothing.
    serves_nothing: Arc<Resource>,
    /// Whom workloads let in, as of `own`.
    authentication: AllMine,
    addresses: HashMap<IpAddr, Arc<Place>>,
    externals: BTreeMap<Name, Arc<Resource>>,
    names: Arc<Names>,
}

impl Snapshot {
    /// Encodes `compiled`. Resources whose version is that of `before` are taken from there, bytes and all. Tells what is different.
    pub fn build(compiled: &Compiled, revision: u64, time_ms: u64, before: Option<&Self>) -> (Self, Touched) {
        let mut builder = Builder { before, resources: HashMap::new() };
        let mesh = builder.encode(&ModelResource::Mesh(compiled.mesh.clone()));
        let mut services = BTreeMap::new();
        for (name, (service, endpoints)) in &compiled.services {
            let service = builder.encode(&ModelResource::Service(service.clone()));
            let endpoints = builder.encode(&ModelResource::Endpoints(endpoints.clone()));
            let entry = Entry { service, endpoints, routes: Vec::new(), policies: Vec::new() };
            services.insert(name.clone(), entry);
        }
        let mut of_routes: BTreeMap<&RouteId, Vec<AttachedPolicy>> = BTreeMap::new();
        for policy in &compiled.policies {
            let resource = builder.encode(&ModelResource::Policy((**policy).clone()));
            let asked = policy.settings.global_rate.as_ref().and_then(|rate| service_of(&rate.target));
            let attached = AttachedPolicy { resource, asked };
            for target in &policy.targets {
                let policies = match target {
                    PolicyTarget::Service { service, .. } => {
                        services.get_mut(service).map(|entry| &mut entry.policies)
                    }
                    PolicyTarget::Route { route, .. } => Some(of_routes.entry(route).or_default()),
                };
                if let Some(policies) = policies {
                    policies.push(attached.clone());
                }
            }
        }
        for route in &compiled.routes {
            let attached = builder.route(route, of_routes.remove(&route.id).unwrap_or_default());
            attach(&mut services, &route.parents, &attached);
        }
        for route in &compiled.streams {
            let attached = builder.stream(route);
            attach(&mut services, &route.parents, &attached);
        }
        let serves_nothing = own(None, &OwnServices::default());
        let known = |workload| before.and_then(|before| before.own.get(workload));
        let own: BTreeMap<WorkloadName, Arc<Resource>> = compiled
            .own
            .iter()
            .map(|(workload, services)| (workload.clone(), own(known(workload), services)))
            .collect();
        let authentication =
            AllMine::build(&compiled.authentication, before.map(|before| &before.authentication));
        let guards = Guards::build(&compiled.authorization, before.map(|before| &before.guards));
        let asked_by = asked_by(&compiled.authorization);
        let mut externals = BTreeMap::new();
        for (name, external) in &compiled.externals {
            let external = ExternalService::clone(external);
            externals.insert(name.clone(), builder.encode(&ModelResource::External(external)));
        }
        let addresses = places(&compiled.addresses, before);
        let Builder { resources, .. } = builder;
        let snapshot = Self {
            revision,
            time_ms,
            resources,
            mesh,
            services,
            own,
            guards,
            asked_by,
            serves_nothing,
            authentication,
            addresses,
            externals,
            names: Arc::clone(&compiled.names),
        };
        let touched = before.map_or_else(compare::everything, |before| snapshot.unlike(before));
        (snapshot, touched)
    }

    /// The resource of that name.
    pub fn resource(&self, name: &str) -> Option<&Arc<Resource>> {
        match convert::address_of(name) {
            Some(ip) => self.addresses.get(&ip).map(|place| place.resource()),
            None => self.resources.get(name),
        }
    }

    /// How many resources there are, addresses not counted.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Never: there are always the settings.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// What that workload serves.
    pub fn own(&self, workload: Option<&WorkloadName>) -> &Arc<Resource> {
        workload.and_then(|workload| self.own.get(workload)).unwrap_or(&self.serves_nothing)
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
        self.visit_asked(&entry.policies, &mut visit);
        let seen = |route: &&AttachedRoute| {
            &*route.namespace == service.0.namespace() || &*route.namespace == namespace
        };
        for route in entry.routes.iter().filter(seen) {
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
        visit(place.resource());
        match &place.address.meaning {
            Meaning::Service(service) => self.closure(service, namespace, visit),
            Meaning::Served(served) => {
                for entry in served.services().into_iter().filter_map(|service| self.services.get(service)) {
                    visit(&entry.service);
                    entry.policies.iter().for_each(|policy| visit(&policy.resource));
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

    fn has(&self, ip: IpAddr, place: &Arc<Place>) -> bool {
        self.addresses.get(&ip).is_some_and(|before| Arc::ptr_eq(before, place))
    }
}

impl Place {
    fn resource(&self) -> &Arc<Resource> {
        self.resource.get_or_init(|| {
            let model = ModelResource::Address(Address::clone(&self.address));
            let version = model.version();
            Arc::new(encode(&model, version))
        })
    }
}

/// What is the same as before is taken from there, with its bytes if it was encoded.
fn places(
    addresses: &BTreeMap<IpAddr, Arc<Address>>,
    before: Option<&Snapshot>,
) -> HashMap<IpAddr, Arc<Place>> {
    let place = |ip: &IpAddr, address: &Arc<Address>| {
        let known = before.and_then(|before| before.addresses.get(ip));
        match known.filter(|known| known.address == *address) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Place { address: Arc::clone(address), resource: OnceLock::new() }),
        }
    };
    addresses.iter().map(|(ip, address)| (*ip, place(ip, address))).collect()
}

impl Entry {
    fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a Arc<Resource>)) {
        visit(&self.service);
        visit(&self.endpoints);
        self.policies.iter().for_each(|policy| visit(&policy.resource));
    }
}

/// Puts a route beside each of its parents.
fn attach(services: &mut BTreeMap<ServiceName, Entry>, parents: &[ParentRef], route: &AttachedRoute) {
    let mut parents: Vec<&ServiceName> = parents.iter().map(|parent| &parent.service).collect();
    parents.sort_unstable();
    parents.dedup();
    for parent in parents {
        if let Some(entry) = services.get_mut(parent) {
            entry.routes.push(route.clone());
        }
    }
}

/// What a workload serves, as it was encoded before if that is the same.
fn own(known: Option<&Arc<Resource>>, services: &OwnServices) -> Arc<Resource> {
    let model = ModelResource::Own(services.clone());
    let version = model.version();
    match known.filter(|known| *known.version == *version) {
        Some(known) => Arc::clone(known),
        None => Arc::new(encode(&model, version)),
    }
}

pub(super) fn encode(model: &ModelResource, version: String) -> Resource {
    let mut wire = convert::encode(model);
    wire.version.clone_from(&version);
    Resource { name: model.name().into(), version: version.into(), bytes: wire.encode_to_vec().into() }
}

struct Builder<'a> {
    before: Option<&'a Snapshot>,
    resources: HashMap<Arc<str>, Arc<Resource>>,
}

impl Builder<'_> {
    fn encode(&mut self, model: &ModelResource) -> Arc<Resource> {
        let (name, version) = (model.name(), model.version());
        let known = self.before.and_then(|before| before.resources.get(name.as_str()));
        let resource = match known.filter(|known| *known.version == *version) {
            Some(known) => Arc::clone(known),
            None => Arc::new(encode(model, version)),
        };
        self.resources.insert(Arc::clone(&resource.name), Arc::clone(&resource));
        resource
    }

    fn route(&mut self, route: &Route, policies: Vec<AttachedPolicy>) -> AttachedRoute {
        let resource = self.encode(&ModelResource::Route(route.clone()));
        AttachedRoute {
            resource,
            namespace: route.id.name.namespace().into(),
            backends: backends(route).into(),
            policies: policies.into(),
        }
    }

    fn stream(&mut self, route: &StreamRoute) -> AttachedRoute {
        let mut backends: Vec<ServiceName> =
            route.backends.iter().filter_map(|backend| service_of(&backend.target)).collect();
        backends.sort_unstable();
        backends.dedup();
        AttachedRoute {
            resource: self.encode(&ModelResource::Stream(route.clone())),
            namespace: route.id.name.namespace().into(),
            backends: backends.into(),
            policies: Arc::new([]),
        }
    }
}

/// The service of a backend, if it has one.
fn service_of(target: &BackendTarget) -> Option<ServiceName> {
    match target {
        BackendTarget::Service { service, .. } => Some(service.clone()),
        BackendTarget::Invalid { .. } => None,
    }
}

/// The services that authorization policies have asked.
fn asked_by(authorization: &Authorization) -> HashMap<Arc<str>, ServiceName> {
    let lists = authorization.workloads().map(|(_, policies)| policies);
    let all = lists.chain(authorization.namespaces().map(|(_, policies)| policies)).flatten();
    let asked = |policy: &Arc<AuthorizationPolicy>| {
        let service = service_of(&policy.external.as_ref()?.target)?;
        Some((Arc::from(policy.resource_name()), service))
    };
    all.filter_map(asked).collect()
}

/// Every service that requests of a route, copies of them or questions about them may go to.
fn backends(route: &Route) -> Vec<ServiceName> {
    let of_rules = route.rules.iter().flat_map(|rule| &rule.backends).map(|backend| &backend.target);
    let targets = of_rules.chain(route.mirrors()).chain(route.asked());
    let mut services: Vec<ServiceName> = targets.filter_map(service_of).collect();
    services.sort_unstable();
    services.dedup();
    services
}

#[cfg(test)]
pub(super) mod tests;
