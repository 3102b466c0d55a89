//! What one snapshot says differently from the one before: as far as it tells whom that concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::touched::{Others, Touched};
use super::{Entry, Snapshot};

impl Snapshot {
    /// What is different from the snapshot before.
    pub(super) fn unlike(&self, before: &Self) -> Touched {
        let mut touched = Touched::default();
        let same_for_all = Arc::ptr_eq(&self.mesh, &before.mesh)
            && self.authentication == before.authentication
            && self.guards == before.guards
            && self.asked_by == before.asked_by;
        if !same_for_all {
            touched.also(Others::All);
        }
        if self.names != before.names || self.externals != before.externals {
            touched.also(Others::AskingForHosts);
        }
        for both in both(&self.services, &before.services) {
            match both {
                (Some(now), Some(then)) if now.is_as(then) => {}
                (Some(now), Some(_)) => {
                    touched.services.insert(Arc::clone(&now.service.name));
                }
                // What a host stands for depends on which services there are.
                (Some(one), None) | (None, Some(one)) => {
                    touched.services.insert(Arc::clone(&one.service.name));
                    touched.also(Others::AskingForHosts);
                }
                (None, None) => {}
            }
        }
        let workloads = self.own.iter().filter(|(name, own)| before.own.get(*name) != Some(*own));
        touched.workloads.extend(workloads.map(|(name, _)| name.clone()));
        touched.workloads.extend(before.own.keys().filter(|name| !self.own.contains_key(*name)).cloned());
        let places = self.addresses.iter().filter(|(ip, place)| !before.has(**ip, place));
        touched.addresses.extend(places.map(|(ip, _)| *ip));
        touched.addresses.extend(before.addresses.keys().filter(|ip| !self.addresses.contains_key(*ip)));
        touched
    }
}

impl Entry {
    /// Whether it means the same; resources that do are the same ones.
    fn is_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.service, &other.service)
            && Arc::ptr_eq(&self.endpoints, &other.endpoints)
            && self.policies == other.policies
            && self.routes == other.routes
    }
}

/// Before there was a snapshot, nobody was told anything.
pub(super) fn everything() -> Touched {
    Touched { others: Others::All, ..Touched::default() }
}

/// What two maps have under each key that one of them has.
fn both<'a, K: Ord, V>(
    now: &'a BTreeMap<K, V>,
    then: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (Option<&'a V>, Option<&'a V>)> {
    let gone = then.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(_, value)| (None, Some(value)));
    now.iter().map(|(key, value)| (Some(value), then.get(key))).chain(gone)
}
