//! Services. It must not know endpoints or routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use mesh_model::name::ServiceName;

use super::store::{Entry, Store};
use crate::api::{Kind, ObjectKey};

/// Services by name.
#[derive(Debug, Default)]
pub struct Services {
    /// All of them.
    pub store: Store<Service>,
    /// Those that are gone and that a policy still names: it stays where they were.
    gone: BTreeMap<ObjectKey, Arc<Service>>,
}

impl Services {
    /// The service of that name.
    pub fn find(&self, name: &ServiceName) -> Option<&Entry<Service>> {
        self.store.find(&ObjectKey::of(Kind::Service, &name.0))
    }

    /// The last form of one that is gone, if it was named by a policy then.
    pub fn gone(&self, key: &ObjectKey) -> Option<&Arc<Service>> {
        self.gone.get(key)
    }

    pub(super) fn apply(&mut self, key: &ObjectKey, object: Arc<Service>, origin: &Arc<str>) {
        self.gone.remove(key);
        self.store.apply(key, object, origin);
    }

    /// Takes it away. `named` says of a Service whether a policy names it: as many are remembered as are named, and no more.
    pub(super) fn delete(&mut self, key: &ObjectKey, named: impl Fn(&ObjectKey) -> bool) {
        self.gone.retain(|key, _| named(key));
        if let Some(entry) = self.store.find(key).filter(|_| named(key)) {
            self.gone.insert(key.clone(), Arc::clone(&entry.object));
        }
        self.store.delete(key);
    }
}
