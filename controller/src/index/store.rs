//! Objects of one kind by namespace and name. It must not know the kind.

use std::sync::Arc;

use crate::api::{Kind, ObjectKey};
use crate::shared::SharedMap;

/// Objects of one kind, in the order of their keys. A copy is cheap, and stays as it is.
#[derive(Debug)]
pub struct Store<T> {
    entries: SharedMap<ObjectKey, Entry<T>>,
}

/// An object and where it was read.
#[derive(Debug)]
pub struct Entry<T> {
    /// The object.
    pub object: Arc<T>,
    /// `PATH:LINE`.
    pub origin: Arc<str>,
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { object: Arc::clone(&self.object), origin: Arc::clone(&self.origin) }
    }
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { entries: SharedMap::default() }
    }
}

impl<T> Store<T> {
    /// Adds or replaces.
    pub fn apply(&mut self, key: &ObjectKey, object: Arc<T>, origin: &Arc<str>) {
        self.entries.insert(key.clone(), Entry { object, origin: Arc::clone(origin) });
    }

    /// Takes away, if it is there.
    pub fn delete(&mut self, key: &ObjectKey) {
        self.entries.remove(key);
    }

    /// The object of that key.
    pub fn find(&self, key: &ObjectKey) -> Option<&Entry<T>> {
        self.entries.get(key)
    }

    /// The object of that key, with the key as it is held here.
    pub fn entry(&self, key: &ObjectKey) -> Option<(&ObjectKey, &Entry<T>)> {
        self.entries.get_key_value(key)
    }

    /// Those of one namespace, in the order of their names. `kind` is the store's.
    pub fn of_namespace<'a>(
        &'a self,
        kind: Kind,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Entry<T>)> {
        self.from(&ObjectKey::new(kind, namespace, ""))
            .take_while(move |(key, _)| &*key.namespace == namespace)
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Entry<T>)> {
        self.entries.iter()
    }

    /// Those from a key on, in the order of their keys.
    pub fn from<'a>(
        &'a self,
        key: &ObjectKey,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Entry<T>)> + use<'a, T> {
        self.entries.from(key)
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
