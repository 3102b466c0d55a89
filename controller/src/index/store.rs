//! Objects of one kind by namespace and name. It must not know the kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::ObjectKey;

/// Objects of one kind, in the order of their keys.
#[derive(Debug)]
pub struct Store<T> {
    entries: BTreeMap<ObjectKey, Entry<T>>,
}

/// An object and where it was read.
#[derive(Debug)]
pub struct Entry<T> {
    /// The object.
    pub object: Arc<T>,
    /// `PATH:LINE`.
    pub origin: Arc<str>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<T> Store<T> {
    /// Adds or replaces.
    pub fn apply(&mut self, key: &ObjectKey, object: Arc<T>, origin: &str) {
        self.entries.insert(key.clone(), Entry { object, origin: origin.into() });
    }

    /// Takes away, if it is there.
    pub fn delete(&mut self, key: &ObjectKey) {
        self.entries.remove(key);
    }

    /// The object of that key.
    pub fn find(&self, key: &ObjectKey) -> Option<&Entry<T>> {
        self.entries.get(key)
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Entry<T>)> {
        self.entries.iter()
    }

    /// Those from a key on, in the order of their keys.
    pub fn from(&self, key: ObjectKey) -> impl Iterator<Item = (&ObjectKey, &Entry<T>)> {
        self.entries.range(key..)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
