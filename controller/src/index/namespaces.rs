//! Namespaces. Nothing of the mesh depends on them yet: a namespace needs no object of its own to be used in a folder.

use k8s_openapi::api::core::v1::Namespace;

use super::store::Store;

/// Namespaces by name.
#[derive(Debug, Default)]
pub struct Namespaces {
    /// All of them.
    pub store: Store<Namespace>,
}
