//! The answers of all replicas as one, where a replica does not answer for the others by itself. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mesh_proto::inspect::v1::{
    CertsResponse, ObjectStatus, ProxySync, ProxyVersion, SyncResponse, VersionResponse,
};

/// A proxy that moved is told as the replica has it to which it is connected. An object is in force on all proxies together; its
/// conditions are those of the replica where something is wrong with it.
pub fn sync(all: Vec<SyncResponse>) -> SyncResponse {
    let revision = all.iter().map(|one| one.revision).max().unwrap_or_default();
    let source_time_ms = all.iter().map(|one| one.source_time_ms).min().unwrap_or_default();
    let source_lost_ms = all.iter().map(|one| one.source_lost_ms).max().unwrap_or_default();
    let mut proxies = BTreeMap::<(String, String, String), ProxySync>::new();
    let mut objects: Vec<ObjectStatus> = Vec::new();
    let mut places = BTreeMap::<String, usize>::new();
    for one in all {
        for proxy in one.proxies {
            let key = (proxy.namespace.clone(), proxy.workload.clone(), proxy.instance.clone());
            let newer =
                |known: &ProxySync| (proxy.connected, proxy.since_ms) > (known.connected, known.since_ms);
            if proxies.get(&key).is_none_or(newer) {
                proxies.insert(key, proxy);
            }
        }
        for object in one.objects {
            match places.get(&object.object).and_then(|at| objects.get_mut(*at)) {
                Some(known) => together(known, object),
                None => {
                    places.insert(object.object.clone(), objects.len());
                    objects.push(object);
                }
            }
        }
    }
    let proxies = proxies.into_values().collect();
    SyncResponse { revision, source_time_ms, proxies, objects, source_lost_ms }
}

fn together(known: &mut ObjectStatus, more: ObjectStatus) {
    known.programmed += more.programmed;
    known.programmed_of += more.programmed_of;
    let is_bad = |object: &ObjectStatus| object.conditions.iter().any(|condition| !condition.status);
    if is_bad(&more) && !is_bad(known) {
        known.conditions = more.conditions;
    }
}

/// The newest report of each proxy.
pub fn certs(all: Vec<CertsResponse>) -> CertsResponse {
    let mut newest = BTreeMap::new();
    for one in all.into_iter().flat_map(|one| one.certificates) {
        let key = (one.namespace.clone(), one.workload.clone(), one.instance.clone());
        match newest.entry(key) {
            Entry::Vacant(place) => drop(place.insert(one)),
            Entry::Occupied(mut known) if known.get().reported_ms < one.reported_ms => {
                drop(known.insert(one));
            }
            Entry::Occupied(_) => {}
        }
    }
    CertsResponse { certificates: newest.into_values().collect() }
}

/// Every version of a replica, and all proxies.
pub fn version(all: Vec<VersionResponse>) -> VersionResponse {
    let mut versions: Vec<String> = all.iter().map(|one| one.version.clone()).collect();
    versions.sort();
    versions.dedup();
    let mut counts = BTreeMap::<String, u32>::new();
    for proxy in all.into_iter().flat_map(|one| one.proxies) {
        *counts.entry(proxy.version).or_default() += proxy.count;
    }
    let proxies = counts.into_iter().map(|(version, count)| ProxyVersion { version, count }).collect();
    VersionResponse { version: versions.join(", "), proxies }
}

#[cfg(test)]
mod tests {
    use mesh_proto::inspect::v1::{Condition, ProxyCertificate};

    use super::*;

    #[test]
    fn a_proxy_that_moved_is_where_it_is_connected_and_objects_count_all_proxies() {
        let proxy = |connected, since_ms| ProxySync {
            workload: "web".into(),
            connected,
            since_ms,
            ..ProxySync::default()
        };
        let object = |programmed, status| ObjectStatus {
            object: "HTTPRoute shop/a".into(),
            programmed,
            programmed_of: 2,
            conditions: vec![Condition { status, ..Condition::default() }],
            ..ObjectStatus::default()
        };
        let answer =
            |proxies, objects| SyncResponse { revision: 3, proxies, objects, ..SyncResponse::default() };
        let all = sync(vec![
            answer(vec![proxy(true, 5)], vec![object(2, true)]),
            answer(vec![proxy(false, 9)], vec![object(1, false)]),
        ]);
        assert_eq!((all.proxies.len(), all.proxies[0].connected), (1, true));
        assert_eq!((all.objects[0].programmed, all.objects[0].programmed_of), (3, 4));
        assert!(!all.objects[0].conditions[0].status, "what is wrong anywhere is told");
    }

    #[test]
    fn the_newest_report_of_a_certificate_and_every_version_are_told() {
        let cert =
            |reported_ms| ProxyCertificate { workload: "web".into(), reported_ms, ..Default::default() };
        let all = certs(vec![
            CertsResponse { certificates: vec![cert(5)] },
            CertsResponse { certificates: vec![cert(9)] },
        ]);
        assert_eq!((all.certificates.len(), all.certificates[0].reported_ms), (1, 9));
        let answer = |version: &str, count| VersionResponse {
            version: version.into(),
            proxies: vec![ProxyVersion { version: "1".into(), count }],
        };
        let all = version(vec![answer("2", 1), answer("1", 2), answer("2", 3)]);
        assert_eq!((all.version.as_str(), all.proxies[0].count), ("1, 2", 6));
    }
}
