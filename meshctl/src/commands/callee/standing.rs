//! Which policies have a say at the places that are called, and which of the same namespaces have none anywhere, since whom they name is not
//! there: one of those may have been meant. Pure. It must not know what they say.

use std::collections::BTreeSet;

use mesh_controller::api::{Kind, ObjectKey};
use mesh_model::name::{Name, ServiceName, WorkloadName};

use super::{Objects, Peer, Place};

/// A policy that has to do with a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standing {
    pub(crate) key: ObjectKey,
    /// Whether it protects nobody at all.
    pub(crate) is_idle: bool,
}

/// Those that have a say at the places, then those that have none anywhere and could have been meant for them.
pub(crate) fn policies(objects: &Objects, services: &[ServiceName], places: &[Place]) -> Vec<Standing> {
    let mut found: Vec<ObjectKey> = Vec::new();
    for place in places {
        let own = objects.compiled.authorization.of(&place.workload).iter();
        let own = own.filter(|policy| policy.protects(place.port));
        found.extend(own.map(|policy| key_of(&policy.name)));
        let speaking = objects.compiled.authentication.speaking(&place.workload);
        found.extend(speaking.filter_map(|source| objects.by_resource(source).cloned()));
    }
    let mut seen = BTreeSet::new();
    found.retain(|key| seen.insert(key.clone()));
    let mut all: Vec<Standing> = found.into_iter().map(|key| Standing { key, is_idle: false }).collect();
    let namespaces: BTreeSet<&str> = services
        .iter()
        .map(|service| service.0.namespace())
        .chain(places.iter().map(|place| place.workload.0.namespace()))
        .collect();
    let idle = idle(objects).into_iter();
    let meant = idle.filter(|key| {
        namespaces.contains(&*key.namespace)
            || targets(objects, key).iter().any(|target| names(target, services, places))
    });
    all.extend(meant.filter(|key| !seen.contains(key)).map(|key| Standing { key, is_idle: true }));
    all
}

/// The key of an AuthorizationPolicy.
fn key_of(name: &Name) -> ObjectKey {
    ObjectKey::new(Kind::AuthorizationPolicy, name.namespace(), name.name())
}

/// Policies that protect nobody.
fn idle(objects: &Objects) -> Vec<ObjectKey> {
    let (index, compiled) = (&objects.index, &objects.compiled);
    let at_work: BTreeSet<ObjectKey> = compiled
        .authorization
        .workloads()
        .flat_map(|(_, policies)| policies)
        .chain(compiled.authorization.namespaces().flat_map(|(_, policies)| policies))
        .map(|policy| key_of(&policy.name))
        .collect();
    let authorization = index.policies.authorization.iter().map(|(key, _)| key);
    let authorization = authorization.filter(|key| !at_work.contains(key));
    let authentication = index.policies.authentication.iter().map(|(key, _)| key);
    let nobody = |key: &&ObjectKey| {
        let named = compiled.authentication.named_by(&key.to_string());
        named.is_some_and(|these| !these.iter().any(|one| peer_is_known(objects, one)))
    };
    authorization.chain(authentication.filter(nobody)).cloned().collect()
}

fn peer_is_known(objects: &Objects, workload: &WorkloadName) -> bool {
    super::peer_of(objects, workload).is_some()
}

/// Names of what a policy is attached to, in whatever namespace.
fn targets(objects: &Objects, key: &ObjectKey) -> Vec<String> {
    let index = &objects.index;
    let authorization =
        index.policies.authorization.find(key).and_then(|it| it.object.spec.target_refs.as_ref());
    let authentication =
        index.policies.authentication.find(key).and_then(|it| it.object.spec.target_refs.as_ref());
    let authorization = authorization.into_iter().flatten().map(|target| target.name.clone());
    authorization.chain(authentication.into_iter().flatten().map(|target| target.name.clone())).collect()
}

fn names(target: &str, services: &[ServiceName], places: &[Place]) -> bool {
    services.iter().any(|service| service.0.name() == target)
        || places.iter().any(|place| place.workload.0.name() == target)
}

/// Every member and every other workload that is known, with who it is for those whom it calls.
pub(crate) fn known(objects: &Objects) -> Vec<(WorkloadName, Peer)> {
    let workloads = objects.index.workloads.store.iter().map(|(key, _)| key);
    let pods = objects.index.pods.store.iter().map(|(key, _)| key);
    let mut names: Vec<WorkloadName> =
        workloads.chain(pods).filter_map(|key| key.model_name().map(WorkloadName)).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter_map(|name| super::peer_of(objects, &name).map(|peer| (name, peer))).collect()
}
