//! What the workers see: an immutable picture of the configuration. It must not know how it came about.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use mesh_model::address::{Address, Sought};
use mesh_model::authentication::Authentication;
use mesh_model::endpoint::Endpoints;
use mesh_model::external::{ExternalService, HostEntry};
use mesh_model::host::Host;
use mesh_model::name::ServiceName;
use mesh_model::policy::AuthorizationPolicy;
use mesh_model::route::table::RouteTable;
use mesh_model::service::{OwnServices, Service};
use mesh_model::settings::{MeshSettings, MtlsMode};
use mesh_model::stream::StreamTable;
use mesh_model::traffic::effective::BackendPolicy;

use super::force::Tables;

/// A consistent picture of the configuration. What did not change from one snapshot to the next keeps its `Arc`, so that
/// `Arc::ptr_eq` says whether anything must be rebuilt.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(super) settings: Option<Arc<MeshSettings>>,
    pub(super) services: Arc<HashMap<ServiceName, Arc<Service>>>,
    pub(super) endpoints: Arc<HashMap<ServiceName, Arc<Endpoints>>>,
    pub(super) destinations: Arc<HashMap<ServiceName, Arc<Destination>>>,
    pub(super) unknown: Arc<HashSet<ServiceName>>,
    pub(super) backend_policies: Arc<HashMap<ServiceName, PortPolicies>>,
    pub(super) authorization: Arc<[Arc<AuthorizationPolicy>]>,
    pub(super) own: Arc<OwnServices>,
    pub(super) authentication: Option<Arc<Authentication>>,
    pub(super) addresses: Arc<HashMap<IpAddr, Arc<KnownAddress>>>,
    pub(super) hosts: Arc<HashMap<Host, Arc<KnownHost>>>,
    pub(super) unknown_sought: Arc<HashSet<Sought>>,
    pub(super) revision: u64,
}

/// The settings of a service that policies are attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortPolicies {
    /// Of the ports that policies name.
    pub(super) named: Vec<(u16, Arc<BackendPolicy>)>,
    /// Of every other port.
    pub(super) others: Arc<BackendPolicy>,
}

impl PortPolicies {
    /// All that were in force for a service, the default included.
    pub(super) fn known(former: Option<&Self>) -> Vec<Arc<BackendPolicy>> {
        let mut known = vec![Arc::clone(&DEFAULT_BACKEND)];
        if let Some(former) = former {
            known.extend(former.named.iter().map(|(_, policy)| policy).chain([&former.others]).cloned());
        }
        known
    }

    pub(super) fn port(&self, port: u16) -> &Arc<BackendPolicy> {
        self.named.iter().find(|(named, _)| *named == port).map_or(&self.others, |(_, policy)| policy)
    }
}

/// The settings of every service without a policy.
static DEFAULT_BACKEND: LazyLock<Arc<BackendPolicy>> = LazyLock::new(Arc::default);

/// What a snapshot says about a destination.
#[derive(Debug, Clone, Copy)]
pub enum Lookup<'a> {
    /// The controller has told what it is.
    Known(&'a Arc<Destination>),
    /// The controller has said that there is no such service. It will tell when there is.
    Unknown,
    /// Nobody has asked yet, or the answer is not here.
    NotAsked,
}

/// What a snapshot says about an address.
#[derive(Debug, Clone, Copy)]
pub enum LookupAddress<'a> {
    /// The controller has told what it is.
    Known(&'a Arc<KnownAddress>),
    /// The controller has said that it is nothing that the mesh knows. It will tell when it is.
    Unknown,
    /// Nobody has asked yet, or the answer is not here.
    NotAsked,
}

/// An address that the workload has dialled.
#[derive(Debug)]
pub struct KnownAddress {
    /// What it is.
    pub address: Arc<Address>,
    /// As of a destination.
    pub(super) used: Arc<AtomicBool>,
}

/// A host that was asked about and is known.
#[derive(Debug)]
pub struct KnownHost {
    /// What it stands for.
    pub entry: Arc<HostEntry>,
    /// The external service whose host it is, if it is one's.
    pub external: Option<Arc<ExternalService>>,
    /// As of a destination.
    pub(super) used: Arc<AtomicBool>,
}

impl KnownHost {
    /// Notes that the workload uses it.
    pub(crate) fn mark_used(&self) {
        mark(&self.used);
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let external = match (&self.external, &other.external) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        external && Arc::ptr_eq(&self.entry, &other.entry) && Arc::ptr_eq(&self.used, &other.used)
    }
}

/// What a snapshot says about a host.
#[derive(Debug, Clone, Copy)]
pub enum LookupHost<'a> {
    /// The controller has told what it stands for.
    Known(&'a Arc<KnownHost>),
    /// The controller has said that it is nothing that the mesh knows. It will tell when it is.
    Unknown,
    /// Nobody has asked yet, or the answer is not here.
    NotAsked,
}

impl KnownAddress {
    /// Notes that the workload uses it.
    pub(crate) fn mark_used(&self) {
        mark(&self.used);
    }
}

/// Writes only once between two sweeps, so that workers do not fight for the line.
fn mark(used: &AtomicBool) {
    if !used.load(Ordering::Relaxed) {
        used.store(true, Ordering::Relaxed);
    }
}

/// A service that the workload calls, with its routes.
pub struct Destination {
    /// The service.
    pub service: Arc<Service>,
    /// The tables of each port of the service, in force.
    pub(super) tables: Vec<(u16, Tables)>,
    /// Set by lookups, taken by the sweep for unused destinations; shared by all versions of this destination.
    pub(crate) used: Arc<AtomicBool>,
}

impl Destination {
    /// The routes of that port; `None` if the service has no such port.
    pub fn table(&self, port: u16) -> Option<&Arc<RouteTable>> {
        self.tables.iter().find(|(of, _)| *of == port).map(|(_, tables)| &tables.requests)
    }

    /// The routes of connections of that port. Where some count, every connection to it is carried as bytes and goes by them; `None` if the service has no such port.
    pub fn streams(&self, port: u16) -> Option<&Arc<StreamTable>> {
        self.tables.iter().find(|(of, _)| *of == port).map(|(_, tables)| &tables.streams)
    }

    /// Notes that the workload uses it.
    pub(crate) fn mark_used(&self) {
        mark(&self.used);
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports: Vec<u16> = self.tables.iter().map(|(port, _)| *port).collect();
        f.debug_struct("Destination")
            .field("service", &self.service.name)
            .field("ports", &ports)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("revision", &self.revision)
            .field("destinations", &self.destinations.len())
            .field("services", &self.services.len())
            .field("endpoints", &self.endpoints.len())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Settings of the mesh; `None` until the first configuration.
    pub fn settings(&self) -> Option<&Arc<MeshSettings>> {
        self.settings.as_ref()
    }

    /// What is known about that destination.
    pub fn destination(&self, service: &ServiceName) -> Lookup<'_> {
        match self.destinations.get(service) {
            Some(destination) => Lookup::Known(destination),
            None if self.unknown.contains(service) => Lookup::Unknown,
            None => Lookup::NotAsked,
        }
    }

    /// What is known about that address, IPv4 never dressed as IPv6.
    pub fn address(&self, ip: IpAddr) -> LookupAddress<'_> {
        match self.addresses.get(&ip) {
            Some(known) => LookupAddress::Known(known),
            None if self.unknown_sought.contains(&Sought::Address(ip)) => LookupAddress::Unknown,
            None => LookupAddress::NotAsked,
        }
    }

    /// What is known about that host.
    pub fn host(&self, host: &Host) -> LookupHost<'_> {
        match self.hosts.get(host) {
            Some(known) => LookupHost::Known(known),
            None if self.unknown_sought.contains(&Sought::Host(host.clone())) => LookupHost::Unknown,
            None => LookupHost::NotAsked,
        }
    }

    /// All addresses that were asked for and are known.
    pub fn addresses(&self) -> impl Iterator<Item = &Arc<KnownAddress>> {
        self.addresses.values()
    }

    /// All hosts that were asked for and are known.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<KnownHost>> {
        self.hosts.values()
    }

    /// Addresses and hosts that the controller does not know.
    pub fn unknown_sought(&self) -> impl Iterator<Item = &Sought> {
        self.unknown_sought.iter()
    }

    /// A service, whether a destination itself or only a backend of one.
    pub fn service(&self, service: &ServiceName) -> Option<&Arc<Service>> {
        self.services.get(service)
    }

    /// The endpoints of a service. The `Arc` is another one only when the endpoints changed.
    pub fn endpoints(&self, service: &ServiceName) -> Option<&Arc<Endpoints>> {
        self.endpoints.get(service)
    }

    /// The settings in force for that port of a backend. The `Arc` is another one only when they changed.
    pub fn backend_policy(&self, service: &ServiceName, port: u16) -> Arc<BackendPolicy> {
        let policy = self.backend_policies.get(service).map(|ports| ports.port(port));
        Arc::clone(policy.unwrap_or(&DEFAULT_BACKEND))
    }

    /// Who may call this proxy's workload, ordered by name. The `Arc` is another one only when that changed.
    pub fn authorization(&self) -> &Arc<[Arc<AuthorizationPolicy>]> {
        &self.authorization
    }

    /// What this proxy's workload serves itself; empty until the controller says so.
    pub fn own(&self) -> &Arc<OwnServices> {
        &self.own
    }

    /// Whether mutual TLS is required at a port of this workload. Until the controller has said so: yes (INV-7). One of an earlier version
    /// says it for the whole mesh alone.
    pub fn mtls_mode(&self, port: u16) -> MtlsMode {
        match (&self.authentication, &self.settings) {
            (Some(authentication), _) => authentication.mode(port),
            (None, Some(settings)) => settings.mtls_mode,
            (None, None) => MtlsMode::Strict,
        }
    }

    /// Whom this workload lets in, as the controller says it.
    pub fn authentication(&self) -> Option<&Arc<Authentication>> {
        self.authentication.as_ref()
    }

    /// All destinations.
    pub fn destinations(&self) -> impl Iterator<Item = (&ServiceName, &Arc<Destination>)> {
        self.destinations.iter()
    }

    /// All services, of destinations and of backends.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// All endpoints.
    pub fn all_endpoints(&self) -> impl Iterator<Item = &Arc<Endpoints>> {
        self.endpoints.values()
    }

    /// Destinations that the controller does not know.
    pub fn unknown(&self) -> impl Iterator<Item = &ServiceName> {
        self.unknown.iter()
    }

    /// Revision of the controller's source that this shows.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}
