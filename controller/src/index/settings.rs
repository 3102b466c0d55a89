//! The MeshConfig. There is one, `default`; `api::check` refuses others.

use super::store::{Entry, Store};
use crate::api::{MeshConfig, ObjectKey};

/// The MeshConfig, if there is one.
#[derive(Debug, Default)]
pub struct Settings {
    /// At most one.
    pub store: Store<MeshConfig>,
}

impl Settings {
    /// The one.
    pub fn find(&self) -> Option<(&ObjectKey, &Entry<MeshConfig>)> {
        self.store.iter().next()
    }
}
