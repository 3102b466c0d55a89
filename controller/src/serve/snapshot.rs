//! What proxies can be told at one revision: every resource encoded once, and who needs it. Immutable. It must not know streams.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use mesh_model::name::ServiceName;
use mesh_model::route::{BackendTarget, Route};
use mesh_proto::convert::{self, ModelResource};
use prost::Message;

use crate::compile::Compiled;

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
}

#[derive(Debug, Clone)]
struct AttachedRoute {
    resource: Arc<Resource>,
    namespace: Arc<str>,
    backends: Arc<[ServiceName]>,
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
}

/// Whether a snapshot says anything that the one before did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Some resource is new, different or gone.
    Some,
    /// All is the same.
    None,
}

impl Snapshot {
    /// Encodes `compiled`. Resources whose version is that of `before` are taken from there, bytes and all.
    pub fn build(compiled: &Compiled, revision: u64, time_ms: u64, before: Option<&Self>) -> (Self, News) {
        let mut builder = Builder { before, resources: HashMap::new(), reused: 0 };
        let mesh = builder.encode(&ModelResource::Mesh(compiled.mesh.clone()));
        let mut services = BTreeMap::new();
        for (name, (service, endpoints)) in &compiled.services {
            let service = builder.encode(&ModelResource::Service(service.clone()));
            let endpoints = builder.encode(&ModelResource::Endpoints(endpoints.clone()));
            services.insert(name.clone(), Entry { service, endpoints, routes: Vec::new() });
        }
        for route in &compiled.routes {
            let attached = builder.route(route);
            let mut parents: Vec<&ServiceName> = route.parents.iter().map(|parent| &parent.service).collect();
            parents.sort_unstable();
            parents.dedup();
            for parent in parents {
                if let Some(entry) = services.get_mut(parent) {
                    entry.routes.push(attached.clone());
                }
            }
        }
        let Builder { resources, reused, .. } = builder;
        let same = before.is_some_and(|before| before.resources.len() == resources.len())
            && reused == resources.len();
        (Self { revision, time_ms, resources, mesh, services }, if same { News::None } else { News::Some })
    }

    /// The resource of that name.
    pub fn resource(&self, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(name)
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Never: there are always the settings.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The settings of the mesh.
    pub fn mesh(&self) -> &Arc<Resource> {
        &self.mesh
    }

    /// Calls `visit` for all that a client in `namespace` needs to call `service`: the service, its endpoints, its routes (the
    /// service's own namespace's, and the client's: GEP-1294), and services and endpoints of their backends. `false`: there
    /// is no such service.
    #[must_use]
    pub fn closure<'a>(
        &'a self,
        service: &ServiceName,
        namespace: &str,
        mut visit: impl FnMut(&'a Arc<Resource>),
    ) -> bool {
        let Some(entry) = self.services.get(service) else { return false };
        visit(&entry.service);
        visit(&entry.endpoints);
        let seen = |route: &&AttachedRoute| {
            &*route.namespace == service.0.namespace() || &*route.namespace == namespace
        };
        for route in entry.routes.iter().filter(seen) {
            visit(&route.resource);
            for backend in route.backends.iter().filter_map(|backend| self.services.get(backend)) {
                visit(&backend.service);
                visit(&backend.endpoints);
            }
        }
        true
    }
}

struct Builder<'a> {
    before: Option<&'a Snapshot>,
    resources: HashMap<Arc<str>, Arc<Resource>>,
    reused: usize,
}

impl Builder<'_> {
    fn encode(&mut self, model: &ModelResource) -> Arc<Resource> {
        let (name, version) = (model.name(), model.version());
        let known = self.before.and_then(|before| before.resources.get(name.as_str()));
        let resource = match known.filter(|known| *known.version == *version) {
            Some(known) => {
                self.reused += 1;
                Arc::clone(known)
            }
            None => {
                let mut wire = convert::encode(model);
                wire.version.clone_from(&version);
                Arc::new(Resource {
                    name: name.into(),
                    version: version.into(),
                    bytes: wire.encode_to_vec().into(),
                })
            }
        };
        self.resources.insert(Arc::clone(&resource.name), Arc::clone(&resource));
        resource
    }

    fn route(&mut self, route: &Route) -> AttachedRoute {
        let targets =
            route.rules.iter().flat_map(|rule| &rule.backends).filter_map(|backend| match &backend.target {
                BackendTarget::Service { service, .. } => Some(service.clone()),
                BackendTarget::Invalid { .. } => None,
            });
        let mut backends: Vec<ServiceName> = targets.collect();
        backends.sort_unstable();
        backends.dedup();
        let resource = self.encode(&ModelResource::Route(route.clone()));
        AttachedRoute { resource, namespace: route.id.name.namespace().into(), backends: backends.into() }
    }
}

#[cfg(test)]
pub(super) mod tests;
