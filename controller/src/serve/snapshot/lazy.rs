//! A resource that is encoded when the first proxy needs it. It must not know which proxies there are.

use std::sync::{Arc, OnceLock};

use mesh_model::endpoint::Endpoints;
use mesh_model::service::Service;
use mesh_proto::convert::ModelResource;

use super::Resource;
use super::build::encode;

/// What it says, and how it goes to proxies once somebody has asked.
#[derive(Debug)]
pub(super) struct Lazy<T> {
    model: Arc<T>,
    resource: OnceLock<Arc<Resource>>,
}

impl<T: Clone + PartialEq> Lazy<T> {
    /// Not encoded yet. What says the same as `known` is taken from there, with its bytes if it was encoded.
    pub(super) fn new(model: &Arc<T>, known: Option<&Arc<Self>>) -> Arc<Self> {
        match known.filter(|known| known.model == *model) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Self { model: Arc::clone(model), resource: OnceLock::new() }),
        }
    }

    /// What it says.
    pub(super) fn model(&self) -> &T {
        &self.model
    }

    /// As it goes to proxies. `wrap` makes a resource of it.
    pub(super) fn resource(&self, wrap: fn(T) -> ModelResource) -> &Arc<Resource> {
        self.resource.get_or_init(|| now(&wrap(T::clone(&self.model))))
    }
}

/// Whether it says the same; whether somebody has asked does not count.
impl<T: PartialEq> PartialEq for Lazy<T> {
    fn eq(&self, other: &Self) -> bool {
        self.model == other.model
    }
}

/// A service with its endpoints: one of the two may be the same as before while the other is not.
#[derive(Debug, Clone)]
pub(super) struct LazyService {
    model: Arc<(Service, Endpoints)>,
    service: OnceLock<Arc<Resource>>,
    endpoints: OnceLock<Arc<Resource>>,
}

impl LazyService {
    /// As [`Lazy::new`].
    pub(super) fn new(model: &Arc<(Service, Endpoints)>, known: Option<&Self>) -> Self {
        let same_service = known.filter(|known| known.model.0 == model.0);
        let same_endpoints =
            known.filter(|known| Arc::ptr_eq(&known.model, model) || known.model.1 == model.1);
        Self {
            model: Arc::clone(model),
            service: same_service.map(|known| known.service.clone()).unwrap_or_default(),
            endpoints: same_endpoints.map(|known| known.endpoints.clone()).unwrap_or_default(),
        }
    }

    /// The service as it goes to proxies.
    pub(super) fn service(&self) -> &Arc<Resource> {
        self.service.get_or_init(|| now(&ModelResource::Service(self.model.0.clone())))
    }

    /// Its endpoints as they go to proxies.
    pub(super) fn endpoints(&self) -> &Arc<Resource> {
        self.endpoints.get_or_init(|| now(&ModelResource::Endpoints(self.model.1.clone())))
    }
}

impl PartialEq for LazyService {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.model, &other.model) || self.model == other.model
    }
}

fn now(model: &ModelResource) -> Arc<Resource> {
    let version = model.version();
    Arc::new(encode(model, version))
}
