//! Who has a living certificate, and whom it trusts: one table a replica, and what replicas tell each other of theirs. Pure: time is an
//! argument. It must not know certificates, nor how a member is reached.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rotation::{Point, STALE, Step};

/// Most members that one table holds.
pub(crate) const CAPACITY: usize = 20_000;
/// Most members that one view tells of: the views of all replicas are one object of at most a mebibyte.
const SHARED: usize = 2_000;

/// One process with an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// Which process; empty if it does not say.
    pub(crate) instance: String,
    /// The end of its last certificate, Unix seconds.
    pub(crate) not_after: u64,
    /// The newest bundle that it said it trusts; 0 for none.
    pub(crate) generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    not_after: u64,
    generation: u64,
}

/// The table. What finds no place in it is remembered by one time: until when it may live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    entries: BTreeMap<(String, String), Entry>,
    capacity: usize,
    /// Living certificates without an entry end by then, whomever their holders trust.
    untracked: u64,
    /// The same of those that have not said that they trust `generation`.
    unknown: (u64, u64),
}

/// What is known when a certificate is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Issuance<'a> {
    pub(crate) id: &'a str,
    pub(crate) instance: &'a str,
    pub(crate) not_after: u64,
    /// What the member says it trusts. 0 for its first certificate: it is used only together with the bundle beside it.
    pub(crate) generation: u64,
}

impl Members {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: BTreeMap::new(), capacity, untracked: 0, unknown: (0, 0) }
    }

    /// Certificates that were signed by whom this table knows nothing of end by `until`.
    pub(crate) fn assume(&mut self, until: u64) {
        self.untracked = self.untracked.max(until);
        self.unknown.1 = self.unknown.1.max(until);
    }

    /// A certificate was signed, while the bundle had generation `bundle`. Says whether there was place.
    pub(crate) fn issued(&mut self, it: Issuance<'_>, is_first: bool, bundle: u64, now: u64) -> bool {
        let generation = if is_first { bundle } else { it.generation };
        self.put(it.id, it.instance, Entry { not_after: it.not_after, generation }, bundle, now)
    }

    /// A member said that it trusts a bundle.
    pub(crate) fn acknowledged(&mut self, it: Issuance<'_>, bundle: u64, now: u64) -> bool {
        // One that lies about the future would be believed then.
        let generation = it.generation.min(bundle);
        self.put(it.id, it.instance, Entry { not_after: it.not_after, generation }, bundle, now)
    }

    fn put(&mut self, id: &str, instance: &str, new: Entry, bundle: u64, now: u64) -> bool {
        self.turn(bundle);
        let key = (id.to_owned(), instance.to_owned());
        if let Some(entry) = self.entries.get_mut(&key) {
            // A process that does not say which one it is may be several: none speaks for the others.
            let generation = if instance.is_empty() { 0 } else { entry.generation.max(new.generation) };
            *entry = Entry { not_after: entry.not_after.max(new.not_after), generation };
            return true;
        }
        if self.entries.len() >= self.capacity {
            self.expire(now);
        }
        if self.entries.len() >= self.capacity {
            self.untracked = self.untracked.max(new.not_after);
            if new.generation < bundle {
                self.unknown.1 = self.unknown.1.max(new.not_after);
            }
            return false;
        }
        let generation = if instance.is_empty() { 0 } else { new.generation };
        self.entries.insert(key, Entry { generation, ..new });
        true
    }

    /// With a new bundle nobody who has no entry is known to trust it.
    pub(crate) fn turn(&mut self, bundle: u64) {
        if bundle > self.unknown.0 {
            self.unknown = (bundle, self.unknown.1.max(self.untracked));
        }
    }

    /// As if everything that is not known had ended.
    #[cfg(test)]
    pub(crate) fn forget_unknown(&mut self) {
        (self.untracked, self.unknown.1) = (0, 0);
    }

    /// Forgets those whose certificate has ended.
    pub(crate) fn expire(&mut self, now: u64) {
        self.entries.retain(|_, entry| entry.not_after > now);
    }

    pub(crate) fn living(&self, now: u64) -> impl Iterator<Item = Member> {
        self.all().filter(move |member| member.not_after > now)
    }

    fn all(&self) -> impl Iterator<Item = Member> {
        self.entries.iter().map(|((id, instance), entry)| Member {
            id: id.clone(),
            instance: instance.clone(),
            not_after: entry.not_after,
            generation: entry.generation,
        })
    }

    /// What all replicas know together: the last certificate, the newest bundle.
    pub(crate) fn merged(views: &[View]) -> Self {
        let mut merged = Self::new(usize::MAX);
        for Told(id, instance, not_after, generation) in views.iter().flat_map(|view| &view.members) {
            let entry = merged.entries.entry((id.clone(), instance.clone()));
            let entry = entry.or_insert(Entry { not_after: 0, generation: 0 });
            entry.not_after = entry.not_after.max(*not_after);
            entry.generation = entry.generation.max(*generation);
        }
        merged
    }

    /// What is told of it. Those that do not trust `bundle` come first; what is left out of them is told as a time.
    pub(crate) fn view(&mut self, replica: &str, point: Point, adopted: u64, now: u64) -> View {
        let bundle = point.0;
        self.turn(bundle);
        self.expire(now);
        let (late, on_time): (Vec<_>, Vec<_>) = self.all().partition(|member| member.generation < bundle);
        let left_out = late.iter().skip(SHARED).map(|member| member.not_after).max().unwrap_or(0);
        let members = late.into_iter().chain(on_time).take(SHARED);
        let members = members
            .map(|member| Told(member.id, member.instance, member.not_after, member.generation))
            .collect();
        View {
            replica: replica.to_owned(),
            time: now,
            has_ended: false,
            point,
            adopted,
            members,
            unknown: self.unknown.1.max(left_out),
            untracked: self.untracked.max(left_out),
            newest: now,
        }
    }

    /// Takes over what an earlier run of this replica wrote.
    pub(crate) fn resume(&mut self, view: &View, leaf_life: u64, now: u64) {
        for Told(id, instance, not_after, generation) in view.members.iter().take(self.capacity) {
            let entry = Entry { not_after: *not_after, generation: *generation };
            self.entries.insert((id.clone(), instance.clone()), entry);
        }
        self.untracked = self.untracked.max(view.untracked);
        self.unknown.1 = self.unknown.1.max(view.unknown);
        if !view.has_ended {
            // It was killed: what it signed since it wrote this is not known.
            self.assume(now.min(view.time + leaf_life) + leaf_life);
        }
    }
}

/// A member as it is told: id, instance, end of the certificate, generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told(pub(crate) String, pub(crate) String, pub(crate) u64, pub(crate) u64);

/// What one replica knew when it last wrote it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) replica: String,
    /// When it was written, Unix seconds. From then on this replica signs for one leaf life without reading the state.
    pub(crate) time: u64,
    /// It signs no more.
    #[serde(default)]
    pub(crate) has_ended: bool,
    /// The state that it had taken over before it wrote this.
    pub(crate) point: (u64, Step),
    /// When it took it over, Unix seconds.
    pub(crate) adopted: u64,
    pub(crate) members: Vec<Told>,
    /// Certificates of whom `members` does not tell, and who may not trust this generation, end by then.
    pub(crate) unknown: u64,
    /// The same, whomever they trust.
    pub(crate) untracked: u64,
    /// The newest time that this replica had when it signed, Unix seconds.
    #[serde(default)]
    pub(crate) newest: u64,
}

impl View {
    /// Whether this replica may be gone without having said so.
    pub(crate) fn is_silent(&self, now: u64) -> bool {
        !self.has_ended && self.time + STALE < now
    }

    /// Until when certificates may live whose holders are not told of, and may not trust `generation`.
    pub(crate) fn unknown_until(&self, generation: u64) -> u64 {
        if self.point.0 < generation { self.unknown.max(self.untracked) } else { self.unknown }
    }

    /// Whether nothing that it tells matters any more.
    pub(crate) fn is_over(&self, leaf_life: u64, now: u64) -> bool {
        let last = self.members.iter().map(|told| told.2).max().unwrap_or(0).max(self.untracked);
        let signs_until = if self.has_ended { self.time } else { self.time + 2 * leaf_life };
        last.max(signs_until + leaf_life) + STALE < now
    }
}

#[cfg(test)]
mod tests;
