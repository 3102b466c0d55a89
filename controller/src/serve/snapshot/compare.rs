//! What one snapshot says differently from the one before: as far as it tells whom that concerns.

use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::name::{ServiceName, WorkloadName};

use super::super::touched::{Others, Touched};
use super::{Own, Place, Snapshot};
use crate::shared::SharedMap;

impl Snapshot {
    /// What is different from the snapshot before.
    pub(super) fn unlike(&self, before: &Self) -> Touched {
        let mut touched = Touched::default();
        if !Arc::ptr_eq(&self.mesh, &before.mesh) || self.asked_by != before.asked_by {
            touched.also(Others::All);
        }
        touched.these(self.authentication.unlike(&before.authentication));
        touched.these(self.guards.unlike(&before.guards));
        if self.names != before.names || self.externals != before.externals {
            touched.also(Others::AskingForHosts);
        }
        for (name, now, then) in both(&self.services, &before.services) {
            match (now, then) {
                (Some(now), Some(then)) if now == then => {}
                (Some(_), Some(_)) => {
                    touched.services.insert(resource_name(name));
                }
                // What a host stands for depends on which services there are.
                (Some(_), None) | (None, Some(_)) => {
                    touched.services.insert(resource_name(name));
                    touched.also(Others::AskingForHosts);
                }
                (None, None) => {}
            }
        }
        let same =
            |name: &WorkloadName, own: &Arc<Own>| before.own.get(name).is_some_and(|it| Arc::ptr_eq(it, own));
        let workloads = self.own.iter().filter(|(name, own)| !same(name, own));
        touched.workloads.extend(workloads.map(|(name, _)| name.clone()));
        touched.workloads.extend(before.own.keys().filter(|name| !self.own.contains_key(*name)).cloned());
        let same = |ip: &IpAddr, place: &Arc<Place>| {
            before.addresses.get(ip).is_some_and(|it| Arc::ptr_eq(it, place))
        };
        let places = self.addresses.iter().filter(|(ip, place)| !same(ip, place));
        touched.addresses.extend(places.map(|(ip, _)| *ip));
        touched.addresses.extend(before.addresses.keys().filter(|ip| !self.addresses.contains_key(*ip)));
        touched
    }
}

/// The name of the resource of a service.
pub(super) fn resource_name(service: &ServiceName) -> Arc<str> {
    format!("service/{service}").into()
}

/// Before there was a snapshot, nobody was told anything.
pub(super) fn everything() -> Touched {
    Touched { others: Others::All, ..Touched::default() }
}

/// What two maps have under each key that one of them has.
fn both<'a, K: Ord, V>(
    now: &'a SharedMap<K, V>,
    then: &'a SharedMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let gone =
        then.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(key, value)| (key, None, Some(value)));
    now.iter().map(|(key, value)| (key, Some(value), then.get(key))).chain(gone)
}
