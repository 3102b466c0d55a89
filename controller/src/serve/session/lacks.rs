//! What a proxy does not use as it should, and whether what it holds is what it was told. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::config::v1::Held;
use mesh_proto::held::Checksum;

use super::{Answer, Compared, Concern, MAX_HELD, Refused, Session, Told};
use crate::serve::snapshot::{Resource, Snapshot};
use crate::status::programmed::Holding;

/// A proxy may put what it holds in place of what is believed of it no more often.
const RESYNC: Duration = Duration::from_secs(5);

/// Why a proxy does not use a resource in its newest form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The proxy reads too slowly, or it is just being sent.
    Unsent,
    /// Sent, and not confirmed.
    Unconfirmed,
    /// The proxy cannot use it.
    Rejected,
    /// It is no more, and the proxy was not told yet.
    Surplus,
}

/// A resource that a proxy does not use as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Its name.
    pub resource: Arc<str>,
    /// Why.
    pub cause: Cause,
    /// For how long.
    pub age: Duration,
}

impl Session {
    /// What the proxy was told and not told to forget, whether it accepted or rejected it. After [`Session::next_update`] this is what it
    /// holds once it has read all that was sent.
    pub fn checksum(&self) -> Checksum {
        self.told.iter().map(|(name, told)| (name, &told.version)).collect()
    }

    /// In place of what is believed: this is what the proxy holds. The next update brings what is missing or different. `at` is the time
    /// since the stream began.
    pub fn holds(&mut self, held: Vec<Held>, at: Duration) -> Result<(), Refused> {
        if held.len() > MAX_HELD {
            return Err(Refused::Held(held.len()));
        }
        if self.resynced.is_some_and(|before| at.saturating_sub(before) < RESYNC) {
            return Err(Refused::Resync);
        }
        self.resynced = Some(at);
        self.resyncs = self.resyncs.saturating_add(1);
        self.told =
            held.into_iter().map(|held| (held.name.into(), Told::held(held.version.into()))).collect();
        self.concern = Concern::Changed;
        self.compared = Compared::No;
        Ok(())
    }

    /// Times that what the proxy holds was not what it was told.
    pub fn resyncs(&self) -> u32 {
        self.resyncs
    }

    /// When what it holds was last found to be what it was told, since the stream began.
    pub fn agreed(&self) -> Option<Duration> {
        self.agreed
    }

    /// Whether the proxy may lack something of what it was told: cheaper to ask than what.
    pub fn is_owed(&self) -> bool {
        self.told.values().any(|told| told.answer != Answer::InForce)
    }

    /// What the proxy does not use in the form that `snapshot` has, the oldest first. `now` is the time since the stream began, `unsent`
    /// for how long there has been something that it was not sent.
    pub fn lacks(&self, snapshot: &Snapshot, now: Duration, unsent: Duration) -> Vec<Lack> {
        let hosts = self.hosts(snapshot);
        let wanted = self.wanted(snapshot, &hosts);
        let lack = |resource: &Arc<str>, cause, age| Lack { resource: Arc::clone(resource), cause, age };
        let of = |name: &Arc<str>, version: &Arc<str>| {
            let Some(told) = self.told.get(name) else { return Some(lack(name, Cause::Unsent, unsent)) };
            let age = now.saturating_sub(told.since);
            match (&told.answer, told.version == *version) {
                (Answer::InForce, true) => None,
                (Answer::InForce, false) => Some(lack(name, Cause::Unsent, unsent)),
                (_, false) => Some(lack(name, Cause::Unsent, age.max(unsent))),
                (Answer::None, true) => Some(lack(name, Cause::Unconfirmed, age)),
                (Answer::Rejected(_), true) => Some(lack(name, Cause::Rejected, age)),
            }
        };
        let resources = wanted.resources.values();
        let mut lacks: Vec<Lack> =
            resources.filter_map(|resource| of(&resource.name, &resource.version)).collect();
        let surplus = self.told.keys().filter(|name| !wanted.resources.contains_key(name));
        lacks.extend(surplus.map(|name| lack(name, Cause::Surplus, unsent)));
        lacks.sort_by(|a, b| b.age.cmp(&a.age).then_with(|| a.resource.cmp(&b.resource)));
        lacks
    }

    /// Says of each resource that it uses whether the version of `snapshot` is in force.
    pub fn holdings(&self, snapshot: &Snapshot, mut say: impl FnMut(&Arc<str>, Holding)) {
        let own = snapshot.own(self.workload.as_ref());
        let mine = snapshot.authentication(&self.proxy.namespace, self.workload.as_ref());
        let guards = snapshot.authorization(self.workload.as_ref(), &self.proxy.namespace);
        let of_this_proxy: HashMap<&Arc<str>, &Arc<Resource>> =
            guards.iter().chain([own, &mine.resource]).map(|resource| (&resource.name, resource)).collect();
        for (name, told) in &self.told {
            let resource = of_this_proxy.get(name).copied().or_else(|| snapshot.resource(name));
            let current = resource.is_some_and(|resource| resource.version == told.version);
            let holding =
                if current && told.answer == Answer::InForce { Holding::InForce } else { Holding::Behind };
            say(name, holding);
            if *name == mine.resource.name {
                // One resource of several objects: what is true of it is true of each of them.
                mine.sources.iter().for_each(|source| say(source, holding));
            }
        }
    }
}
