//! Pods, found by name. It must not know Services or endpoints.

use mesh_model::name::WorkloadName;

use super::store::{Entry, Store};
use crate::api::{Kind, ObjectKey, Pod};

/// Pods by name.
#[derive(Debug, Default)]
pub struct Pods {
    /// All of them.
    pub store: Store<Pod>,
}

impl Pods {
    /// The pod of that name.
    pub fn find(&self, name: &WorkloadName) -> Option<&Entry<Pod>> {
        self.entry(name).map(|(_, entry)| entry)
    }

    /// The pod of that name, with its name as it is held here.
    pub fn entry(&self, name: &WorkloadName) -> Option<(&ObjectKey, &Entry<Pod>)> {
        self.store.entry(&ObjectKey::of(Kind::Pod, &name.0))
    }
}
