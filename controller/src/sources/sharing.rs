//! What many objects say alike is held once: namespaces, zones, what pods of one Deployment have in common. Pure. It must not know where
//! objects come from.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::api::pod::Template;
use crate::api::{Object, ObjectKey};

/// What nobody holds any more is looked for when there is twice as much as was left the last time, and this.
const ROOM: usize = 64;

/// What is held once.
#[derive(Debug, Default)]
pub struct Sharing {
    texts: Held<str>,
    templates: Held<Template>,
}

#[derive(Debug)]
struct Held<T: ?Sized> {
    all: HashSet<Arc<T>>,
    left: usize,
}

impl<T: ?Sized> Default for Held<T> {
    fn default() -> Self {
        Self { all: HashSet::new(), left: 0 }
    }
}

impl<T: Eq + Hash + ?Sized> Held<T> {
    fn same(&mut self, as_it: &Arc<T>) -> Arc<T> {
        if let Some(known) = self.all.get(as_it) {
            return Arc::clone(known);
        }
        if self.all.len() >= 2 * self.left + ROOM {
            self.all.retain(|held| Arc::strong_count(held) > 1);
            self.left = self.all.len();
        }
        self.all.insert(Arc::clone(as_it));
        Arc::clone(as_it)
    }
}

impl Sharing {
    /// Of an object that is new.
    pub fn share(&mut self, key: &mut ObjectKey, object: &mut Object) {
        key.namespace = self.texts.same(&key.namespace);
        if let Object::Pod(pod) = object {
            Arc::make_mut(pod).share(|template| self.templates.same(template));
        } else if let Object::EndpointSlice(slice) = object {
            Arc::make_mut(slice).share(|text| self.texts.same(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_held_once_and_what_nobody_holds_goes() {
        let mut held = Held::default();
        let mut kept: Vec<Arc<str>> = Vec::new();
        for number in 0..10_000 {
            let one = held.same(&format!("text {number}").into());
            assert!(Arc::ptr_eq(&one, &held.same(&format!("text {number}").into())));
            if number % 1_000 == 0 {
                kept.push(one);
            }
        }
        assert!(held.all.len() <= 2 * kept.len() + ROOM, "{}", held.all.len());
        assert!(kept.iter().all(|text| held.all.contains(text)), "what is held is known");
    }
}
