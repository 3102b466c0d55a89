//! EndpointSlices, found by the service that they belong to. It must not know services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use mesh_model::name::ServiceName;

use super::store::{Entry, Store};
use crate::api::ObjectKey;

/// The label that names the service of a slice. Source: Kubernetes, well-known labels.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// EndpointSlices by name and by service.
#[derive(Debug, Default)]
pub struct Slices {
    store: Store<EndpointSlice>,
    by_service: BTreeMap<ServiceName, BTreeSet<ObjectKey>>,
}

impl Slices {
    /// Adds or replaces.
    pub fn apply(&mut self, key: &ObjectKey, object: Arc<EndpointSlice>, origin: &str) {
        self.delete(key);
        if let Some(service) = service_of(key, &object) {
            self.by_service.entry(service).or_default().insert(key.clone());
        }
        self.store.apply(key, object, origin);
    }

    /// Takes away, if it is there.
    pub fn delete(&mut self, key: &ObjectKey) {
        let service = self.store.find(key).and_then(|entry| service_of(key, &entry.object));
        if let Some(service) = service
            && let Some(keys) = self.by_service.get_mut(&service)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.by_service.remove(&service);
            }
        }
        self.store.delete(key);
    }

    /// The slices of a service.
    pub fn of_service(
        &self,
        service: &ServiceName,
    ) -> impl Iterator<Item = (&ObjectKey, &Entry<EndpointSlice>)> {
        let keys = self.by_service.get(service).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.store.find(key)?)))
    }

    /// All of them, with the service that each names.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Entry<EndpointSlice>, Option<ServiceName>)> {
        self.store.iter().map(|(key, entry)| (key, entry, service_of(key, &entry.object)))
    }
}

fn service_of(key: &ObjectKey, slice: &EndpointSlice) -> Option<ServiceName> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    ServiceName::new(&key.namespace, name).ok()
}
