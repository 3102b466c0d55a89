//! What a writer of status has to know about each object, as it was seen last. Shared between the source, which fills it in, and the
//! writer; nothing waits while it is held.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;

use super::trim::Facts;
use crate::api::ObjectKey;

/// Facts by object. Clones are handles of the same.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    facts: Arc<Mutex<BTreeMap<ObjectKey, Facts>>>,
}

impl Ledger {
    /// An object was seen.
    pub fn put(&self, key: &ObjectKey, facts: Facts) {
        self.lock().insert(key.clone(), facts);
    }

    /// An object is gone.
    pub fn delete(&self, key: &ObjectKey) {
        self.lock().remove(key);
    }

    /// Its status was written, and is this now. Not if the object was seen to be different meanwhile.
    pub fn wrote(&self, key: &ObjectKey, before: &str, version: &str, status: Json) {
        if let Some(facts) = self.lock().get_mut(key).filter(|facts| facts.version == before) {
            version.clone_into(&mut facts.version);
            facts.status = status;
        }
    }

    /// What is known of it.
    pub fn get(&self, key: &ObjectKey) -> Option<Facts> {
        self.lock().get(key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Facts>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
