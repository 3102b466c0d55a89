//! What a proxy is told next: the difference between what it was told and what it is to have, of all that it uses or of what a change names.
//! It must not know who woke it.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_proto::config::v1::{Destination, Watermark};

use super::{Answer, Compared, Concern, ENDPOINTS, MAX_PENDING, Now, SERVICE, Session, Told, Unknown};
use crate::serve::codec::{At, Gone, Outgoing};
use crate::serve::snapshot::{Resource, Snapshot};

impl Session {
    /// What to tell the proxy, if there is anything (or an answer is owed). It counts as told.
    pub fn next_update(&mut self, snapshot: &Snapshot, now: Now) -> Option<Outgoing> {
        // Made for this proxy alone, so they are kept here while they are compared.
        let hosts = self.hosts(snapshot);
        let wanted = self.wanted(snapshot, &hosts);
        let mut unknown = std::mem::take(&mut self.impossible);
        for service in wanted.unknown.difference(&self.unknown) {
            let (namespace, name) = (service.0.namespace().to_owned(), service.0.name().to_owned());
            unknown.push(Destination { namespace, name });
        }
        self.unknown = wanted.unknown;
        let mut unknown_sought = std::mem::take(&mut self.unreadable);
        for (sought, told) in &mut self.sought {
            if !wanted.unknown_sought.contains(sought) {
                *told = Unknown::NotTold;
            } else if std::mem::replace(told, Unknown::Told) == Unknown::NotTold {
                unknown_sought.push(sought.to_string());
            }
        }
        let wanted = wanted.resources;
        let mut removed: Vec<Arc<str>> =
            self.told.keys().filter(|name| !wanted.contains_key(name)).cloned().collect();
        removed.sort_unstable();
        for name in &removed {
            self.told.remove(name);
        }
        let services = |name: &Arc<str>| name.starts_with(SERVICE);
        let different = |resource: &&&Arc<Resource>| {
            self.told.get(&resource.name).is_none_or(|told| told.version != resource.version)
        };
        let resources: Vec<Arc<Resource>> =
            wanted.values().filter(different).map(|resource| Arc::clone(resource)).collect();
        self.sent_revision = snapshot.revision;
        self.compared = Compared::Yes;
        let others = removed.iter().any(services)
            || resources.iter().any(|resource| services(&resource.name))
            || !unknown.is_empty();
        if others {
            self.concern = Concern::Changed;
        }
        let nothing =
            resources.is_empty() && removed.is_empty() && unknown.is_empty() && unknown_sought.is_empty();
        if nothing && !self.owes_answer() {
            self.settle();
            return None;
        }
        let removed = removed.iter().map(ToString::to_string).collect();
        Some(self.tell(resources, Gone { removed, unknown, unknown_sought }, snapshot, now))
    }

    /// As [`Session::next_update`], where since the last one nothing is different of what it uses but what these services and their
    /// endpoints say: nothing else is looked at.
    pub fn next_of(
        &mut self,
        services: &BTreeSet<Arc<str>>,
        snapshot: &Snapshot,
        now: Now,
    ) -> Option<Outgoing> {
        if self.compared == Compared::No || self.owes_answer() {
            return self.next_update(snapshot, now);
        }
        let mut resources = Vec::new();
        let endpoints =
            services.iter().filter_map(|name| Some(format!("{ENDPOINTS}{}", name.strip_prefix(SERVICE)?)));
        // In the order of their names, as all that is told.
        for name in endpoints.chain(services.iter().map(ToString::to_string)) {
            let Some(told) = self.told.get(name.as_str()) else { continue };
            match snapshot.resource(&name) {
                Some(resource) if resource.version != told.version => resources.push(Arc::clone(resource)),
                Some(_) => {}
                None => return self.next_update(snapshot, now),
            }
        }
        self.sent_revision = snapshot.revision;
        if resources.is_empty() {
            self.settle();
            return None;
        }
        Some(self.tell(resources, Gone::default(), snapshot, now))
    }

    /// Counts it as told, and waits for its ack.
    fn tell(&mut self, resources: Vec<Arc<Resource>>, gone: Gone, snapshot: &Snapshot, now: Now) -> Outgoing {
        self.nonce += 1;
        for resource in &resources {
            // A proxy that has not used the last form either has not used the newest for as long.
            let before = self.told.get(&resource.name).filter(|told| told.answer != Answer::InForce);
            let since = before.map_or(now.stream, |told| told.since);
            let version = Arc::clone(&resource.version);
            let told = Told { version, nonce: self.nonce, answer: Answer::None, since };
            self.told.insert(Arc::clone(&resource.name), told);
        }
        if self.pending.len() == MAX_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back((self.nonce, snapshot.revision));
        self.answered = self.subscription;
        let at = At { watermark: watermark(snapshot, now), subscription: self.subscription };
        Outgoing::update(self.nonce, resources, gone, at)
    }

    /// Up to where the proxy was told everything. Only after [`Session::next_update`] for the same snapshot, or for one from which it
    /// differs in nothing that concerns this stream.
    pub fn watermark(&mut self, snapshot: &Snapshot, now: Now) -> Outgoing {
        self.sent_revision = snapshot.revision;
        self.settle();
        Outgoing::Watermark(watermark(snapshot, now))
    }

    /// Revisions that changed nothing for this proxy are sent as nothing, so they wait for no answer.
    pub(super) fn settle(&mut self) {
        if self.pending.is_empty() {
            self.acked_revision = self.sent_revision;
        }
    }
}

fn watermark(snapshot: &Snapshot, now: Now) -> Watermark {
    // Never 0, which says nothing.
    let stream_ms = u64::try_from(now.stream.as_millis()).unwrap_or(u64::MAX).max(1);
    Watermark {
        revision: snapshot.revision,
        source_time_ms: snapshot.time_ms,
        sent_ms: now.as_of_ms,
        stream_ms,
        ..Watermark::default()
    }
}
