//! Services. It must not know endpoints or routes.

use k8s_openapi::api::core::v1::Service;
use mesh_model::name::ServiceName;

use super::store::{Entry, Store};
use crate::api::{Kind, ObjectKey};

/// Services by name.
#[derive(Debug, Default)]
pub struct Services {
    /// All of them.
    pub store: Store<Service>,
}

impl Services {
    /// The service of that name.
    pub fn find(&self, name: &ServiceName) -> Option<&Entry<Service>> {
        self.store.find(&ObjectKey::new(Kind::Service, name.0.namespace(), name.0.name()))
    }
}
