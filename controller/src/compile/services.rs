//! Services of the model, each with its endpoints. It must not know routes.

use std::net::IpAddr;
use std::ops;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service as KubeService;
use mesh_model::endpoint::Endpoints;
use mesh_model::name::ServiceName;
use mesh_model::service::{Protocol, Service, ServicePort};

use super::canary::is_version;
use super::{Reports, Trust, endpoints};
use crate::api::ObjectKey;
use crate::index::Index;
use crate::index::store::Entry;
use crate::shared::SharedMap;
use crate::status::{Condition, ConditionType};

/// Services with their endpoints, by name. A copy is cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Services(SharedMap<ServiceName, Arc<(Service, Endpoints)>>);

impl Services {
    /// The service of that name, and its endpoints.
    pub fn get(&self, name: &ServiceName) -> Option<&(Service, Endpoints)> {
        self.0.get(name).map(|service| &**service)
    }

    /// The same, to be kept.
    pub fn shared(&self, name: &ServiceName) -> Option<&Arc<(Service, Endpoints)>> {
        self.0.get(name)
    }

    /// All to be kept, in the order of their names.
    pub fn iter_shared(&self) -> impl Iterator<Item = (&ServiceName, &Arc<(Service, Endpoints)>)> {
        self.0.iter()
    }

    /// The same with the name.
    pub fn get_key_value(&self, name: &ServiceName) -> Option<(&ServiceName, &(Service, Endpoints))> {
        self.0.get_key_value(name).map(|(name, service)| (name, &**service))
    }

    /// Whether there is one of that name.
    pub fn contains_key(&self, name: &ServiceName) -> bool {
        self.0.contains_key(name)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> Iter<'_> {
        self.0.iter().map(pair as fn(_) -> _)
    }

    /// All names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &ServiceName> {
        self.0.keys()
    }

    /// All, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &(Service, Endpoints)> {
        self.0.values().map(|service| &**service)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As of [`SharedMap::adopting`].
    pub(super) fn adopting(&self, before: &Self) -> Self {
        Self(self.0.adopting(&before.0))
    }

    /// Without the parts that releases make of them.
    pub(super) fn as_written(&self) -> Self {
        let mut written = self.clone();
        let parts: Vec<_> = self.keys().filter(|name| is_version(name)).cloned().collect();
        for part in &parts {
            written.remove(part);
        }
        written
    }

    /// Adds others.
    pub(super) fn append(&mut self, others: &Self) {
        for (name, service) in &others.0 {
            self.0.insert(name.clone(), Arc::clone(service));
        }
    }

    pub(super) fn remove(&mut self, name: &ServiceName) {
        self.0.remove(name);
    }

    /// It has these endpoints from now on.
    pub(super) fn set_endpoints(&mut self, name: &ServiceName, endpoints: Endpoints) {
        if let Some(known) = self.0.get_mut(name) {
            *known = Arc::new((known.0.clone(), endpoints));
        }
    }
}

impl FromIterator<(ServiceName, (Service, Endpoints))> for Services {
    fn from_iter<I: IntoIterator<Item = (ServiceName, (Service, Endpoints))>>(services: I) -> Self {
        Self(services.into_iter().map(|(name, service)| (name, Arc::new(service))).collect())
    }
}

/// All services, in the order of their names.
pub type Iter<'a> = std::iter::Map<
    crate::shared::Iter<'a, ServiceName, Arc<(Service, Endpoints)>>,
    fn((&'a ServiceName, &'a Arc<(Service, Endpoints)>)) -> (&'a ServiceName, &'a (Service, Endpoints)),
>;

fn pair<'a>(
    (name, service): (&'a ServiceName, &'a Arc<(Service, Endpoints)>),
) -> (&'a ServiceName, &'a (Service, Endpoints)) {
    (name, &**service)
}

impl<'a> IntoIterator for &'a Services {
    type Item = (&'a ServiceName, &'a (Service, Endpoints));
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl ops::Index<&ServiceName> for Services {
    type Output = (Service, Endpoints);

    /// As of the standard library's maps: only for who knows that it is there.
    #[expect(
        clippy::indexing_slicing,
        reason = "indexing is for who knows that the key is there, as of every map"
    )]
    fn index(&self, name: &ServiceName) -> &Self::Output {
        &self.0[name]
    }
}

/// Compiles every Service and its endpoints, and says of slices whether they belong to one.
pub fn compile(index: &Index, trust: Trust<'_>, reports: &mut Reports) -> Services {
    let mut services = Vec::with_capacity(index.services.store.len());
    for (key, entry) in index.services.store.iter() {
        let Some(name) = key.model_name().map(ServiceName) else { continue };
        reports.object(key, &entry.origin, Some(format!("service/{name}")));
        let service = service(name.clone(), &entry.object);
        let found = endpoints::compile(index, trust, &service, &entry.object);
        for condition in found.conditions {
            reports.say(key, condition);
        }
        services.push((name, Arc::new((service, found.endpoints))));
    }
    for (key, entry, service) in index.slices.iter() {
        say_of_slice(index, key, entry, service, reports);
    }
    Services(services.into_iter().collect())
}

/// Whether a slice belongs to a Service.
pub(super) fn say_of_slice<T>(
    index: &Index,
    key: &ObjectKey,
    entry: &Entry<T>,
    service: Option<&ServiceName>,
    reports: &mut Reports,
) {
    reports.object(key, &entry.origin, service.map(|service| format!("endpoints/{service}")));
    let message = match service {
        None => "has no label kubernetes.io/service-name, so it belongs to no Service".to_owned(),
        Some(service) if index.services.find(service).is_none() => format!("there is no Service {service}"),
        Some(_) => return,
    };
    let condition =
        Condition::failed(ConditionType::ResolvedRefs, "ServiceNotFound", "metadata.labels", message);
    reports.say(key, condition);
}

pub(super) fn service(name: ServiceName, service: &KubeService) -> Service {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    // UDP and SCTP do not go through the mesh.
    let ports = ports.iter().filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        Some(ServicePort {
            port: u16::try_from(port.port).ok()?,
            name: port.name.clone().unwrap_or_default(),
            protocol: Protocol::declared(port.app_protocol.as_deref(), port.name.as_deref()),
        })
    };
    let ips = spec.and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
    let ips: Vec<String> = ips.into_iter().chain(spec.and_then(|spec| spec.cluster_ip.clone())).collect();
    let headless = ips.iter().any(|ip| ip == "None");
    // An empty text is how a service says that it has no address.
    let mut addresses: Vec<IpAddr> = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Service { name, ports: ports.filter_map(port).collect(), addresses, headless }
}
