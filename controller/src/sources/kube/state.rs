//! Which form of each object of a cluster is in force. Pure: objects come in, changes go out. It must not know how objects are found.
//!
//! Rules, as for a folder: a good object is in force. Of a bad one the last good form stays in force; of an AuthorizationPolicy without
//! one a form that denies everything that it protects. An object goes when it is gone from
//! the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::kinds::has_status;
use super::ledger::Ledger;
use super::origin;
use super::trim::{Body, Trimmed};
use crate::api::{Kind, Object, ObjectKey};
use crate::index::Change;
use crate::sources::Problem;
use crate::sources::documents::{Document, ReadObject, read_object};
use crate::sources::sharing::Sharing;
use crate::sources::state::{Effect, Report, same};

/// Generations that are new, or gone: for whoever writes status.
pub type Generations = Vec<(ObjectKey, Option<i64>)>;

/// The state of a cluster.
#[derive(Debug, Default)]
pub struct KubeState {
    objects: BTreeMap<ObjectKey, Held>,
    /// What is wrong with objects, of those with which something is.
    problems: BTreeMap<ObjectKey, Vec<Problem>>,
    ledger: Ledger,
    /// Some endpoint is ready no more.
    fewer: bool,
    sharing: Sharing,
    /// Of every object.
    origin: Option<Arc<str>>,
}

#[derive(Debug)]
struct Held {
    /// `None`: it was never good.
    form: Option<Object>,
    /// Whether the form only stands in for one that was never good.
    stands_in: bool,
    generation: Option<i64>,
}

impl KubeState {
    /// An object is new or different.
    pub fn put(&mut self, object: Trimmed, generations: &mut Generations) -> Option<Change> {
        let Trimmed { mut key, body, facts } = object;
        let before = self.objects.remove(&key);
        let generation = facts.generation;
        if has_status(key.kind) {
            if before.as_ref().map(|held| held.generation) != Some(generation) {
                generations.push((key.clone(), generation));
            }
            self.ledger.put(&key, facts);
        }
        let good_before = before.as_ref().is_some_and(|held| !held.stands_in);
        let before = before.and_then(|held| held.form);
        let former = before.clone();
        let differs = |now: &Object| !before.as_ref().is_some_and(|before| same(before, now));
        let read = match body {
            Body::Written(node) => read_object(&node, 0),
            Body::Read(object) => {
                Document::Good(ReadObject { key: key.clone(), object, line: 0, notes: Vec::new() })
            }
        };
        let (form, changed, stands_in) = match read {
            Document::Good(mut read) => {
                self.problems.remove(&key);
                let changed = differs(&read.object);
                self.sharing.share(&mut key, &mut read.object);
                (Some(read.object), changed, false)
            }
            Document::Closed(read, problems) if !good_before => {
                self.problems.insert(key.clone(), problems);
                let changed = differs(&read.object);
                (Some(read.object), changed, true)
            }
            Document::Bad(problems) | Document::Closed(_, problems) => {
                self.problems.insert(key.clone(), problems);
                (before, false, false)
            }
        };
        self.fewer |= ready(form.as_ref()) < ready(former.as_ref());
        let change = form.clone().filter(|_| changed).map(|object| Change::Apply {
            key: key.clone(),
            object,
            origin: Arc::clone(self.origin.get_or_insert_with(origin)),
        });
        self.objects.insert(key, Held { form, stands_in, generation });
        change
    }

    /// An object is gone.
    pub fn delete(&mut self, key: &ObjectKey, generations: &mut Generations) -> Option<Change> {
        let held = self.objects.remove(key)?;
        self.problems.remove(key);
        if has_status(key.kind) {
            generations.push((key.clone(), None));
            self.ledger.delete(key);
        }
        self.fewer |= ready(held.form.as_ref()) > 0;
        held.form.map(|_| Change::Delete { key: key.clone() })
    }

    /// These are all objects of a kind; those that are not among them are gone.
    pub fn reset(&mut self, kind: Kind, objects: Vec<Trimmed>, generations: &mut Generations) -> Vec<Change> {
        let there: BTreeSet<&ObjectKey> = objects.iter().map(|object| &object.key).collect();
        let gone: Vec<ObjectKey> =
            self.objects.keys().filter(|key| key.kind == kind && !there.contains(key)).cloned().collect();
        let mut changes: Vec<Change> = gone.iter().filter_map(|key| self.delete(key, generations)).collect();
        changes.extend(objects.into_iter().filter_map(|object| self.put(object, generations)));
        changes
    }

    /// Whether some endpoint was ready and is no more, since this was asked last: nobody is to wait to hear of that.
    pub fn take_fewer(&mut self) -> bool {
        std::mem::take(&mut self.fewer)
    }

    /// What a writer of status has to know.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Everything that is wrong now.
    pub fn reports(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        for (key, problems) in &self.problems {
            let effect = match self.objects.get(key) {
                Some(Held { form: Some(_), stands_in: true, .. }) => Effect::Closed,
                Some(Held { form: Some(_), .. }) => Effect::LastGood,
                Some(Held { form: None, .. }) | None => Effect::NotInForce,
            };
            reports.extend(problems.iter().map(|problem| {
                let problem = Problem { object: Some(key.clone()), ..problem.clone() };
                Report { file: origin(), problem, effect }
            }));
        }
        reports
    }
}

/// How many endpoints are ready, of what has any.
fn ready(object: Option<&Object>) -> usize {
    let Some(Object::EndpointSlice(slice)) = object else { return 0 };
    slice.endpoints.iter().filter(|endpoint| endpoint.ready).count()
}

#[cfg(test)]
mod tests;
