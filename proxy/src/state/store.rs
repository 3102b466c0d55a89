//! The pure store: resources by name with their versions, and how an update changes them.
//!
//! It must not know streams or workers. What is wanted is told to it ([`Store::want`], [`Store::asked`]); which routes are
//! in force is decided in [`super::force`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::address::Sought;
use mesh_model::authentication::Authentication;
use mesh_model::endpoint::Endpoints;
use mesh_model::host::Host;
use mesh_model::name::{Name, ServiceName};
use mesh_model::policy::AuthorizationPolicy;
use mesh_model::route::{Route, RouteId};
use mesh_model::service::{OwnServices, Service};
use mesh_model::settings::MeshSettings;
use mesh_model::stream::{StreamId, StreamRoute};
use mesh_model::traffic::{self, TrafficPolicy};
use mesh_proto::config::v1::{Destination as WireDestination, Reject, Resource, Update};
use mesh_proto::convert::{self, Invalid, ModelResource};

use super::addresses::Addresses;
use super::force::Want;
use super::snapshot::Snapshot;

/// What an update did.
#[derive(Debug)]
pub struct Applied {
    /// Resources that could not be used; what was there before stays.
    pub rejects: Vec<Reject>,
    /// The picture after it.
    pub snapshot: Arc<Snapshot>,
}

/// All that this proxy holds. One value; the control thread owns it.
#[derive(Debug)]
pub struct Store {
    pub(super) client_namespace: String,
    pub(super) settings: Option<Versioned<MeshSettings>>,
    pub(super) services: HashMap<ServiceName, Versioned<Service>>,
    pub(super) endpoints: HashMap<ServiceName, Versioned<Endpoints>>,
    pub(super) routes: BTreeMap<RouteId, Versioned<Route>>,
    pub(super) streams: BTreeMap<StreamId, Versioned<StreamRoute>>,
    pub(super) policies: BTreeMap<Name, Versioned<TrafficPolicy>>,
    /// Who may call the workload. Of one that came and cannot be read, and of which no good form is held, what denies everything.
    pub(super) authorization: BTreeMap<Name, Versioned<AuthorizationPolicy>>,
    pub(super) own: Option<Versioned<OwnServices>>,
    pub(super) authentication: Option<Versioned<Authentication>>,
    /// Endpoints that came but could not be used, and of which no good form is held: nothing to wait for.
    pub(super) refused_endpoints: HashSet<ServiceName>,
    /// What came on this stream and could not be used, by name, with the version that it came in.
    pub(super) rejected: BTreeMap<String, String>,
    pub(super) wanted: BTreeMap<ServiceName, Want>,
    pub(super) addresses: Addresses,
    pub(super) snapshot: Arc<Snapshot>,
}

#[derive(Debug)]
pub(super) struct Versioned<T> {
    pub(super) version: String,
    pub(super) value: Arc<T>,
}

impl<T: PartialEq> Versioned<T> {
    pub(super) fn new(version: String, value: T) -> Self {
        Self { version, value: Arc::new(value) }
    }

    /// Keeps the `Arc` when only the version differs.
    pub(super) fn put(&mut self, version: String, value: T) {
        self.version = version;
        if *self.value != value {
            self.value = Arc::new(value);
        }
    }
}

impl Store {
    /// Empty, for a workload in that namespace.
    pub fn new(client_namespace: &str) -> Self {
        Self {
            client_namespace: client_namespace.to_owned(),
            settings: None,
            services: HashMap::new(),
            endpoints: HashMap::new(),
            routes: BTreeMap::new(),
            streams: BTreeMap::new(),
            policies: BTreeMap::new(),
            authorization: BTreeMap::new(),
            own: None,
            authentication: None,
            refused_endpoints: HashSet::new(),
            rejected: BTreeMap::new(),
            wanted: BTreeMap::new(),
            addresses: Addresses::default(),
            snapshot: Arc::new(Snapshot::default()),
        }
    }

    /// The present picture.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Applies an update in one step. Removals come first, so that what an update both removes and brings is there.
    pub fn apply(&mut self, update: Update) -> Applied {
        for name in &update.removed {
            self.remove(name);
            self.rejected.remove(name);
        }
        let mut rejects = Vec::new();
        for resource in update.resources {
            if let Err(reject) = self.put(resource) {
                rejects.push(reject);
            }
        }
        self.addresses.unknown(&update.unknown_sought);
        self.implied();
        self.answer(&update.unknown, update.subscription);
        if let Some(watermark) = update.watermark {
            Arc::make_mut(&mut self.snapshot).revision = watermark.revision;
        }
        self.rebuild();
        Applied { rejects, snapshot: Arc::clone(&self.snapshot) }
    }

    /// Takes one resource in, or says why not and leaves everything as it was.
    fn put(&mut self, resource: Resource) -> Result<(), Reject> {
        let (name, version) = (resource.name.clone(), resource.version.clone());
        self.rejected.remove(&name);
        let model = convert::decode(resource).map_err(|invalid| {
            self.refuse(&name, &invalid);
            self.rejected.insert(name.clone(), version.clone());
            Reject { resource: invalid.resource, field: invalid.field, reason: invalid.reason }
        })?;
        match model {
            ModelResource::Mesh(settings) => {
                self.settings
                    .get_or_insert_with(|| Versioned::new(String::new(), settings.clone()))
                    .put(version, settings);
            }
            ModelResource::Service(service) => match self.services.get_mut(&service.name) {
                Some(held) => held.put(version, service),
                None => {
                    self.services.insert(service.name.clone(), Versioned::new(version, service));
                }
            },
            ModelResource::Endpoints(endpoints) => {
                self.refused_endpoints.remove(&endpoints.service);
                match self.endpoints.get_mut(&endpoints.service) {
                    Some(held) => held.put(version, endpoints),
                    None => {
                        self.endpoints.insert(endpoints.service.clone(), Versioned::new(version, endpoints));
                    }
                }
            }
            ModelResource::Route(route) => match self.routes.get_mut(&route.id) {
                Some(held) => held.put(version, route),
                None => {
                    self.routes.insert(route.id.clone(), Versioned::new(version, route));
                }
            },
            ModelResource::Stream(route) => match self.streams.get_mut(&route.id) {
                Some(held) => held.put(version, route),
                None => {
                    self.streams.insert(route.id.clone(), Versioned::new(version, route));
                }
            },
            ModelResource::Policy(policy) => match self.policies.get_mut(&policy.name) {
                Some(held) => held.put(version, policy),
                None => {
                    self.policies.insert(policy.name.clone(), Versioned::new(version, policy));
                }
            },
            ModelResource::Authorization(policy) => match self.authorization.get_mut(&policy.name) {
                Some(held) => held.put(version, policy),
                None => {
                    self.authorization.insert(policy.name.clone(), Versioned::new(version, policy));
                }
            },
            ModelResource::Own(own) => {
                for port in &own.ports {
                    // The proxy follows what its workload serves, so that policies of the called side are here.
                    self.wanted.entry(port.service.clone()).or_default();
                }
                match &mut self.own {
                    Some(held) => held.put(version, own),
                    None => self.own = Some(Versioned::new(version, own)),
                }
            }
            ModelResource::Authentication(said) => {
                self.authentication
                    .get_or_insert_with(|| Versioned::new(String::new(), said.clone()))
                    .put(version, said);
            }
            ModelResource::Address(address) => self.addresses.put(version, address),
            ModelResource::Host(entry) => self.addresses.put_host(version, entry),
            ModelResource::External(external) => self.addresses.put_external(version, external),
        }
        Ok(())
    }

    /// A virtual address that is sought brings its service with all that a destination has: it is wanted, and told with it.
    fn implied(&mut self) {
        for service in self.addresses.services() {
            self.wanted.entry(service).or_insert_with(Want::implied);
        }
    }

    /// Notes endpoints that cannot be used, so that no route waits for them for ever; and closes what a policy protects that cannot be
    /// read and was never good (INV-7); where whom to let in cannot be read, nobody gets in. What stands in has no version of
    /// the controller's, so that the next stream brings it anew.
    fn refuse(&mut self, name: &str, invalid: &Invalid) {
        if name == convert::AUTHENTICATION {
            let strict = || Versioned::new(String::new(), Authentication::closed(""));
            self.authentication.get_or_insert_with(strict);
        }
        match Resourceful::parse(name) {
            Some(Resourceful::Endpoints(service)) if !self.endpoints.contains_key(&service) => {
                self.refused_endpoints.insert(service);
            }
            Some(Resourceful::Authorization(name)) => {
                let closed = AuthorizationPolicy::closed(name.clone(), invalid.to_string());
                self.authorization.entry(name).or_insert_with(|| Versioned::new(String::new(), closed));
            }
            _ => {}
        }
    }

    fn remove(&mut self, name: &str) {
        match Resourceful::parse(name) {
            Some(Resourceful::Service(service)) => {
                self.services.remove(&service);
                if let Some(want) = self.wanted.get_mut(&service) {
                    want.lost();
                }
            }
            Some(Resourceful::Endpoints(service)) => {
                self.refused_endpoints.remove(&service);
                self.endpoints.remove(&service);
            }
            Some(Resourceful::Route) => self.routes.retain(|id, _| id.to_string() != name),
            Some(Resourceful::Stream) => self.streams.retain(|id, _| id.to_string() != name),
            Some(Resourceful::Policy) => self.policies.retain(|of, _| traffic::resource_name(of) != name),
            Some(Resourceful::Authorization(name)) => {
                self.authorization.remove(&name);
            }
            Some(Resourceful::Own) => self.own = None,
            Some(Resourceful::Address(ip)) => {
                self.addresses.found.remove(&ip);
            }
            Some(Resourceful::Host(host)) => {
                self.addresses.hosts.remove(&host);
            }
            Some(Resourceful::External(name)) => {
                self.addresses.externals.remove(&name);
            }
            // The settings of the mesh are never gone, nor is whom to let in: to forget it could open something. A name that means nothing here is not held either.
            None => {}
        }
    }

    /// Settles which destinations the controller has told about.
    fn answer(&mut self, unknown: &[WireDestination], subscription: u64) {
        for destination in unknown {
            if let Ok(service) = ServiceName::new(&destination.namespace, &destination.name)
                && let Some(want) = self.wanted.get_mut(&service)
            {
                want.gone();
            }
        }
        let unknown: HashSet<(&str, &str)> =
            unknown.iter().map(|d| (d.namespace.as_str(), d.name.as_str())).collect();
        for (service, want) in &mut self.wanted {
            let said_unknown = unknown.contains(&(service.0.namespace(), service.0.name()));
            if !said_unknown && self.services.contains_key(service) {
                want.told(subscription);
            }
        }
    }

    /// Asks for a destination, unless it is wanted already.
    pub fn want(&mut self, service: &ServiceName) {
        self.wanted.entry(service.clone()).or_default();
    }

    /// Asks what an address or a host is, unless that is asked already. What is still held of it is in the picture at once.
    pub fn seek(&mut self, sought: &Sought) -> &Arc<Snapshot> {
        self.addresses.want(sought);
        if self.addresses.is_known(sought) {
            self.implied();
            self.rebuild();
        }
        &self.snapshot
    }

    /// Addresses and hosts that were not asked for yet.
    pub fn sought_not_asked(&self) -> impl Iterator<Item = &Sought> {
        self.addresses.not_asked()
    }

    /// Every address and host that is sought.
    pub fn sought(&self) -> impl Iterator<Item = &Sought> {
        self.addresses.all()
    }

    /// How many addresses and hosts are sought.
    pub fn sought_count(&self) -> usize {
        self.addresses.count()
    }

    /// Whether that is sought.
    pub fn is_sought(&self, sought: &Sought) -> bool {
        self.addresses.is_wanted(sought)
    }

    /// What is sought and not known.
    pub fn sought_without_answer(&self) -> impl Iterator<Item = &Sought> {
        self.addresses.all().filter(|sought| !self.addresses.is_known(sought))
    }

    /// Forgets an address or a host. As with a destination, the resource goes when the controller says so.
    pub fn forget_sought(&mut self, sought: &Sought) -> &Arc<Snapshot> {
        self.addresses.forget(sought);
        self.rebuild();
        &self.snapshot
    }

    /// Takes the marks of use of what is sought.
    pub fn take_used_sought(&mut self) -> Vec<(Sought, bool)> {
        self.addresses.take_used()
    }

    /// Notes that everything wanted and not told yet was asked for with the Subscribe (or, as 1, the Hello) of that number.
    pub fn asked(&mut self, sequence: u64) {
        self.addresses.asked();
        for want in self.wanted.values_mut() {
            want.asked(sequence);
        }
    }

    /// A new stream begins: what was asked and not answered has to be asked again.
    pub fn restart(&mut self) {
        for want in self.wanted.values_mut() {
            want.restart();
        }
    }

    /// Something went wrong amid a change. What is held stays, but in no version of the controller's, so that the next stream brings all
    /// of it anew, and says what is gone.
    pub fn distrust(&mut self) {
        fn forget<'a, T: 'a>(held: impl IntoIterator<Item = &'a mut Versioned<T>>) {
            held.into_iter().for_each(|held| held.version.clear());
        }
        forget(&mut self.settings);
        forget(&mut self.own);
        forget(&mut self.authentication);
        forget(self.services.values_mut());
        forget(self.endpoints.values_mut());
        forget(self.routes.values_mut());
        forget(self.streams.values_mut());
        forget(self.policies.values_mut());
        forget(self.authorization.values_mut());
        forget(self.addresses.found.values_mut());
        forget(self.addresses.hosts.values_mut());
        forget(self.addresses.externals.values_mut());
    }

    /// What is wanted and was not asked for yet.
    pub fn not_asked(&self) -> impl Iterator<Item = &ServiceName> {
        self.wanted.iter().filter(|(_, want)| want.is_to_ask()).map(|(name, _)| name)
    }

    /// What is wanted and not known to exist. What the workload serves itself is not among it.
    pub fn without_answer(&self) -> impl Iterator<Item = &ServiceName> {
        self.wanted.iter().filter(|(name, want)| !want.is_known() && !self.is_own(name)).map(|(name, _)| name)
    }

    /// Whether the workload serves it.
    fn is_own(&self, service: &ServiceName) -> bool {
        self.own.as_ref().is_some_and(|own| own.value.ports.iter().any(|port| port.service == *service))
    }

    /// Whether it is wanted.
    pub fn is_wanted(&self, service: &ServiceName) -> bool {
        self.wanted.contains_key(service)
    }

    /// Forgets a destination. Its resources go when the controller says so, since others may need them.
    pub fn forget(&mut self, service: &ServiceName) -> &Arc<Snapshot> {
        self.wanted.remove(service);
        self.rebuild();
        &self.snapshot
    }

    /// What is wanted.
    pub fn destinations(&self) -> impl Iterator<Item = &ServiceName> {
        self.wanted.keys()
    }

    /// Number of destinations that are wanted.
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    /// Takes the marks of use: every wanted destination, and whether the workload asked for it since the last call. What it
    /// serves itself is always in use.
    pub fn take_used(&mut self) -> Vec<(ServiceName, bool)> {
        self.wanted.iter().map(|(name, want)| (name.clone(), want.take_used() || self.is_own(name))).collect()
    }
}

/// What the name of a resource refers to.
enum Resourceful {
    Service(ServiceName),
    Endpoints(ServiceName),
    Route,
    Stream,
    Policy,
    Authorization(Name),
    Own,
    Address(IpAddr),
    Host(Host),
    External(Name),
}

impl Resourceful {
    fn parse(name: &str) -> Option<Self> {
        if name == convert::OWN {
            return Some(Self::Own);
        }
        if let Some(ip) = convert::address_of(name) {
            return Some(Self::Address(ip));
        }
        if let Some(host) = convert::host_of(name) {
            return Some(Self::Host(host));
        }
        let mut parts = name.splitn(3, '/');
        let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        let service = || ServiceName::new(namespace, name).ok();
        match kind {
            "service" => service().map(Self::Service),
            "endpoints" => service().map(Self::Endpoints),
            "httproute" | "grpcroute" => Some(Self::Route),
            "tcproute" | "tlsroute" => Some(Self::Stream),
            "externalservice" => Name::new(namespace, name).ok().map(Self::External),
            "trafficpolicy" => Some(Self::Policy),
            "authorizationpolicy" => Name::new(namespace, name).ok().map(Self::Authorization),
            _ => None,
        }
    }
}
