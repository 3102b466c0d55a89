//! EndpointSlices, found by the service that they belong to. It must not know services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::name::{ServiceName, WorkloadName};

use super::store::{Entry, Store};
use crate::api::slice::Target;
use crate::api::{ObjectKey, Slice};

/// EndpointSlices by name and by service.
#[derive(Debug, Default)]
pub struct Slices {
    store: Store<Slice>,
    by_service: BTreeMap<ServiceName, BTreeSet<ObjectKey>>,
    /// Services whose slices name a pod, and how many of them do.
    by_pod: BTreeMap<WorkloadName, Vec<(ServiceName, u32)>>,
}

impl Slices {
    /// Adds or replaces.
    pub fn apply(&mut self, key: &ObjectKey, object: Arc<Slice>, origin: &Arc<str>) {
        self.delete(key);
        if let Some(service) = &object.service {
            for pod in pods_of(&object) {
                let services = self.by_pod.entry(pod.clone()).or_default();
                match services.iter_mut().find(|(known, _)| known == service) {
                    Some((_, slices)) => *slices += 1,
                    None => {
                        // Nearly all pods are of one Service.
                        services.reserve_exact(1);
                        services.push((service.clone(), 1));
                    }
                }
            }
            self.by_service.entry(service.clone()).or_default().insert(key.clone());
        }
        self.store.apply(key, object, origin);
    }

    /// Takes away, if it is there.
    pub fn delete(&mut self, key: &ObjectKey) {
        let Some(entry) = self.store.find(key) else { return };
        if let Some(service) = &entry.object.service {
            for pod in pods_of(&entry.object) {
                let Some(services) = self.by_pod.get_mut(pod) else { continue };
                services
                    .iter_mut()
                    .filter(|(known, _)| known == service)
                    .for_each(|(_, slices)| *slices -= 1);
                services.retain(|(_, slices)| *slices > 0);
                if services.is_empty() {
                    self.by_pod.remove(pod);
                }
            }
            if let Some(keys) = self.by_service.get_mut(service) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_service.remove(service);
                }
            }
        }
        self.store.delete(key);
    }

    /// The slice of that key, with the service that it names.
    pub fn find(&self, key: &ObjectKey) -> Option<(&Entry<Slice>, Option<&ServiceName>)> {
        self.store.find(key).map(|entry| (entry, entry.object.service.as_ref()))
    }

    /// Services whose slices name a pod, whether it is there or not.
    pub fn naming(&self, pod: &WorkloadName) -> impl Iterator<Item = &ServiceName> {
        self.by_pod.get(pod).into_iter().flatten().map(|(service, _)| service)
    }

    /// The slices of a service.
    pub fn of_service(&self, service: &ServiceName) -> impl Iterator<Item = (&ObjectKey, &Entry<Slice>)> {
        let keys = self.by_service.get(service).into_iter().flatten();
        keys.filter_map(|key| Some((key, self.store.find(key)?)))
    }

    /// Services that slices name.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.by_service.keys()
    }

    /// All of them, with the service that each names.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Entry<Slice>, Option<&ServiceName>)> {
        self.store.iter().map(|(key, entry)| (key, entry, entry.object.service.as_ref()))
    }
}

/// Pods that a slice names, each once.
fn pods_of(slice: &Slice) -> BTreeSet<&WorkloadName> {
    let targets = slice.endpoints.iter().filter_map(|endpoint| endpoint.target.as_ref());
    let pods = targets.filter_map(|target| match target {
        Target::Pod(name) => Some(name),
        Target::Workload(_) => None,
    });
    pods.collect()
}
